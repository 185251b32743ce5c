"""The org's System Log into the store: what hooks do not carry, and what they should have brought and did not.

Nothing is lost, because where the next page begins is stored in one transaction with the page before it: a reader that
dies reads a page again, and the store knows its events. Where Okta does not know the place any more, it goes back in
time and reads again what the store knows already.
"""

from typing import Protocol

import msgspec

from forwarder import logs
from forwarder.core.backoff import Backoff
from forwarder.core.errors import OktaError, OktaRefusedError, StoreError
from forwarder.core.event import Source
from forwarder.core.ports import Appended, Batch, Clock, EventStore
from forwarder.core.time import Micros, to_datetime
from forwarder.metrics import Metrics
from forwarder.okta.hooks.hook_alerts import Notices
from forwarder.okta.settings import ReconcileSettings
from forwarder.okta.system_log.metrics import LogCounts
from forwarder.okta.system_log.pages import LogPage, SystemLog, hooked, names_hooks

_SECOND = 1_000_000

OVERLAP: Micros = 3600 * _SECOND
"""How far before the newest event known a reader goes that lost its place.

By Okta's word no overlap is needed: polling looks at when an event was stored, and what is unread was stored after the
newest that was read had happened. An hour covers that Okta's machines differ in time and show what they store late.
More would cost: a busy org has 40,000 events an hour, 40 pages, two minutes of the limit's share; a day of it would keep
what happens now waiting for half an hour each time that a place is lost.
"""

DEEP: Micros = 24 * 3600 * _SECOND
"""How far a reader goes back that cannot even tell what it has read: a whole day, for there is nothing better to go by."""

COMMIT_TIMEOUT = 30.0
"""Seconds to wait for a page to be stored; nobody waits for an answer here."""

GONE = {400, 404, 410}
"""What Okta answers for a place in the log that it does not know any more."""

_HUMAN = {401, 403}  # what only an operator can mend
_BACKOFF = Backoff(base=2.0, cap=120.0)
_NO_JITTER = 0.5  # one reader an org: nobody to step out of the way of. Half of the bound: 1, 2, 4 … 60 s

_logger = logs.get("okta")


class KnownHook(Protocol):
    """What is known of our hook; HookWatch is one."""

    def hook_id(self) -> str | None:
        """Its id; None where there is none, or where it is not known yet."""
        ...

    async def look(self) -> None:
        """Ask Okta now."""
        ...


class Place(msgspec.Struct, frozen=True):
    """How far a reader has come, as the store remembers it.

    Attributes:
        next: address of the page that follows; empty for none: begin by time then.
        polled: by our clock; all that Okta had stored then is read. 0 before the log's end was reached once.
        newest: the latest `published` that was read; before that, where to begin.
        hook: id of the hook that was ours, for while it is not known yet after a start.
    """

    next: str
    polled: Micros
    newest: Micros
    hook: str = ""


class ReconcileState(msgspec.Struct):
    """What an operator wants to know. Counts begin with the process.

    Attributes:
        last_poll: when the log's end was last reached; None before.
        cursor_saved: when the place was last stored; None before.
        complete: all that happened before is stored, as far as the log tells.
        missed: events that the hook never brought.
        restarts: how often the place was lost.
        error: why the last try failed; None while all is well.
    """

    last_poll: Micros | None = None
    cursor_saved: Micros | None = None
    complete: Micros | None = None
    missed: int = 0
    restarts: int = 0
    error: str | None = None


