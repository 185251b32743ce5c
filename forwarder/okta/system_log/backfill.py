"""Fetches a time range of the past from the System Log into the store, when an operator asks for it.

The range is read bounded, ordered by the time of the events, so a time says how far a backfill has come. This checkpoint
is stored with each page: after an interruption, the next backfill resumes there.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from forwarder.control import Request
from forwarder.core.errors import OktaRefusedError
from forwarder.core.ports import Clock, EventStore
from forwarder.core.time import SECOND, Micros
from forwarder.metrics import Metrics
from forwarder.okta.system_log.metrics import SystemLogMetrics
from forwarder.okta.system_log.pages import CURSOR_EXPIRED, LogPage, SystemLog
from forwarder.okta.system_log.reconcile import COMMIT_TIMEOUT, Cursor, cursor_name

PAUSE = 5.0
"""Seconds between two checks whether to continue."""

MOST_WAITING = 50_000
"""Events that may wait for a sink during a backfill. More could fill the store, and hooks would be refused."""

_MINUTE = 60.0

T = TypeVar("T")


class TimeRange(msgspec.Struct, frozen=True):
    """Events published at or after `since` and before `until`, by Okta's clock."""

    since: Micros
    until: Micros

    @property
    def length(self) -> Micros:
        return max(0, self.until - self.since)


class BackfillRequest(Request, frozen=True, tag="backfill"):
    """What an operator asks for.

    Attributes:
        limit_fraction: how much of our share of Okta's rate limit to use, from ]0, 1].
        dry_run: only plan.
    """

    org: str
    time_range: TimeRange
    limit_fraction: float = 1.0
    dry_run: bool = False


class Plan(msgspec.Struct, frozen=True, tag="plan"):
    """What a backfill is going to do.

    Attributes:
        time_range: what is left to fetch.
        polled_until: if set, later events of the request are left to polling.
        resumes: an interrupted backfill of the same request had come to `time_range.since`.
        events: a rough estimate of the events in `time_range`.
        calls_per_minute: how many calls the rate limit allows; None if Okta has not said.
    """

    time_range: TimeRange
    polled_until: Micros | None = None
    resumes: bool = False
    events: int = 0
    calls_per_minute: int | None = None


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """How far a backfill has come.

    Attributes:
        reached: everything published before is stored.
        read: events that Okta returned.
        new: those of them that were not in the store.
        malformed: elements that are not events.
        waits: why it waits; None while it does not.
    """

    reached: Micros
    read: int = 0
    new: int = 0
    malformed: int = 0
    waits: str | None = None


Report = Callable[[Plan | Progress], None]


class Checkpoint(msgspec.Struct, frozen=True):
    """What the store keeps of an org's last backfill. Everything between `since` and `reached` is stored.

    Attributes:
        done: it was completed, so the same request starts from the beginning.
    """

    since: Micros
    reached: Micros
    done: bool


def backlog(waiting: Mapping[str, int]) -> str | None:
    """Return why a backfill should wait for the sinks, given how many events wait for each; None if it should not."""
    events, sink = max(((count, name) for name, count in waiting.items()), default=(0, ""))
    return f"{events:,} events wait for the sink {sink}" if events > MOST_WAITING else None


