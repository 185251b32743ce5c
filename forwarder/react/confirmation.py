"""Whether events are real: a hook's event is a claim, and Okta's System Log has what happened."""

import re
from collections import deque
from collections.abc import Sequence

from forwarder.core.action import Action, ActionStore
from forwarder.core.time import SECOND, Micros
from forwarder.react.ports import Okta

_LOGS = "/api/v1/logs"
_UUID = re.compile(r"[A-Za-z0-9-]{1,64}")
_MOST_ASKED = 20  # events in one question
_MOST_QUESTIONS = (
    10  # in a minute and org: a flood of forged events must not use up the rate limit of the polls
)
_MOST_KEPT = 10_000


class Confirmation:
    """Looks for the events of alerts in the System Log: in what was polled, then by asking for them."""

    def __init__(self, okta: Okta, store: ActionStore) -> None:
        self._okta = okta
        self._store = store
        self._found: dict[tuple[str, str], None] = {}
        self._questions: dict[str, deque[Micros]] = {}

    async def has(self, action: Action, now: Micros) -> bool:
        """Whether the log has every event that the alert lists. One of them alone proves nothing: the others may be
        forged, and the alert would not be without them.

        Raises:
            StoreError: the store cannot be read.
        """
        missing = [uuid for uuid in action.events if not await self._is_polled(action.org, uuid)]
        if missing:
            await self._ask(action.org, missing[-_MOST_ASKED:], now)
        return bool(action.events) and all((action.org, uuid) in self._found for uuid in action.events)

    async def _is_polled(self, org: str, uuid: str) -> bool:
        if (org, uuid) in self._found:
            return True
        if await self._store.in_system_log(org, [uuid]):
            self._keep(org, uuid)
            return True
        return False

    async def _ask(self, org: str, uuids: Sequence[str], now: Micros) -> None:
        """Ask Okta for events; what it does not say now, the polls may."""
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
            if isinstance(uuid, str) and uuid in uuids:
                self._keep(org, uuid)

    def _may_ask(self, org: str, now: Micros) -> bool:
        times = self._questions.setdefault(org, deque())
        while times and times[0] <= now - 60 * SECOND:
            times.popleft()
        if len(times) >= _MOST_QUESTIONS:
            return False
        times.append(now)
        return True

    def _keep(self, org: str, uuid: str) -> None:
        self._found.pop((org, uuid), None)
        self._found[org, uuid] = None
        if len(self._found) > _MOST_KEPT:
            del self._found[next(iter(self._found))]
