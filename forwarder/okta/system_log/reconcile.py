"""Polls the org's System Log into the store, for the events that hooks do not carry or failed to deliver.

Each page is stored in one transaction with the cursor that points behind the page, so no event is lost. After a crash,
one page is read again, and the store recognizes the events that it already has. If Okta no longer accepts the cursor,
reading starts again at an earlier time, and the store recognizes the events that are read twice.
"""

from collections import deque
from collections.abc import Collection
from typing import Protocol

import msgspec

from forwarder import logs
from forwarder.core.backoff import Backoff
from forwarder.core.errors import OktaError, OktaRefusedError, StoreError, StoreTooSmallError
from forwarder.core.event import Source
from forwarder.core.ports import Appended, Batch, Clock, EventStore
from forwarder.core.time import SECOND, Micros, iso, seconds_between
from forwarder.metrics import Metrics
from forwarder.okta.hooks.hook_warnings import HookWarnings
from forwarder.okta.settings import ReconcileSettings
from forwarder.okta.system_log.cursor import Cursor, cursor_name, names_with_cursor
from forwarder.okta.system_log.event_details import targets_any_hook
from forwarder.okta.system_log.pages import (
    CIRCLE,
    PATH,
    LogPage,
    SystemLog,
    append_in_parts,
    expected_by_hook,
    refuses_link,
)
from forwarder.stored_event_metrics import StoredEventMetrics

REWIND: Micros = 3600 * SECOND
"""When the cursor is lost, reading starts again this long before the newest event read.

According to Okta's documentation, this could be zero: `since` means the time at which Okta stored an event, and all unread
events were stored after the newest event read was published. An hour covers clock differences between Okta's machines,
and events that they show late. A longer time would cost more: a busy org has 40,000 events an hour, which is 40 pages,
or two minutes of our share of the rate limit. A day would delay current events by half an hour each time that a cursor
is lost.
"""

FULL_REWIND: Micros = 24 * 3600 * SECOND
"""How far back reading starts if the stored cursor cannot be read: nothing then says which events were read."""

COMMIT_TIMEOUT = 30.0
"""Seconds to wait until the store has committed a page. It may be long, because no client waits for it."""

_FOLLOWED = 1_000  # links that are remembered, to notice a circle of pages
_SKEW: Micros = 60 * SECOND
_AHEAD = "reading would start in the future by Okta's clock; check whether the clock of this machine is, or was, ahead"

_NEEDS_OPERATOR = {401, 403}
_BACKOFF = Backoff(base=2.0, cap=120.0)
_NO_JITTER = 0.5  # half of the upper bound: waits of 1, 2, 4 … 60 s. Each org has one reader, so none can collide.

_logger = logs.get("okta")


class HookIdSource(Protocol):
    """Provides the id of our hook. HookWatch implements it."""

    def hook_id(self) -> str | None:
        """Return the id of our hook; None if there is no hook or its id is not known yet."""

    async def check(self) -> None:
        """Ask Okta for our hook now, to update the id."""


class ReconcileState(msgspec.Struct):
    """The state of polling, for operators. The counts start at 0 when the process starts.

    Attributes:
        last_poll: when the end of the log was last reached; None if it was never reached.
        complete_until: `Cursor.complete_until`: every event before this time is stored; None before the cursor was
            loaded.
        missed: number of events that the hook failed to deliver.
        differing: number of events that have one content in the System Log and another content in the hook's delivery.
        restarts: how often the cursor was lost.
        error: why the last attempt failed; None if it succeeded.
    """

    last_poll: Micros | None = None
    complete_until: Micros | None = None
    missed: int = 0
    differing: int = 0
    restarts: int = 0
    error: str | None = None