class Reconciler:
    """Reads one org's System Log into the store, for as long as `run` runs.

    Attributes:
        state: how it goes.
        notices: what Okta says there about hooks.
    """

    def __init__(
        self,
        log: SystemLog,
        store: EventStore,
        settings: ReconcileSettings,
        hook: KnownHook | None,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """Args:
        log: of the org.
        store: where the events go.
        settings: when to look, and how late a hook may be.
        hook: ours; while its id is not known, the last one that this org had counts. None where it has none.
        metrics: where to count.
        clock: what time it is.
        """
        self._log = log
        self._store = store
        self._settings = settings
        self._hook = hook
        self._clock = clock
        self._counts = LogCounts(metrics, log.org)
        self._counts.lag.set_function(self.lag)
        self._place: Place | None = None
        self._tries = 0
        self._trouble: object = None
        self._hooks_since = clock.monotonic()
        self._born = clock.now()
        self.state = ReconcileState()
        self.notices = Notices(log.org, clock)

    async def run(self) -> None:
        """Look every `poll`, until cancelled. What Okta or the store does never ends it."""
        while True:
            begun = self._clock.monotonic()
            try:
                await self.poll()
            except (OktaError, StoreError) as error:
                await self._clock.sleep(self._failed(error))
            else:
                await self._clock.sleep(max(0.0, begun + self._settings.poll - self._clock.monotonic()))

    async def poll(self) -> None:
        """Read all that the log has by now, and give up on hooks that are too late.

        Raises:
            OktaError: not all could be read; what was is stored.
            StoreError: the store cannot be read, or missed events could not be noted.
        """
        if self._place is None:
            self._place = await self._remembered()
        full = True
        while full:
            hook = self._hook_id() or self._place.hook
            page = await self._page(self._place, hook)
            if (
                self._hook
                and not self._hook.hook_id()
                and any(names_hooks(event.body) for event in page.events)
            ):
                # Made since the last look, perhaps: its first events are already its to bring.
                await self._hook.look()
                hook = self._hook_id() or hook
                page = msgspec.structs.replace(page, hooked=await hooked(page.events, hook))
            self._place = await self._keep(page, self._place, hook)
            full = page.full
        self.state.last_poll = self._clock.now()
        self._recovered()
        await self._give_up_on_hooks()

    def lag(self) -> float:
        """Seconds since the newest moment up to which the log is stored; since our start, before that is known."""
        return max(0, self._clock.now() - (self.state.complete or self._born)) / _SECOND

    def _hook_id(self) -> str | None:
        return self._hook.hook_id() if self._hook else None

    @property
    def _cursor(self) -> str:
        return f"log:{self._log.org}"

    async def _remembered(self) -> Place:
        """Where to go on: as the store remembers it, or `lookback` ago."""
        now = self._clock.now()
        text = await self._store.cursor(self._cursor)
        if text is None:
            place = Place("", 0, now - round(self._settings.lookback * _SECOND))
        else:
            try:
                place = msgspec.json.decode(text, type=Place)
            except msgspec.MsgspecError as error:
                place = self._lost(
                    Place("", 0, now - DEEP + OVERLAP), f"what is remembered is no place: {error}"
                )
        self.state.complete = max(place.polled, place.newest)
        if place.next and not self._log.owns(place.next):
            place = self._lost(place, "the org's address has changed")
        return place

    async def _page(self, place: Place, hook: str) -> LogPage:
        """The page that follows `place`; begins by time where Okta does not know the place any more."""
        if place.next:
            try:
                return await self._log.follow(place.next, hook=hook)
            except OktaRefusedError as error:
                if error.status not in GONE:
                    raise
                place = self._place = self._lost(place, str(error))
        return await self._log.begin(place.newest, hook=hook)

    def _lost(self, place: Place, why: str) -> Place:
        """Where to begin by time, for one who was at `place`."""
        self.state.restarts += 1
        since = place.newest - OVERLAP
        _logger.warning(
            "lost the place in the System Log; reads again from before it, so that nothing is passed over",
            action="reconcile_restarted",
            org=self._log.org,
            since=to_datetime(since).isoformat(),
            why=why,
        )
        return msgspec.structs.replace(place, next="", newest=since)

    async def _keep(self, page: LogPage, before: Place, hook: str) -> Place:
        """Store a page with the place after it, and say what that place is. Tries until it is stored."""
        place = Place(
            next=page.next or "",
            polled=before.polled if page.full else page.asked,
            # Never ahead of our clock: one event from the future would hide what happens until then.
            newest=max(before.newest, min(page.newest or 0, page.asked)),
            hook=hook,
        )
        cursor = self._cursor, msgspec.json.encode(place).decode()
        appended = await self._append(Batch(page.events, page.malformed, Source.LOG, cursor, page.hooked))
        self.state.cursor_saved = self._clock.now()
        self.state.complete = max(place.polled, place.newest)
        self._counts.appended(appended, len(page.malformed))
        self.notices.look(appended.stored)
        return place

    async def _append(self, batch: Batch) -> Appended:
        """Store `batch`, however long that takes. It is never fetched again for that: each try of a slow store may stand
        in its queue, and all of them share the same bodies."""
        while True:
            try:
                appended = await self._store.append(batch, timeout=COMMIT_TIMEOUT)
            except StoreError as error:
                await self._clock.sleep(self._failed(error))
            else:
                self._recovered()
                return appended

    async def _give_up_on_hooks(self) -> None:
        """Call missed what the hook had time to bring: `grace` since it happened, since the log brought it, and since
        hooks were able to come at all, which they are not while we are down or cannot store."""
        if self._clock.monotonic() - self._hooks_since < self._settings.grace:
            return
        before = self._clock.now() - round(self._settings.grace * _SECOND)
        missed = await self._store.mark_missed(self._log.org, before)
        if missed:
            self._counts.missed(missed)
            self.state.missed += missed
            _logger.warning(
                "the hook never brought what it should; the System Log did",
                action="events_missed",
                org=self._log.org,
                events=missed,
            )

    def _failed(self, error: OktaError | StoreError) -> float:
        """Tell of a fault, once while it stays the same. Gives the seconds to wait."""
        if isinstance(error, StoreError):
            self._hooks_since = self._clock.monotonic()
        self._tries += 1
        self.state.error = str(error)
        status = error.status if isinstance(error, OktaRefusedError) else None
        trouble = (type(error), status)
        if trouble != self._trouble:
            self._trouble = trouble
            tell = _logger.error if status in _HUMAN else _logger.warning
            tell(
                "the System Log cannot be read on; tries go on, and nothing is lost",
                action="reconcile_failed",
                org=self._log.org,
                error=str(error),
            )
        return _BACKOFF.delay(self._tries, _NO_JITTER)

    def _recovered(self) -> None:
        self._tries = 0
        self.state.error = None
        if self._trouble is not None:
            self._trouble = None
            _logger.info("the System Log is read again", action="reconcile_recovered", org=self._log.org)
