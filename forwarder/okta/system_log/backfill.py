"""Fetches a time range of the past from the System Log into the store, when an operator asks for it.

The events are read in the order of their time, so a single time says how far a backfill has come. This time is stored
with each page as a checkpoint. After an interruption, the next backfill resumes at the checkpoint.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

import msgspec

from forwarder.control_socket.messages import ControlRequest
from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.core.event import Source
from forwarder.core.ports import Clock, EventStore
from forwarder.core.time import SECOND, Micros
from forwarder.metrics import Metrics
from forwarder.okta.system_log.cursor import Cursor, cursor_name
from forwarder.okta.system_log.pages import CIRCLE, LogPage, SystemLog, append_in_parts, refuses_link
from forwarder.okta.system_log.reconcile import COMMIT_TIMEOUT
from forwarder.stored_event_metrics import StoredEventMetrics

PAUSE = 5.0
"""Seconds between two checks whether a waiting backfill may continue."""

MOST_WAITING = 50_000
"""A backfill pauses while more events than this wait for a sink. Otherwise it could fill the store, and the store would
refuse the events of hooks."""

_MOST_EMPTY = 100
"""The most empty pages in a row whose links a backfill follows."""

_MINUTE = 60.0

T = TypeVar("T")


class BackfillPlan(msgspec.Struct, frozen=True, tag="plan"):
    """What a backfill will do.

    Attributes:
        since: the start of the time range that must still be fetched.
        until: the end of that range; not later than `since` if nothing is left to fetch.
        polled_until: the time at which the backfill ends, because polling fetches the later events; None if the backfill
            fetches all requested events.
        began: the start of the interrupted backfill, if this backfill resumes it at `since`; otherwise equal to
            `since`.
        events: a rough estimate of the number of events that must still be fetched.
        calls_per_minute: how many calls the backfill may make, so that some are left for polling; None if the rate
            limit is not known.
    """

    since: Micros
    until: Micros
    polled_until: Micros | None
    began: Micros
    events: int
    calls_per_minute: int | None


class BackfillProgress(msgspec.Struct, frozen=True, tag="progress"):
    """How far a backfill has come.

    Attributes:
        reached: all events of the range that were published before this time are stored.
        read: number of events that Okta returned.
        new: number of returned events that were not in the store yet.
        malformed: number of returned elements that are not events.
        waits: the reason why the backfill is waiting; None if it is not waiting.
    """

    reached: Micros
    read: int = 0
    new: int = 0
    malformed: int = 0
    waits: str | None = None


class BackfillRequest(ControlRequest, frozen=True, tag="backfill"):
    """A request for the events published from `since` on and before `until`, by Okta's clock.

    The backfill may use `limit_fraction` of our share of the rate limit: more than 0, at most 1.
    """

    returns: ClassVar[Any] = BackfillProgress
    reports: ClassVar[Any] = BackfillPlan | BackfillProgress

    org: str
    since: Micros
    until: Micros
    limit_fraction: float = 1.0
    dry_run: bool = False


Report = Callable[[BackfillPlan | BackfillProgress], None]


class BackfillCheckpoint(msgspec.Struct, frozen=True):
    """How far an org's last backfill has come. If `done` is true, that backfill is complete, and no later backfill
    resumes it."""

    since: Micros
    reached: Micros
    done: bool


def backlog(waiting: Mapping[str, int]) -> str | None:
    """Return why a backfill must wait; None if it need not wait. `waiting` maps each sink to the number of events that
    wait for the sink."""
    events, sink = max(((count, name) for name, count in waiting.items()), default=(0, ""))
    return f"{events:,} events wait for the sink {sink}" if events > MOST_WAITING else None


class Backfill:
    """Fetches time ranges of one org's past.

    `should_wait` returns the reason to wait before the next page; None if there is none. `calls_per_minute` returns our
    share of Okta's rate limit; None until Okta has stated the limit.
    """

    def __init__(
        self,
        log: SystemLog,
        store: EventStore,
        clock: Clock,
        metrics: Metrics,
        should_wait: Callable[[], Awaitable[str | None]],
        calls_per_minute: Callable[[], int | None],
    ) -> None:
        self._log = log
        self._store = store
        self._clock = clock
        self._metrics = StoredEventMetrics(metrics, log.org, Source.LOG)
        self._should_wait = should_wait
        self._calls_per_minute = calls_per_minute
        self._checkpoint = f"backfill:{log.org}"

    async def run(self, request: BackfillRequest, report: Report) -> BackfillProgress:
        """Report the plan, then fetch the events and report the progress; a dry run only reports the plan.

        If the last backfill was interrupted after it had fetched the start of this range, resume it.

        Raises:
            OktaError: Okta did not answer, or refused.
            StoreError: the store cannot be read or written.
        """
        plan = await self._plan(request)
        report(plan)
        if request.dry_run or plan.since >= plan.until:
            return BackfillProgress(plan.since)
        return await self._fetch(plan, report)

    async def _plan(self, request: BackfillRequest) -> BackfillPlan:
        began, since, until, polled_until = request.since, request.since, request.until, None
        cursor = await self._stored(cursor_name(self._log.org), Cursor)
        if cursor is not None and cursor.complete_until < until:
            # Later events must come from polling: if a backfill stored them, polling could not see which ones the hook
            # did not deliver.
            until = polled_until = cursor.complete_until
        last = await self._stored(self._checkpoint, BackfillCheckpoint)
        if last is not None and not last.done and last.since <= since <= last.reached:
            began, since = last.since, last.reached
        events = await self._estimate(since, until) if since < until else 0
        allowed = self._calls_per_minute()
        calls = None if allowed is None else max(1, int(allowed * request.limit_fraction))
        return BackfillPlan(since, until, polled_until, began, events, calls)

    async def _estimate(self, since: Micros, until: Micros) -> int:
        """Estimate the number of events from `since` to `until` by the number of events per second on the first page."""
        page = await self._log.first_page(since, until)
        if page.next_link is None or page.newest is None:
            return len(page.events)
        first = page.events[0].published
        return max(1, round((until - first) / max(page.newest - first, SECOND))) * len(page.events)

    async def _fetch(self, plan: BackfillPlan, report: Report) -> BackfillProgress:
        progress = BackfillProgress(plan.since)
        link: str | None = None
        followed: set[str | None] = set()
        minute_ends, calls, empty = 0.0, 0, 0
        while True:
            while reason := await self._wait_reason(minute_ends, calls, plan.calls_per_minute):
                report(msgspec.structs.replace(progress, waits=reason))
                await self._clock.sleep(PAUSE)
            if self._clock.monotonic() >= minute_ends:
                minute_ends, calls = self._clock.monotonic() + _MINUTE, 0
            calls += 1
            page = await self._page(link, progress.reached, plan.until)
            empty = 0 if page.events or page.malformed else empty + 1
            # An empty page may have pages after it, unless it links to itself.
            link = None if empty and page.next_link in followed else page.next_link
            newest = max((event.published for event in page.events if event.published < plan.until), default=0)
            reached = plan.until if link is None else max(progress.reached, newest)
            progress = await self._store_page(
                page, BackfillCheckpoint(plan.began, reached, done=link is None), progress
            )
            report(progress)
            if link is None:
                return progress
            if link in followed:
                raise OktaError(f"{CIRCLE}; then run the same command again to resume the backfill")
            if empty >= _MOST_EMPTY:
                raise OktaError(
                    f"the System Log of {self._log.org} answers with {empty} empty pages one after the other; check whether a"
                    " proxy answers in place of Okta, then run the same command again to resume the backfill"
                )
            followed.add(link)

    async def _wait_reason(self, minute_ends: float, calls: int, allowed: int | None) -> str | None:
        if allowed is not None and calls >= allowed and self._clock.monotonic() < minute_ends:
            return "the share of Okta's rate limit is used up for this minute"
        return await self._should_wait()

    async def _page(self, link: str | None, since: Micros, until: Micros) -> LogPage:
        if link is not None:
            try:
                return await self._log.next_page(link, polling=False)
            except OktaRefusedError as error:
                if not refuses_link(error):
                    raise
        return await self._log.first_page(since, until)

    async def _store_page(
        self, page: LogPage, checkpoint: BackfillCheckpoint, before: BackfillProgress
    ) -> BackfillProgress:
        # The page was read without a hook id, so no event becomes pending: the store no longer knows what the hook
        # delivered long ago.
        batch = page.batch((self._checkpoint, msgspec.json.encode(checkpoint).decode()))
        new = 0
        async for part, appended in append_in_parts(partial(self._store.append, timeout=COMMIT_TIMEOUT), batch):
            await self._metrics.count(appended, len(part.malformed), backfill=True)
            new += len(appended.stored)
        return BackfillProgress(
            checkpoint.reached, before.read + len(page.events), before.new + new, before.malformed + len(page.malformed)
        )

    async def _stored(self, name: str, kind: type[T]) -> T | None:
        """Return the object that the store keeps as the cursor `name`; None if the object is missing or unreadable."""
        try:
            return msgspec.json.decode(await self._store.cursor(name) or "", type=kind)
        except msgspec.MsgspecError:
            return None