class Reconciler:
    """Reads one org's System Log into the store."""

    def __init__(  # noqa: PLR0913  # the last one is known only where orgs are configured
        self,
        log: SystemLog,
        store: EventStore,
        settings: ReconcileSettings,
        hook: HookIdSource | None,
        metrics: Metrics,
        clock: Clock,
        *,
        other_orgs: Collection[str] = (),
    ) -> None:
        """Create the reconciler; it reads nothing yet.

        `hook` provides the id of the org's hook; None if the org has no hook. `other_orgs` are the names of the other
        orgs in the configuration.
        """
        self._log = log
        self._store = store
        self._settings = settings
        self._hook = hook
        self._other_orgs = other_orgs
        self._clock = clock
        self._metrics = StoredEventMetrics(metrics, log.org, Source.LOG)
        self._missed_events = metrics.events_missed.labels(log.org)
        self._differing_events = metrics.events_differing.labels(log.org)
        self._lag_gauge = metrics.reconcile_lag
        self._cursor: Cursor | None = None
        self._followed: deque[str] = deque(maxlen=_FOLLOWED)  # the last links since the start or the last rewind
        self._tries = 0
        self._failure: object = None
        self._hooks_stored_since = clock.monotonic()
        self._started = clock.now()
        self.state = ReconcileState()
        self.hook_warnings = HookWarnings(log.org, metrics, clock)

    async def run(self) -> None:
        """Poll at each interval until cancelled. After an error of Okta or of the store, wait and poll again."""
        self._lag_gauge.labels(self._log.org).set_function(self.lag)
        while True:
            begun = self._clock.monotonic()
            try:
                await self.poll()
            except (OktaError, StoreError) as error:
                await self._clock.sleep(self._record_failure(error))
            else:
                await self._clock.sleep(max(0.0, begun + self._settings.poll - self._clock.monotonic()))

    async def poll(self) -> None:
        """Read the log to its end. Then mark events as missed if the hook should deliver them, but did not deliver them
        within the grace period.

        Raises:
            OktaError: a page could not be read; the pages before it are stored.
            StoreError: the cursor cannot be read, or missed events cannot be marked.
        """
        if self._cursor is None:
            self._cursor = await self._load_cursor()
        has_more = True
        while has_more:
            self._followed.append(self._cursor.next_link)
            known = self._hook.hook_id() if self._hook else None
            hook_id = known or self._cursor.hook_id  # until Okta has answered, the last known id is used
            page = await self._next_page(self._cursor, hook_id)
            if self._hook and not known and any(targets_any_hook(event.body) for event in page.events):
                # Our hook may have been created after the last check, and these may be its first events.
                await self._hook.check()
                hook_id = self._hook.hook_id() or hook_id
                expected = await expected_by_hook(page.events, hook_id)
                page = msgspec.structs.replace(page, expected_by_hook=expected)
            self._cursor = await self._store_page(page, self._cursor, hook_id)
            has_more = page.has_more
            is_empty = not page.events and not page.malformed  # Okta may give the link of an empty page again
            if not is_empty and page.next_link in self._followed:
                self._cursor = self._rewind(self._cursor, CIRCLE)
                raise OktaError(CIRCLE)
        self.state.last_poll = self._clock.now()
        self._record_success()
        await self._mark_missed()

    def lag(self) -> float:
        """Return by how many seconds the store is behind the log: the time since `complete_until` or, if that is not
        known, since the start of the process."""
        return seconds_between(self.state.complete_until or self._started, self._clock.now()) or 0.0

    async def _load_cursor(self) -> Cursor:
        """Return the cursor from the store, also if the org had another name. If the store has none, return a cursor that
        starts `lookback` ago; if the stored cursor cannot be used, return a cursor that starts at an earlier time."""
        now = self._clock.now()
        text = await self._store.cursor(cursor_name(self._log.org))
        if text is None:
            text = await self._former_cursor(now)
        if text is None:
            cursor = Cursor("", 0, now - round(self._settings.lookback * SECOND))
        else:
            try:
                cursor = msgspec.json.decode(text, type=Cursor)
                # Our clock may have been ahead. A time in the future would hide that the log is behind.
                cursor = msgspec.structs.replace(cursor, polled_until=min(cursor.polled_until, now))
            except msgspec.MsgspecError as error:
                start = Cursor("", 0, now - FULL_REWIND + REWIND)
                cursor = self._rewind(start, f"the stored cursor cannot be read: {error}")
        self.state.complete_until = min(cursor.complete_until, now)
        if cursor.next_link and not self._log.is_own_link(cursor.next_link):
            cursor = self._rewind(cursor, "the URL of the org has changed")
        return cursor

    async def _former_cursor(self, now: Micros) -> str | None:
        """Return the stored cursor of the name under which this log was read before the org was renamed in the
        configuration; None if the store knows no such name. Log the name."""
        stored = await self._store.cursors_with(cursor_name(""))
        former = {name: text for name, text in stored.items() if name not in self._other_orgs}
        names = names_with_cursor(self._log.url.removesuffix(PATH), former, now)
        if not names:
            return None
        _logger.warning(
            "the org has a new name in the configuration; its System Log is read on from where it was read under the old name,"
            " and events that wait are delivered under the old name",
            action="org_renamed",
            org=self._log.org,
            before=names[-1],
            hint="to keep the old name, write it again in the configuration, and reload",
        )
        return former[names[-1]]

    async def _next_page(self, cursor: Cursor, hook_id: str) -> LogPage:
        """Request the page after `cursor`. If Okta no longer accepts the cursor's link, or if the cursor is in the
        future, rewind the cursor, and request the first page after the rewound cursor."""
        page = None
        if cursor.next_link:
            try:
                page = await self._log.next_page(cursor.next_link, hook_id=hook_id)
            except OktaRefusedError as error:
                if not refuses_link(error):
                    raise
                cursor = self._cursor = self._rewind(cursor, str(error))
        page = page or await self._log.first_page(cursor.newest, hook_id=hook_id)
        if cursor.newest > self._log.okta_now() + _SKEW:
            # Our clock was ahead when the cursor was made, and Okta may show no event until then.
            start = self._log.okta_now() - round(self._settings.lookback * SECOND)
            cursor = msgspec.structs.replace(cursor, newest=start + REWIND)
            cursor = self._cursor = self._rewind(cursor, _AHEAD)
            page = await self._log.first_page(cursor.newest, hook_id=hook_id)
        return page

    def _rewind(self, cursor: Cursor, why: str) -> Cursor:
        """Log and count that `cursor` is lost. Return a cursor that has no link, and starts REWIND before
        `cursor.newest`."""
        self.state.restarts += 1
        self._followed.clear()  # the pages after the rewound cursor may have the same links
        since = cursor.newest - REWIND
        _logger.warning(
            "the cursor of the System Log is lost; reading starts again at an earlier time, so that no event is missed",
            action="reconcile_restarted",
            org=self._log.org,
            since=iso(since),
            why=why,
        )
        return msgspec.structs.replace(cursor, next_link="", newest=since)

    async def _store_page(self, page: LogPage, before: Cursor, hook_id: str) -> Cursor:
        """Store a page together with the cursor after it, and return this cursor. Retry until both are stored."""
        cursor = Cursor(
            next_link=page.next_link or "",
            polled_until=before.polled_until if page.has_more else page.requested_at,
            # Never later than Okta's clock: one event with a time in the future would make us skip all events until then.
            newest=max(before.newest, min(page.newest or 0, self._log.okta_now())),
            hook_id=hook_id,
        )
        batch = page.batch((cursor_name(self._log.org), msgspec.json.encode(cursor).decode()))
        async for part, appended in append_in_parts(self._append, batch):
            if appended.stored:
                self._record_success()
            self.hook_warnings.scan(appended.stored, hook_id)
            await self._metrics.count(appended, len(part.malformed))
            self._note_differing(appended)
        self.state.complete_until = cursor.complete_until
        return cursor

    def _note_differing(self, appended: Appended) -> None:
        """Log and count the events that have one content in the System Log and another content in the hook's
        delivery."""
        if not appended.differing:
            return
        self._differing_events.inc(len(appended.differing))
        self.state.differing += len(appended.differing)
        _logger.warning(
            "some events from the hook differ from the events with the same uuids in the System Log: someone forged them, or "
            "an admin edited them in Okta's preview of the hook; give the hook a new secret, and look at the events",
            action="events_differ",
            org=self._log.org,
            events=len(appended.differing),
            uuids=" ".join(appended.differing[:5]),
        )

    async def _append(self, batch: Batch) -> Appended:
        # The page is not requested again, however long this takes: all attempts may still be in the queue of a slow
        # store, and they share the memory of one page.
        while True:
            try:
                return await self._store.append(batch, timeout=COMMIT_TIMEOUT)
            except StoreError as error:
                if isinstance(error, StoreTooSmallError) and batch.length > 1:
                    raise  # its parts may fit
                await self._clock.sleep(self._record_failure(error))

    async def _mark_missed(self) -> None:
        """Mark events as missed if the hook should deliver them, but did not deliver them within the grace period.

        The grace period starts at the latest of three times: when the event was published, when it was read from the
        log, and when this process began to store hook deliveries (at its start) or began again (after a store error).
        """
        if self._clock.monotonic() - self._hooks_stored_since < self._settings.grace:
            return
        before = self._clock.now() - round(self._settings.grace * SECOND)
        missed = await self._store.mark_missed(self._log.org, before)
        if missed:
            self._missed_events.inc(missed)
            self.state.missed += missed
            _logger.warning(
                "the hook did not deliver some events; they were read from the System Log and stored. See: forwarder gaps",
                action="events_missed",
                org=self._log.org,
                events=missed,
            )

    def _record_failure(self, error: OktaError | StoreError) -> float:
        """Log an error, unless the last failure had the same type and HTTP status. Return the seconds to wait before
        the next attempt."""
        if isinstance(error, StoreError):
            self._hooks_stored_since = self._clock.monotonic()
        self._tries += 1
        self.state.error = str(error)
        status = error.status if isinstance(error, OktaRefusedError) else None
        failure = (type(error), status)
        if failure != self._failure:
            self._failure = failure
            log = _logger.error if status in _NEEDS_OPERATOR else _logger.warning
            log(
                "the System Log cannot be read or stored; the forwarder retries, and no event is lost",
                action="reconcile_failed",
                org=self._log.org,
                error=str(error),
            )
        return _BACKOFF.delay(self._tries, _NO_JITTER)

    def _record_success(self) -> None:
        self._tries = 0
        self.state.error = None
        if self._failure is not None:
            self._failure = None
            _logger.info("the System Log can be read and stored again", action="reconcile_recovered", org=self._log.org)
