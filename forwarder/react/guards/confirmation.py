"""Checks whether events are real. An event that a hook delivered may be forged. If Okta's System Log also has the
event, the event is real."""

import re
from collections import deque
from collections.abc import Mapping, Sequence

from forwarder.core.action import Action, Claim, ClaimReader
from forwarder.core.event import digest_of
from forwarder.core.time import SECOND, Micros
from forwarder.react.ports import Okta

_LOGS = "/api/v1/logs"
_UUID = re.compile(r"[A-Za-z0-9-]{1,64}")
_MOST_ASKED = 20  # events in one query
_MOST_QUESTIONS = 10  # per org and minute: a flood of forged events must not use up the rate limit that polls need too
_MOST_KEPT = 10_000


class Confirmation:
    """Looks for the events of alerts in the System Log: first among the events that the forwarder has polled, then by a
    query to Okta."""

    def __init__(self, okta: Okta, store: ClaimReader) -> None:
        self._okta = okta
        self._store = store
        # True if the log has the event, False if it has a different event with the same uuid.
        self._known: dict[tuple[str, str], bool] = {}
        self._questions: dict[str, deque[Micros]] = {}

    async def has(self, action: Action, now: Micros) -> bool:
        """Whether the System Log has every event that the alert of `action` lists. Every event is needed, because one
        forged event can be enough to cause the alert.

        Raises:
            StoreError: the store cannot be read.
        """
        claims = await self._store.claims(action.org, self._missing(action))
        for uuid, claim in claims.items():
            if claim.logged is not None:
                self._keep(action.org, uuid, is_same=claim.logged)
        if (missing := self._missing(action)) and self.forged(action) is None:
            await self._ask(action.org, missing[-_MOST_ASKED:], claims, now)
        return bool(action.events) and all(self._known.get((action.org, uuid)) for uuid in action.events)

    def forged(self, action: Action) -> str | None:
        """Return the uuid of a forged event of the alert; None if no event is known to be forged. An event is forged if
        `has` found a different event with this uuid in the System Log."""
        return next((uuid for uuid in action.events if self._known.get((action.org, uuid)) is False), None)

    def _missing(self, action: Action) -> list[str]:
        return [uuid for uuid in action.events if (action.org, uuid) not in self._known]

    async def _ask(self, org: str, uuids: Sequence[str], claims: Mapping[str, Claim], now: Micros) -> None:
        """Query the System Log for the events with the ids `uuids`, and record which events the System Log has. Events
        that are not there yet may be found by a later poll."""
        api = self._okta.org(org)
        if api is None or not all(map(_UUID.fullmatch, uuids)) or not self._may_ask(org, now):
            return
        await api.ready("GET", _LOGS)
        wanted = " or ".join(f'uuid eq "{uuid}"' for uuid in uuids)
        answer = await api.call("GET", _LOGS, query={"filter": wanted, "limit": "100"})
        if not answer.ok or not isinstance(answer.body, list):
            return
        for event in answer.body:
            uuid = event.get("uuid") if isinstance(event, dict) else None
            if isinstance(uuid, str) and uuid in uuids and (claim := claims.get(uuid)) is not None:
                self._keep(org, uuid, is_same=claim.digest in {None, digest_of(event)})

    def _may_ask(self, org: str, now: Micros) -> bool:
        times = self._questions.setdefault(org, deque())
        while times and times[0] <= now - 60 * SECOND:
            times.popleft()
        if len(times) >= _MOST_QUESTIONS:
            return False
        times.append(now)
        return True

    def _keep(self, org: str, uuid: str, *, is_same: bool) -> None:
        self._known.pop((org, uuid), None)
        self._known[org, uuid] = is_same
        if len(self._known) > _MOST_KEPT:
            del self._known[next(iter(self._known))]
