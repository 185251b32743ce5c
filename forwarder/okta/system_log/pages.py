"""Pages of an org's System Log: `GET /api/v1/logs`, each event kept byte for byte.

There are two ways to read it, and Okta orders each differently:

- polling, without `until`: every event, in the order in which Okta stored it, so that a late event comes late
  and is not skipped. There is always a next link, and only that link says where the next page starts.
- bounded, with `until`: events published in a time range, ordered by that time. The last page has no link.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from forwarder import event_reader, logs
from forwarder.cooperative import Cooperative
from forwarder.core.errors import JsonStructureError, OktaError, OktaTooLargeError
from forwarder.core.event import BACKFILL, Event, MalformedEvent, Source
from forwarder.core.ports import Batch, Clock
from forwarder.core.time import Micros, iso
from forwarder.logs import RateLimitedLogger
from forwarder.okta.api.port import Api, Response
from forwarder.okta.system_log.event_details import targets_hook

PATH = "/api/v1/logs"
LIMIT = 1000
"""Most events of a page that Okta allows."""

RETENTION: Micros = timedelta(days=90) // timedelta(microseconds=1)
"""How long Okta keeps an event. It refuses a `since` that is twice as old."""

CURSOR_EXPIRED = {400, 404, 410}
"""The statuses by which Okta refuses a link that it no longer accepts."""

CIRCLE = "a page of the System Log links to one that was read before it; check whether a proxy caches Okta's responses"
"""Why reading stops: to follow the links would never end."""

_LIMIT = re.compile(r"(?<=[?&]limit=)\d+")


class LogPage(msgspec.Struct, frozen=True):
    """One page, in the order of the log.

    Attributes:
        expected_by_hook: uuids of the events that Okta meant to deliver to our hook.
        newest: the latest `published` of the events; None if there are none.
        next_link: None on the last page of a bounded reading.
        requested_at: when the page was requested, by our clock.
        has_more: the page is full, so the next page may already have events.
    """

    events: Sequence[Event]
    malformed: Sequence[MalformedEvent]
    expected_by_hook: frozenset[str]
    newest: Micros | None
    next_link: str | None
    requested_at: Micros
    has_more: bool

    def batch(self, cursor: tuple[str, str]) -> Batch:
        """Return the batch that stores this page together with `cursor`, the name and value of the cursor
        after it."""
        return Batch(self.events, self.malformed, Source.LOG, cursor, self.expected_by_hook)


class SystemLog:
    """One org's System Log.

    `org` is its name in the configuration, `url` the address of the log.
    """

    def __init__(self, org: str, url: str, api: Api, clock: Clock, *, limit: int = LIMIT) -> None:
        """Read the log of the org at `url`, with at most `limit` events a page."""
        self.org = org
        self.url = url.rstrip("/") + PATH
        self._api = api
        self._clock = clock
        self._limit = limit
        self._logger = RateLimitedLogger(logs.get("okta"), clock)

    async def first_page(self, since: Micros, until: Micros | None = None, *, hook_id: str = "") -> LogPage:
        """Request the first page: bounded, of events published before `until`; or for polling, if `until` is
        None.

        `since` is the earliest time at which Okta stored the events (polling) or at which they were published
        (bounded). `hook_id` is empty if we have no hook.

        Raises:
            OktaError: Okta did not answer, or did not answer with a page.
        """
        oldest = self._clock.now() - RETENTION
        query = {"since": iso(max(since, oldest), "milliseconds"), "limit": str(self._limit)}
        if until is not None:
            query["until"] = iso(until, "milliseconds")
        query["sortOrder"] = "ASCENDING"
        address = f"{PATH}?{urlencode(query, quote_via=quote)}"
        return await self._page(address, hook_id, polling=until is None)

    async def next_page(self, link: str, *, polling: bool = True, hook_id: str = "") -> LogPage:
        """Request the page at `link`, the `next_link` of an earlier page.

        Raises:
            OktaError: as `first_page`. A status in CURSOR_EXPIRED means that Okta no longer accepts the link.
        """
        return await self._page(link, hook_id, polling=polling)

    def is_own_link(self, link: str) -> bool:
        """Whether `link` belongs to this log. A link to another address must not get the credentials."""
        return link.startswith(self.url + "?")

    async def _page(self, address: str, hook_id: str, *, polling: bool) -> LogPage:
        requested_at = self._clock.now()
        answer, limit = await self._get(address)
        following = urlsplit(answer.links.get("next", "")).query
        # At the address that the operator gave, whatever host the link names.
        next_link = f"{self.url}?{following}" if following else None
        if polling and next_link is None:
            # To store the page and start again after it would skip events that Okta stored out of order.
            text = f"a page of the System Log of {self.org} has no link to the next page"
            raise OktaError(f"{text}; check whether a proxy drops the `link` header")
        try:
            elements = await event_reader.split_list(answer.content)
        except JsonStructureError as error:
            raise OktaError(f"Okta's answer is not a page of the System Log: {error}") from None
        events, malformed = await event_reader.read_events(
            elements,
            org=self.org,
            source=Source.LOG,
            received_at=self._clock.now(),
            envelope_id="" if polling else BACKFILL,
        )
        if malformed:
            text = "elements of the System Log are not events; they are dead letters"
            fields = event_reader.describe_malformed(malformed)
            self._logger.warning(text, action="malformed_events", org=self.org, **fields)
        return LogPage(
            events,
            malformed,
            await expected_by_hook(events, hook_id),
            newest=max((event.published for event in events), default=None),
            next_link=next_link,
            requested_at=requested_at,
            has_more=len(elements) >= limit,
        )

    async def _get(self, address: str) -> tuple[Response, int]:
        """Request a page; while the response is too large, request it again with fewer events. Return the
        response and the requested number of events."""
        limit = self._limit
        while True:
            try:
                return await self._api.call("GET", _LIMIT.sub(str(limit), address)), limit
            except OktaTooLargeError:
                if limit == 1:
                    raise
                limit = max(1, limit // 10)


async def expected_by_hook(events: Sequence[Event], hook_id: str) -> frozenset[str]:
    """Return the uuids of the events that Okta meant to deliver to the hook `hook_id`; none if that is
    empty."""
    uuids: set[str] = set()
    cooperative = Cooperative()
    for event in events:
        if targets_hook(event.body, hook_id):
            uuids.add(event.uuid)
        await cooperative.yield_if_due()
    return frozenset(uuids)
