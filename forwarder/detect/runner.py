"""Runs the rules on the events of the store, and appends their alerts to the store.

The runner reads the store as a sink does, with its own position, so that a slow rule delays neither the receiver nor a
sink. Alerts and the position are committed together, so that after a crash no alert is missing or stored twice. The
state of the rules is not stored. So at the start, and for new rules, the runner first reads the earlier events that
still affect the rules (`RuleEngine.horizon`), without alerting.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from forwarder import logs
from forwarder.core.alert import to_event
from forwarder.core.backoff import Backoff
from forwarder.core.errors import StoreError
from forwarder.core.event import Event, Source, StoredEvent
from forwarder.core.ports import Batch, Clock
from forwarder.core.time import seconds_between
from forwarder.detect.metrics import RuleMetrics
from forwarder.detect.status import DAY, rule_rows
from forwarder.detect.users import Decoded, Users
from forwarder.ecs.decode import decode, decode_object
from forwarder.event_loop_steps import Cooperative
from forwarder.metrics import Metrics
from forwarder.react.prompts.muted import Muted
from forwarder.rules.evaluation.engine import RuleEngine, Timing, content_of
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.rules.settings import RulesSettings
from forwarder.store.interface import Store
from forwarder.tasks import end_tasks

A = TypeVar("A")
T = TypeVar("T")

CURSOR = "rules"
"""The name under which the store keeps the position of the rules."""

_EVENTS = 500  # the most events in one read
_BYTES = 4 * 1024 * 1024  # the most bytes in one read
_COMMIT_INTERVAL = 5.0
"""The number of seconds after which a position without alerts is committed. A late commit does no harm: after a crash,
some events are evaluated again."""

_STOP_GRACE = 2.0  # seconds for the events that are stored already, before the runner stops

_logger = logs.get("rules")


class RuleRunner:
    """Evaluates the rules of one forwarder.

    Attributes:
        position: the sequence number of the last event that was evaluated; None before the store was read.
    """

    def __init__(self, store: Store, metrics: Metrics, clock: Clock, muted: Muted) -> None:
        """Create the runner. The rules skip the events in `muted`: events that the prompts of reactions caused."""
        self._store = store
        self._muted = muted
        self._clock = clock
        self._metrics = RuleMetrics(metrics, clock)
        self.position: int | None = None
        self._engine: RuleEngine | None = None
        self._next: tuple[RuleEngine, int] | None = None  # new rules, and the position up to which they have read
        self._users = Users()
        self._applied: object = None  # the settings and the content of the rules
        self._rules: Ruleset | None = None  # the rules that were applied last; None before the first `apply`
        self._orgs: frozenset[str] | None = None
        self._committed = 0
        self._committed_at = 0.0
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def build(self, settings: RulesSettings) -> RuleEngine:
        """Load the rules of `settings` into an engine, for `apply`. The running rules do not change.

        Raises:
            RulesError: the rules have problems; the message lists all of them.
        """
        timing = Timing(settings.again, settings.late, settings.max_age, settings.max_keys)
        return await asyncio.to_thread(lambda: RuleEngine(settings.load(), timing))

    async def apply(self, settings: RulesSettings, engine: RuleEngine) -> None:
        """Replace the rules by the rules of `engine`, which `build` made from `settings`.

        The old rules run until the new rules have read the earlier events that affect them. If neither rules nor
        settings have changed, do nothing.
        """
        rules = engine.rules
        wanted = settings, content_of(rules)
        if wanted == self._applied:
            return
        self._applied = wanted
        if "new" in self._tasks:
            self._tasks.pop("new").cancel()
        self._orgs = None if settings.orgs is None else frozenset(settings.orgs)
        self._next = None
        if not rules.rules and self._engine is None:
            return
        self._rules = rules
        _logger.info(
            "rules are loaded", action="rules_loaded", rules=len(rules.rules), correlations=len(rules.correlations)
        )
        self._tasks["new"] = asyncio.create_task(self._begin(engine), name="rules: read again")
        if "run" not in self._tasks:
            self._tasks["run"] = asyncio.create_task(self._run(), name="rules")

    async def gather(self) -> dict[str, Any] | None:
        """Return the state and counts of the rules, ready for JSON; None without rules.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._rules is None or not self._rules.rules:
            return None
        now = self._clock.now()
        return {
            "reading_earlier_events": "new" in self._tasks and not self._tasks["new"].done(),
            "behind": max(0, self._store.view.newest - (self.position or 0)),
            "failures": self._metrics.failures,
            "failed_seconds_ago": seconds_between(self._metrics.failed_at, now),
            "loaded": rule_rows(self._rules, await self._store.view.rule_counts(now - DAY), now),
        }

    async def stop(self) -> None:
        """Evaluate the events that are stored already, for at most _STOP_GRACE seconds, then stop."""
        self._stopping.set()
        self._changed.set()
        if "new" in self._tasks:
            self._tasks["new"].cancel()
        if "run" in self._tasks:
            await asyncio.wait([self._tasks["run"]], timeout=_STOP_GRACE)
        await end_tasks(self._tasks.values())

    async def _begin(self, engine: RuleEngine) -> None:
        """Let `engine` read earlier events, and repeat this until it succeeds. After an error, log it, wait, and use a
        new engine."""
        attempt = 0
        while True:
            try:
                await self._read_again(engine)
            except Exception:
                text = "the new rules cannot evaluate the earlier events; the old rules stay in force. This is a bug: please report it"
                _logger.exception(text, action="rules_failed")
            else:
                return
            attempt += 1
            await self._clock.sleep(Backoff().delay(attempt))
            engine = RuleEngine(engine.rules, engine.timing)  # the old engine has read only some of the events

    async def _read_again(self, engine: RuleEngine) -> None:
        """Let `engine` read the earlier events that affect its rules. Then let `engine` replace the engine that
        evaluates new events."""
        position = await self._first_position()
        since = self._clock.now() - 2 * engine.horizon
        await self._reading(partial(self._muted.load, self._store), since)
        if not engine.rules.rules:
            self._next = engine, self.position or position
            self._changed.set()
            return
        first = await self._reading(self._store.view.received_since, self._clock.now() - engine.horizon)
        at = min(first - 1, position)
        await self._record_alerts(engine, position)
        while at < (self.position or position):
            at = await self._warm_up(engine, at, self.position or position)
        self._next = engine, at
        self._changed.set()

    async def _first_position(self) -> int:
        """Return the stored position of the rules. If none is stored, store and return the position of the newest
        event."""
        if self.position is None:
            written = await self._reading(self._store.cursor, CURSOR)
            self.position = self._committed = self._store.view.newest if written is None else int(written)
            if written is None:
                await self._commit([], self.position)
        return self.position

    async def _record_alerts(self, engine: RuleEngine, position: int) -> None:
        """Let `engine` record the alerts stored after `position`, so that `engine` does not repeat these alerts too
        soon."""
        at = position
        while events := await self._read(at):
            for stored in events:
                if stored.event.source is Source.ALERT:
                    engine.note(stored.event, decode(stored.event.body))
            at = events[-1].seq
            await asyncio.sleep(0)

    async def _warm_up(self, engine: RuleEngine, after: int, until: int) -> int:
        """Let `engine` read one batch of the events after position `after`, up to position `until`, without alerting.
        Return the position of the last event of the batch; `until` if there are no more events."""
        events = [stored for stored in await self._read(after) if stored.seq <= until]
        cooperative = Cooperative()
        async with self._batch(engine, events) as decoded:
            for event, raw in decoded:
                if event.source is Source.ALERT:
                    engine.note(event, raw)
                    continue
                if self._muted.covers(event, raw):
                    continue
                try:
                    if engine.reads_derived:
                        self._users.derive(event, raw, remember=False)
                    engine.feed(event, raw, alerting=False)
                except Exception:  # noqa: BLE001  # one event must not keep the rules from all others
                    self._metrics.count_failure(event)
                await cooperative.yield_if_due()
        return events[-1].seq if events else until

    async def _run(self) -> None:
        while True:
            try:
                if await self._turn():
                    return
            except Exception:  # without this task, no rule would alert again
                _logger.exception(
                    "the evaluation of the rules failed. This is a bug: please report it", action="rules_failed"
                )
                await self._clock.sleep(Backoff().cap)

    async def _turn(self) -> bool:
        """Evaluate one batch of events; if there is none, wait for events. Return whether the runner has stopped."""
        if self._next is not None:
            engine, at = self._next
            while at < (self.position or 0):
                at = await self._warm_up(engine, at, self.position or 0)
            if self._next is not None and self._next[0] is engine:
                self._engine, self._next = engine, None
        if self._engine is None or self.position is None:
            await self._changed.wait()
            self._changed.clear()
            return self._stopping.is_set()
        events = await self._read(self.position)
        if not events:
            if self._stopping.is_set():
                await self._commit([], self.position)
                return True
            await self._wait()
            return False
        if events[0].seq > self.position + 1:
            self._metrics.log_skipped(events[0].seq - self.position - 1)
        alerts = await self._evaluate(self._engine, events)
        await self._commit(alerts, events[-1].seq)
        return False

    async def _evaluate(self, engine: RuleEngine, events: Sequence[StoredEvent]) -> list[Event]:
        alerts: list[Event] = []
        cooperative = Cooperative()
        async with self._batch(engine, events) as decoded:
            for event, raw in decoded:
                if event.source is Source.ALERT:
                    continue
                if self._muted.covers(event, raw):
                    self._metrics.count_muted(event)
                    continue
                now = self._clock.now()
                try:
                    with self._metrics.evaluation.time():
                        if engine.reads_derived:
                            self._users.derive(event, raw)
                        found = engine.feed(event, raw, now=now)
                except Exception:  # noqa: BLE001  # one event must not keep the rules from all others
                    self._metrics.count_failure(event)
                    continue
                self._metrics.count(event, found, now)
                alerts += [to_event(alert, raw, now) for alert in found.alerts]
                await cooperative.yield_if_due()
        self._metrics.update_groups(engine)
        return alerts

    @asynccontextmanager
    async def _batch(self, engine: RuleEngine, events: Sequence[StoredEvent]) -> AsyncIterator[list[Decoded]]:
        """Yield the decoded events that can affect `engine`. If `engine` reads derived fields, first load the users of
        these events."""
        decoded: list[Decoded] = []
        cooperative = Cooperative()
        for stored in events:
            if (raw := self._raw(engine, stored.event)) is not None:
                decoded.append((stored.event, raw))
            await cooperative.yield_if_due()
        concerned = decoded if engine.reads_derived else []
        with self._users.batch(concerned):
            await self._reading(partial(self._users.read, self._store), concerned)
            yield decoded

    def _raw(self, engine: RuleEngine, event: Event) -> dict[str, Any] | None:
        """Return the decoded body of `event`; None if no rule can match the event."""
        if event.source is Source.ACTION or (self._orgs is not None and event.org not in self._orgs):
            return None
        if (
            event.source is not Source.ALERT
            and not engine.reads_derived
            and not engine.rules.may_match(event.event_type)
        ):
            return None
        return decode_object(event.body)

    async def _wait(self) -> None:
        """Wait for an event, new rules or a stop, but at most _COMMIT_INTERVAL seconds. Then commit the position."""
        new_events = asyncio.ensure_future(self._store.view.wait(self.position or 0))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([new_events, changed], timeout=_COMMIT_INTERVAL, return_when=asyncio.FIRST_COMPLETED)
        finally:
            new_events.cancel()
            changed.cancel()
        self._changed.clear()
        await self._commit([], self.position or 0)

    async def _read(self, after: int) -> list[StoredEvent]:
        return await self._reading(partial(self._store.view.events, limit=_EVENTS, max_bytes=_BYTES), after)

    async def _reading(self, query: Callable[[A], Awaitable[T]], what: A) -> T:
        """Return the result of `query(what)`. After a StoreError, log it, wait, and try again without limit."""
        while True:
            try:
                return await query(what)
            except StoreError as error:
                await self._pause(error)

    async def _commit(self, alerts: Sequence[Event], position: int) -> None:
        """Store `alerts` and `position` together. Store a position without alerts at most once in _COMMIT_INTERVAL
        seconds."""
        now = self._clock.monotonic()
        due = alerts or self._stopping.is_set() or now - self._committed_at >= _COMMIT_INTERVAL
        if due and (alerts or self._users.unsaved or position != self._committed):
            batch = Batch(alerts, source=Source.ALERT, cursor=(CURSOR, str(position)))
            attempt = 0
            while True:
                try:
                    sightings = list(self._users.unsaved.values())
                    stored = await self._store.commit_rules(batch, sightings, self._metrics.held_back)
                    break
                except StoreError as error:
                    attempt += 1
                    await self._pause(error, attempt)
            self._users.mark_saved()
            self._metrics.held_back.clear()
            self._metrics.count_alerts(stored.stored)
            self._committed, self._committed_at = position, now
        self.position = position

    async def _pause(self, error: StoreError, attempt: int = 1) -> None:
        self._metrics.log_store_error(error)
        await self._clock.sleep(Backoff().delay(attempt))
