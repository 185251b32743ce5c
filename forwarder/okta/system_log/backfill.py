"""A span of the past into the store, from the System Log, on an operator's word.

The log is read bounded, in the order in which events happened, so that how far a backfill has come is a time. It is
stored with each page: whatever ends a backfill, the next one goes on there.
"""

from collections.abc import Awaitable, Callable

import msgspec

from forwarder.core.errors import OktaRefusedError
from forwarder.core.event import Source
from forwarder.core.ports import Batch, Clock, EventStore
from forwarder.core.time import Micros
from forwarder.okta.system_log.pages import LogPage, SystemLog
from forwarder.okta.system_log.reconcile import COMMIT_TIMEOUT, GONE, Place

PAUSE = 5.0
"""Seconds between two looks at whether to go on."""

_LOOKS = 8
_MILLISECOND = 1_000


class Span(msgspec.Struct, frozen=True):
    """What to fetch: what happened from `since` on and before `until`, by Okta's clock."""

    since: Micros
    until: Micros

    @property
    def length(self) -> Micros:
        return max(0, self.until - self.since)


class Progress(msgspec.Struct, frozen=True):
    """How far a backfill is.

    Attributes:
        reached: what happened before is stored.
        read: events that Okta gave.
        new: those of them that the store did not know.
        rejected: elements that were no event.
        waits: why it does not go on just now; None while it does.
    """

    reached: Micros
    read: int = 0
    new: int = 0
    rejected: int = 0
    waits: str | None = None


class _Mark(msgspec.Struct, frozen=True):
    """What is remembered of an org's last backfill.

    Attributes:
        since: where it began.
        reached: what happened between is stored.
        done: it came to its end; to ask for it again is meant.
    """

    since: Micros
    reached: Micros
    done: bool


class _Gap(msgspec.Struct, frozen=True):
    """A part of a span that nobody has looked at.

    Attributes:
        begin: where it begins.
        end: where it ends.
        before: events a microsecond just before it; None where that is unknown.
        after: the same just after it.
    """

    begin: Micros
    end: Micros
    before: float | None = None
    after: float | None = None

    @property
    def length(self) -> Micros:
        return self.end - self.begin

    @property
    def events(self) -> float:
        """How many it may hold, as its neighbours have them."""
        rates = [rate for rate in (self.before, self.after) if rate is not None]
        return self.length * sum(rates) / len(rates) if rates else 0.0


class Backfill:
    """Fetches spans of one org's past."""

    def __init__(
        self, log: SystemLog, store: EventStore, clock: Clock, hold: Callable[[], Awaitable[str | None]]
    ) -> None:
        """Args:
        log: of the org.
        store: where the events go.
        clock: to wait by.
        hold: says why the next page has to wait; None where it has not to.
        """
        self._log = log
        self._store = store
        self._clock = clock
        self._hold = hold

    async def polled(self) -> Micros | None:
        """Up to where the forwarder itself has read the log; None where it never has. What comes after, it will bring:
        only if it does so first can it tell whether the hook has missed something.

        Raises:
            StoreError: the store cannot be read.
        """
        text = await self._store.cursor(f"log:{self._log.org}")
        try:
            place = msgspec.json.decode(text or "null", type=Place | None)
        except msgspec.MsgspecError:
            return None
        return max(place.polled, place.newest) if place else None

    async def rest(self, span: Span) -> Span:
        """What of `span` is still to be fetched, after a backfill that did not come to its end.

        Raises:
            StoreError: the store cannot be read.
        """
        mark = await self._mark()
        if mark is None or mark.done or not mark.since <= span.since <= mark.reached:
            return span
        return Span(min(mark.reached, span.until), span.until)

    async def estimate(self, span: Span) -> int:
        """Roughly how many events `span` holds, by a few looks into the middle of what is unknown of it.

        Raises:
            OktaError: Okta does not answer, or refuses.
        """
        gaps = [_Gap(span.since, span.until)]
        seen = 0
        for look in range(_LOOKS):
            gap = max(gaps, key=lambda gap: gap.length)
            if gap.length <= _MILLISECOND:
                break
            begin = (gap.begin + gap.end) // 2 if look else gap.begin
            page = await self._log.begin(begin, gap.end)
            more = page.next is not None and page.newest is not None
            known_to = max(begin, page.newest or 0) if more else gap.end
            rate = len(page.events) / max(known_to - begin, _MILLISECOND)
            seen += len(page.events)
            gaps.remove(gap)
            gaps += [_Gap(gap.begin, begin, gap.before, rate), _Gap(known_to, gap.end, rate, gap.after)]
        return seen + round(sum(gap.events for gap in gaps))

    async def run(self, span: Span, tell: Callable[[Progress], None]) -> Progress:
        """Fetch `span`. Whatever ends it early, `rest` knows what is left.

        Args:
            span: what to fetch.
            tell: called with each step.

        Raises:
            OktaError: Okta does not answer, or refuses.
            StoreError: a page cannot be stored.
        """
        since = await self._beginning(span)
        progress = Progress(span.since)
        link: str | None = None
        while True:
            await self._held(progress, tell)
            page = await self._page(link, Span(progress.reached, span.until))
            link = page.next if page.events or page.malformed else None
            reached = span.until if link is None else max(progress.reached, page.newest or 0)
            mark = _Mark(since, reached, done=link is None)
            progress = await self._keep(page, mark, progress)
            tell(progress)
            if link is None:
                return progress

    async def _beginning(self, span: Span) -> Micros:
        """Where the backfill began that `span` is the rest of."""
        mark = await self._mark()
        goes_on = mark is not None and not mark.done and mark.reached == span.since
        return mark.since if mark is not None and goes_on else span.since

    async def _page(self, link: str | None, span: Span) -> LogPage:
        if link is not None:
            try:
                return await self._log.follow(link, endless=False)
            except OktaRefusedError as error:
                if error.status not in GONE:
                    raise
        return await self._log.begin(span.since, span.until)

    async def _keep(self, page: LogPage, mark: _Mark, before: Progress) -> Progress:
        # Nothing is awaited from a hook here: of what happened long ago nobody knows any more what the hook has brought.
        cursor = self._name, msgspec.json.encode(mark).decode()
        done = await self._store.append(
            Batch(page.events, page.malformed, Source.LOG, cursor), timeout=COMMIT_TIMEOUT
        )
        return Progress(
            mark.reached,
            before.read + len(page.events),
            before.new + len(done.stored),
            before.rejected + len(page.malformed),
        )

    async def _held(self, progress: Progress, tell: Callable[[Progress], None]) -> None:
        while reason := await self._hold():
            tell(msgspec.structs.replace(progress, waits=reason))
            await self._clock.sleep(PAUSE)

    @property
    def _name(self) -> str:
        return f"backfill:{self._log.org}"

    async def _mark(self) -> _Mark | None:
        text = await self._store.cursor(self._name)
        try:
            return msgspec.json.decode(text or "null", type=_Mark | None)
        except msgspec.MsgspecError:
            return None