class Backfill:
    """Fetches time ranges of one org's past."""

    def __init__(
        self,
        log: SystemLog,
        store: EventStore,
        clock: Clock,
        metrics: Metrics,
        should_wait: Callable[[], Awaitable[str | None]],
        calls_per_minute: Callable[[], int | None],
    ) -> None:
        """Args:
        log: the org's System Log.
        store: where the events go.
        clock: for pauses.
        metrics: where to count.
        should_wait: returns why the next page must wait; None if it need not.
        calls_per_minute: returns our share of Okta's rate limit; None while Okta has not said it.
        """
        self._log = log
        self._store = store
        self._clock = clock
        self._metrics = SystemLogMetrics(metrics, log.org)
        self._should_wait = should_wait
        self._calls_per_minute = calls_per_minute
        self._checkpoint_name = f"backfill:{log.org}"

    async def run(self, request: BackfillRequest, report: Report) -> Progress:
        """Plan, report the plan, and fetch, unless it is a dry run.

        Raises:
            OktaError: Okta did not answer, or refused.
            StoreError: the store cannot be read or written.
        """
        plan = await self.plan(request)
        report(plan)
        if request.dry_run or not plan.time_range.length:
            return Progress(plan.time_range.since)
        return await self.fetch(plan.time_range, report, request.limit_fraction)

    async def plan(self, request: BackfillRequest) -> Plan:
        """Find out what is left to fetch.

        Raises:
            OktaError, StoreError: as `run`.
        """
        since, until = request.time_range.since, request.time_range.until
        polled_until = await self.polled_until()
        if polled_until is None or polled_until >= until:
            polled_until = None
        else:
            until = max(polled_until, since)
        left = await self.remaining(TimeRange(since, until))
        plan = Plan(left, polled_until, resumes=left.since > since)
        if not left.length:
            return plan
        events = await self.estimate(left)
        calls = self._allowed_calls(request.limit_fraction)
        return msgspec.structs.replace(plan, events=events, calls_per_minute=calls)

    async def polled_until(self) -> Micros | None:
        """Return how far polling has read, or None.

        Later events are left to polling, which must see them first to find those that the hook missed.
        """
        cursor = await self._stored(cursor_name(self._log.org), Cursor)
        return max(cursor.polled_until, cursor.newest) if cursor else None

    async def remaining(self, time_range: TimeRange) -> TimeRange:
        """Return what is left of `time_range` after an interrupted backfill."""
        last = await self._stored(self._checkpoint_name, Checkpoint)
        if last is None or last.done or not last.since <= time_range.since <= last.reached:
            return time_range
        return TimeRange(min(last.reached, time_range.until), time_range.until)

    async def estimate(self, time_range: TimeRange) -> int:
        """Estimate how many events `time_range` holds, as if they came at the rate of the first page.

        Raises:
            OktaError: Okta did not answer, or refused.
        """
        page = await self._log.first_page(time_range.since, time_range.until)
        if page.next_link is None or page.newest is None:
            return len(page.events)
        seen = max(page.newest - time_range.since, SECOND)
        return max(len(page.events), round(len(page.events) * time_range.length / seen))

    async def fetch(self, time_range: TimeRange, report: Report, limit_fraction: float = 1.0) -> Progress:
        """Fetch `time_range` and report each page. `remaining` tells what is left after an interruption.

        Raises:
            OktaError, StoreError: as `run`.
        """
        last = await self._stored(self._checkpoint_name, Checkpoint)
        resumes = last is not None and not last.done and last.reached == time_range.since
        since = last.since if last is not None and resumes else time_range.since
        progress = Progress(time_range.since)
        link: str | None = None
        window_end, calls = 0.0, 0
        while True:
            while reason := await self._wait_reason(window_end, calls, limit_fraction):
                report(msgspec.structs.replace(progress, waits=reason))
                await self._clock.sleep(PAUSE)
            if self._clock.monotonic() >= window_end:
                window_end, calls = self._clock.monotonic() + _MINUTE, 0
            calls += 1
            page = await self._page(link, TimeRange(progress.reached, time_range.until))
            link = page.next_link if page.events or page.malformed else None
            reached = time_range.until if link is None else max(progress.reached, page.newest or 0)
            progress = await self._store_page(page, Checkpoint(since, reached, done=link is None), progress)
            report(progress)
            if link is None:
                return progress

    async def _wait_reason(self, window_end: float, calls: int, limit_fraction: float) -> str | None:
        allowed = self._allowed_calls(limit_fraction)
        if allowed is not None and calls >= allowed and self._clock.monotonic() < window_end:
            return "the share of Okta's rate limit is used up for this minute"
        return await self._should_wait()

    def _allowed_calls(self, limit_fraction: float) -> int | None:
        """Return how many calls a minute a backfill may use; polling keeps the rest of our share."""
        ours = self._calls_per_minute()
        return None if ours is None else max(1, int(ours * limit_fraction))

    async def _page(self, link: str | None, time_range: TimeRange) -> LogPage:
        if link is not None:
            try:
                return await self._log.next_page(link, polling=False)
            except OktaRefusedError as error:
                if error.status not in CURSOR_EXPIRED:
                    raise
        return await self._log.first_page(time_range.since, time_range.until)

    async def _store_page(self, page: LogPage, checkpoint: Checkpoint, before: Progress) -> Progress:
        # No hook id was given, so no event becomes pending: the store no longer knows what the hook delivered long ago.
        batch = page.batch((self._checkpoint_name, msgspec.json.encode(checkpoint).decode()))
        appended = await self._store.append(batch, timeout=COMMIT_TIMEOUT)
        self._metrics.count_page(appended, len(page.malformed), backfill=True)
        return Progress(
            checkpoint.reached,
            before.read + len(page.events),
            before.new + len(appended.stored),
            before.malformed + len(page.malformed),
        )

    async def _stored(self, name: str, kind: type[T]) -> T | None:
        """Read what is stored under `name`; None if there is nothing, or nothing readable."""
        try:
            return msgspec.json.decode(await self._store.cursor(name) or "", type=kind)
        except msgspec.MsgspecError:
            return None
