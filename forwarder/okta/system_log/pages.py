"""Reads pages of an org's System Log (`GET /api/v1/logs`), and keeps each event byte for byte.

There are two kinds of requests, and Okta orders the events differently for each:

- polling, without `until`: all events, in the order in which Okta stored them. So an event that Okta stored late is on a
  later page, and is not skipped. There is always a next link, and only this link says where the next page starts.
- bounded, with `until`: the events published in a time range, in the order of that time. The last page has no next link.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from urllib.parse import quote, urlencode

import msgspec

from forwarder import event_reader, logs
from forwarder.core.errors import JsonStructureError, OktaError, OktaRefusedError, StoreTooSmallError
from forwarder.core.event import BACKFILL, Event, MalformedEvent, Source
from forwarder.core.ports import Appended, Batch, Clock
from forwarder.core.time import Micros, iso
from forwarder.core.urls import split_url
from forwarder.event_loop_steps import Cooperative, run_in_steps
from forwarder.json_scanner import scan_value
from forwarder.logs import RateLimitedLogger
from forwarder.okta.api.port import Api, OktaTooLargeError, Response, not_okta
from forwarder.okta.system_log.event_details import targets_hook

PATH = "/api/v1/logs"
LIMIT = 1000
"""The maximum number of events that Okta allows on a page."""

RETENTION: Micros = timedelta(days=90) // timedelta(microseconds=1)
"""How long Okta keeps an event. Okta refuses a `since` that lies more than twice this time in the past."""

_LINK_REFUSED = {400, 404, 410}
"""The HTTP statuses with which Okta refuses a next link that it no longer accepts."""

CIRCLE = "a page of the System Log links to a page that was read before; check whether a proxy caches Okta's responses"
"""The error text if the links form a circle, so that following them would never end."""

_LIMIT = re.compile(r"(?<=[?&]limit=)\d+")

_is_sendable = re.compile(r"[!-~]+").fullmatch
"""Whether an address can be sent, and stored in a cursor: it has only the characters that a URL may have."""

_KEPT = 64 << 10
"""How many bytes are kept of an event that is too large to be read."""

_TOO_LARGE = "the event is too large to be read from the System Log; only its start is kept"


class LogPage(msgspec.Struct, frozen=True):
    """One page, in the order of the log.

    Attributes:
        expected_by_hook: uuids of the events that Okta meant to deliver to our hook.
        newest: the latest `published` of the events; None if there are no events.
        next_link: address of the next page; None on the last page of a bounded request.
        requested_at: when the page was requested, by our clock.
        has_more: whether the page is full, so that the next page may already have events.
    """

    events: Sequence[Event]
    malformed: Sequence[MalformedEvent]
    expected_by_hook: frozenset[str]
    newest: Micros | None
    next_link: str | None
    requested_at: Micros
    has_more: bool

    def batch(self, cursor: tuple[str, str]) -> Batch:
        """Return the batch that stores this page together with a cursor. `cursor` has the name of the cursor, and the
        value of the cursor after this page."""
        return Batch(self.events, self.malformed, Source.LOG, cursor, self.expected_by_hook)


class SystemLog:
    """One org's System Log.

    Attributes:
        org: the org's name in the configuration.
        ahead: how far our clock is ahead of Okta's, as the last page showed; 0 before the first page.
    """

    def __init__(self, org: str, url: str, api: Api, clock: Clock, *, limit: int = LIMIT) -> None:
        """Create the reader; it requests nothing yet. `url` is the org's URL. A page has at most `limit` events."""
        self.org = org
        self.url = url.rstrip("/") + PATH
        self._api = api
        self._clock = clock
        self._limit = limit
        self.ahead: Micros = 0
        self._logger = RateLimitedLogger(logs.get("okta"), clock)

    async def first_page(self, since: Micros, until: Micros | None = None, *, hook_id: str = "") -> LogPage:
        """Request the first page: bounded if `until` is given, otherwise for polling.

        A bounded page has events published from `since` on and before `until`. Polling starts with the events that Okta
        stored from `since` on. `hook_id` is empty if we have no hook.

        Raises:
            OktaError: Okta did not answer, or did not answer with a page.
        """
        # A server whose `Date` is far ahead must not move `since` into the future: no event would be read until then.
        oldest = min(self.okta_now(), self._clock.now()) - RETENTION
        query = {"since": iso(max(since, oldest), "milliseconds"), "limit": str(self._limit)}
        if until is not None:
            query["until"] = iso(until, "milliseconds")
        query["sortOrder"] = "ASCENDING"
        address = f"{PATH}?{urlencode(query, quote_via=quote)}"
        return await self._page(address, hook_id, polling=until is None)

    async def next_page(self, link: str, *, polling: bool = True, hook_id: str = "") -> LogPage:
        """Request the page at `link`, the `next_link` of an earlier page.

        Raises:
            OktaError: Okta did not answer, or did not answer with a page. `refuses_link` tells whether Okta no longer
                accepts the link.
        """
        return await self._page(link, hook_id, polling=polling)

    def okta_now(self) -> Micros:
        """Return the current time by Okta's clock, as the last page showed it; by our clock before the first page."""
        return self._clock.now() - self.ahead

    def is_own_link(self, link: str) -> bool:
        """Whether `link` is an address of this log. The credentials must not be sent to any other address."""
        return link.startswith(self.url + "?")

    async def _page(self, address: str, hook_id: str, *, polling: bool) -> LogPage:
        requested_at = self._clock.now()
        answer, limit, is_cut = await self._get(address)
        if answer.sent_at is not None:
            self.ahead = self._clock.now() - answer.sent_at
        try:
            elements = [] if is_cut else await event_reader.split_list(answer.content)
        except JsonStructureError as error:
            raise not_okta("a page of the System Log", error) from None
        link = answer.links.get("next")
        following = split_url(link).query if link and _is_sendable(link) else ""
        # Only the query of the link is used: requests go to the address that the operator gave, not to the link's host.
        next_link = f"{self.url}?{following}" if following else None
        if next_link is None and (polling or link):
            # The page cannot be stored: without its link, reading could only go on from a time, and would skip events
            # that Okta stores late.
            text = f"a page of the System Log of {self.org} has no {'usable ' if link else ''}link to the next page"
            raise OktaError(f"{text}; check whether a proxy drops or changes the `link` header")
        events, malformed = await event_reader.read_events(
            elements,
            org=self.org,
            source=Source.LOG,
            received_at=self._clock.now(),
            envelope_id="" if polling else BACKFILL,
        )
        if is_cut:
            malformed = [self._too_large_event(answer, address, polling=polling)]
        elif malformed:
            text = "some elements of the System Log are not events; they are kept as dead letters"
            fields = event_reader.describe_malformed(malformed)
            self._logger.warning(text, action="malformed_events", org=self.org, **fields)
        return LogPage(
            events,
            malformed,
            await expected_by_hook(events, hook_id),
            newest=max((event.published for event in events), default=None),
            next_link=next_link,
            requested_at=requested_at,
            has_more=is_cut or len(elements) >= limit,
        )

    async def _get(self, address: str) -> tuple[Response, int, bool]:
        """Request a page. If the response is too large, repeat the request with fewer events, until the response is
        small enough.

        Return the response, the number of events that it was requested with, and whether it is cut: a single event is
        too large, and the response has only the start of the event.
        """
        limit = self._limit
        while True:
            try:
                return await self._api.call("GET", _LIMIT.sub(str(limit), address)), limit, False
            except OktaTooLargeError as error:
                if limit == 1:
                    if error.cut is None or not await _has_one_event(error.cut.content):
                        raise
                    return error.cut, limit, True
                limit = max(1, limit // 10)

    def _too_large_event(self, cut: Response, address: str, *, polling: bool) -> MalformedEvent:
        """Log that the event in the response `cut` from `address` is skipped, and return the start of the event."""
        self._logger.warning(
            "an event of the System Log is too large to be read; reading goes on behind it, and its start is kept as a dead"
            " letter",
            action="event_too_large",
            org=self.org,
            address=_LIMIT.sub("1", address),
            hint="see forwarder dead-letters list --sink receiver; look up the event in Okta's Admin Console",
        )
        start = cut.content.lstrip(b"[ \t\r\n")[:_KEPT]
        return MalformedEvent(self.org, self._clock.now(), "" if polling else BACKFILL, _TOO_LARGE, start)


def refuses_link(error: OktaRefusedError) -> bool:
    """Whether `error`, raised by `next_page`, means that Okta no longer accepts the link.

    An error code of OAuth is about the credentials, even with status 400, so the link is still valid. An example is
    `invalid_dpop_proof`, which a wrong clock of ours causes.
    """
    return error.status in _LINK_REFUSED and (not error.code or error.code.startswith("E0"))


async def _has_one_event(start: bytes) -> bool:
    """Whether `start`, the start of a page that is too large, is a list, and no second element begins in it.

    A server that ignores `limit` answers with more than one event. Going on behind that page would skip them all.
    """
    before, bracket, _ = start.partition(b"[")
    if before.strip() or not bracket:
        return False
    try:
        end = await run_in_steps(scan_value(start, len(before) + 1, b"]"))
    except JsonStructureError:
        return True  # the first element does not end
    return not start.startswith(b",", end)


async def expected_by_hook(events: Sequence[Event], hook_id: str) -> frozenset[str]:
    """Return the uuids of the events that Okta meant to deliver to the hook `hook_id`; none if `hook_id` is empty."""
    uuids: set[str] = set()
    cooperative = Cooperative()
    for event in events:
        if targets_hook(event.body, hook_id):
            uuids.add(event.uuid)
        await cooperative.yield_if_due()
    return frozenset(uuids)


async def append_in_parts(
    append: Callable[[Batch], Awaitable[Appended]], batch: Batch
) -> AsyncIterator[tuple[Batch, Appended]]:
    """Append `batch`; if it is too large for the store, append it in parts. Yield each part and its result.

    Only the last part has the cursor, so after a crash the page is read again.

    Raises:
        StoreTooSmallError: a single event is too large for the store.
        StoreError: `append` raised the error. All earlier parts are stored.
    """
    parts = [batch]
    while parts:
        part = parts.pop()
        try:
            appended = await append(part)
        except StoreTooSmallError:
            if part.length <= 1:
                raise
            parts += reversed([*part.split((part.length + 1) // 2)])
        else:
            yield part, appended
