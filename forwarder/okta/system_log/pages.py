"""Pages of an org's System Log: `GET /api/v1/logs`, each event kept byte for byte.

Two ways to read it, which Okta orders differently:

- polling, without `until`: every event, in the order in which Okta stored it, so a late one comes late and is not
  passed over. There is always a next link, and only that link says where to go on.
- bounded, with `until`: what was published in a span of time, in that order, and then it ends.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec

from forwarder import event_reader
from forwarder.cooperative import Cooperative
from forwarder.core.errors import OktaError
from forwarder.core.event import Event, MalformedEvent, Source
from forwarder.core.ports import Clock
from forwarder.core.surrogates import decode_leniently
from forwarder.core.time import Micros, to_datetime
from forwarder.okta.api.port import Answer, Api

PATH = "/api/v1/logs"
LIMIT = 1000
"""Most events of a page: what Okta allows."""

KEPT = timedelta(days=90) // timedelta(microseconds=1)
"""How long Okta keeps an event; twice that far back it refuses to look at all."""


class LogPage(msgspec.Struct, frozen=True):
    """What one page holds.

    Attributes:
        events: in the order of the log.
        malformed: elements that are no events.
        hooked: uuids of those of `events` that Okta names the hook for.
        newest: the latest `published` of them; None where there are none.
        next: address of the page that follows; None where the log has none.
        asked: when it was asked for, by our clock.
        full: there may be more already.
    """

    events: Sequence[Event]
    malformed: Sequence[MalformedEvent]
    hooked: frozenset[str]
    newest: Micros | None
    next: str | None
    asked: Micros
    full: bool


class SystemLog:
    """One org's System Log.

    Attributes:
        org: the org's name in the configuration.
        address: where it is.
    """

    def __init__(self, org: str, url: str, api: Api, clock: Clock, *, limit: int = LIMIT) -> None:
        """Args:
        org: the org's name in the configuration.
        url: the org's own.
        api: with the org's credentials.
        clock: for when a page was asked for, and when it came.
        limit: most events of a page.
        """
        self.org = org
        self.address = url.rstrip("/") + PATH
        self._api = api
        self._clock = clock
        self._limit = limit

    async def begin(self, since: Micros, until: Micros | None = None, *, hook: str = "") -> LogPage:
        """The first page.

        Args:
            since: polling, from what Okta stored then; bounded, from what was published then. What Okta keeps no
                more is left out.
            until: bounded: the end, not included. None for polling.
            hook: our hook's id; empty where there is none.

        Raises:
            OktaError: there is no page.
        """
        query = {"since": _written(max(since, self._clock.now() - KEPT)), "limit": str(self._limit)}
        if until is not None:
            query["until"] = _written(until)
        asked = self._clock.now()
        answer = await self._api.call("GET", PATH, query=query | {"sortOrder": "ASCENDING"})
        return await self._read(answer, asked, hook, endless=until is None)

    async def follow(self, link: str, *, endless: bool = True, hook: str = "") -> LogPage:
        """The page at `link`, which an earlier page gave.

        Args:
            link: as it was given.
            endless: polling.
            hook: as `begin`.

        Raises:
            OktaError: there is no page.
        """
        asked = self._clock.now()
        answer = await self._api.call("GET", link)
        return await self._read(answer, asked, hook, endless=endless)

    def owns(self, link: str) -> bool:
        """Whether `link` is of this log: one that was remembered under another address must not get the credentials."""
        return link.startswith(self.address + "?")

    async def _read(self, answer: Answer, asked: Micros, hook: str, *, endless: bool) -> LogPage:
        following = self._next(answer)
        if endless and following is None:
            # To store the page and begin anew after it would pass over what Okta stored out of order.
            raise OktaError(
                f"a page of the System Log of {self.org} came without a link to the next one; does a proxy drop it?"
            )
        elements = await _split(answer.content)
        events, malformed = await event_reader.read_events(
            elements, org=self.org, source=Source.LOG, received_at=self._clock.now()
        )
        newest = max((event.published for event in events), default=None)
        full = len(elements) >= self._limit
        return LogPage(events, malformed, await hooked(events, hook), newest, following, asked, full)

    def _next(self, answer: Answer) -> str | None:
        """The next link, at the address that the operator gave, whatever host it names."""
        link = answer.links.get("next")
        if link is None:
            return None
        query = urlsplit(link).query
        return f"{self.address}?{query}" if query else None


def _written(at: Micros) -> str:
    """`at` as Okta reads it; its log counts milliseconds."""
    return to_datetime(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _split(content: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The elements of a page.

    Raises:
        OktaError: it is no page.
    """
    try:
        return await event_reader.split_list(content)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise OktaError(f"what came is no page of the System Log: {error}") from None


async def hooked(events: Sequence[Event], hook: str) -> frozenset[str]:
    """The uuids of those that name `hook`; it may be empty, and is named by none then."""
    found: set[str] = set()
    cooperative = Cooperative()
    for event in events:
        if hook and names_hook(event.body, hook):
            found.add(event.uuid)
        await cooperative.yield_if_due()
    return frozenset(found)


def names_hooks(body: bytes) -> bool:
    """Whether an event was meant for any hook, as far as a glance tells."""
    return b'"targetEventHookIds"' in body


class _DebugData(msgspec.Struct):
    """Okta writes the ids with commas between them, and promises no shape for anything in here."""

    hooks: Any = msgspec.field(name="targetEventHookIds", default=None)


class _DebugContext(msgspec.Struct):
    data: _DebugData | None = msgspec.field(name="debugData", default=None)


class _Debugged(msgspec.Struct):
    context: _DebugContext | None = msgspec.field(name="debugContext", default=None)


_decode_debug = msgspec.json.Decoder(_Debugged).decode


def names_hook(body: bytes, hook: str) -> bool:
    """Whether Okta meant to deliver an event by our hook; that it did is not said.

    Args:
        body: the event.
        hook: the hook's id.
    """
    if hook.encode() not in body:  # most events name no hook, and need not be decoded for that
        return False
    try:
        found, _ = decode_leniently(_decode_debug, body)
    except msgspec.MsgspecError:
        return False
    hooks = found.context.data.hooks if found.context and found.context.data else None
    named = hooks.split(",") if isinstance(hooks, str) else hooks if isinstance(hooks, list) else []
    return any(isinstance(name, str) and name.strip() == hook for name in named)
