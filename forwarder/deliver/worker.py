"""The delivery loop. Each sink has one worker, which reads events, sends them with a timeout, commits the results, and
waits.

Up to `concurrency` batches are in flight at once, and their results arrive in any order. The sink's position in the log
(`log_window.py`) moves only over finished events. Events that must be sent again wait in a queue until they are due
(`state.py`):

- If single events fail but the sink works, the failed events wait. Meanwhile new events are sent, up to
  `WINDOW_BATCHES` batches beyond the position.
- If the sink fails as a whole, nothing is sent until its next try is due. Then one batch is sent as a probe.
- If a batch is too large, or one of its events makes it fail, its events are sent again in halves.
- If an event fails when it is sent alone, although the sink accepts other events, the event waits longer after each
  failure. After `lone_tries` failures, the event becomes a dead letter.

Only the loop changes the state: the task that sends a batch only returns the result. No failure of the sink or of the
store ends the loop. Only `stop` and a cancellation end the loop.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from forwarder import logs
from forwarder.core.backoff import Backoff
from forwarder.core.errors import StoreError
from forwarder.core.outcome import BatchResult
from forwarder.core.ports import Clock, EventLog, Sink
from forwarder.deliver.batching import Pending
from forwarder.deliver.health import Health, SinkState
from forwarder.deliver.log_window import Window
from forwarder.deliver.metrics import DeliveryMetrics
from forwarder.deliver.send_batch import send_batch
from forwarder.deliver.state import DeliveryState
from forwarder.metrics import Metrics
from forwarder.sink_settings import DeliverySettings
from forwarder.tasks import end_tasks

_logger = logs.get("deliver")

_REPLAYS = 100
"""The maximum number of replays (dead letters that are sent again) that are read at a time."""

_ABORT_GRACE = 2.0
"""The number of seconds that an ending worker waits for the cancelled batches and for a commit in progress."""


class Worker:
    """Delivers every event of the log to one sink."""

    def __init__(  # noqa: PLR0913 - a worker joins one part of each of these rooms
        self,
        name: str,
        sink: Sink,
        log: EventLog,
        position: int,
        settings: DeliverySettings,
        *,
        metrics: Metrics,
        clock: Clock,
        accepts: Callable[[str], bool] | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        """Create the worker of the sink `name`; `run` starts the delivery.

        `position` is the sink's position in `log`. `accepts` returns whether the sink gets events of a type; None means
        that the sink gets all events. `random` returns random numbers from 0 to 1.
        """
        self._name = name
        self._sink = sink
        self._log = log
        self._timeout = settings.timeout
        self._clock = clock
        self._random = random
        self._metrics = DeliveryMetrics(name, metrics)
        backoff = Backoff(settings.backoff_base, settings.backoff_cap)
        self.health = Health(name, backoff, clock, random, self._metrics.up)
        self._window = Window(position, accepts)
        self._state = DeliveryState(settings, self._window, self.health, self._metrics, clock)
        # -1 differs from any count of the store, so the first turn of the loop reads the replays.
        self._replay_requests = -1
        self._more_replays = False
        self._store_failures = 0
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._settling: asyncio.Task[None] | None = None
        self._out_of_time = False
        self._runner: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Deliver events until `stop` is called or the task is cancelled. Raise no exception other than
        CancelledError."""
        if self._stopping.is_set():
            return
        self._runner = runner = asyncio.current_task()
        assert runner is not None
        try:
            while not await self._turn():
                pass
        except asyncio.CancelledError:
            if not self._out_of_time or runner.uncancel():
                raise
        finally:
            await self._abort_in_flight()
            self._ended.set()

    async def stop(self, grace: float) -> None:
        """Deliver the waiting events if the sink works, then end `run`. Return when `run` has ended.

        After `grace` seconds, the batches in flight are cancelled. No event is lost: an event whose result is not
        committed stays in the store, and is sent again after the next start.
        """
        self._stopping.set()
        if self._runner is None:
            return
        await _first_of([self._ended.wait(), self._clock.sleep(grace)])
        if not self._ended.is_set():
            self._out_of_time = True
            self._runner.cancel()
            await self._ended.wait()

    @property
    def state(self) -> SinkState:
        return SinkState.STOPPED if self._ended.is_set() else self._state.state

    @property
    def in_flight(self) -> int:
        """The number of events that were sent and that the sink has not answered yet."""
        return sum(len(batch.events) for batch in self._state.in_flight.values())

    @property
    def held(self) -> int:
        """The number of events that wait to be sent again."""
        return len(self._state.queue) + len(self._state.suspects)

    @property
    def set_aside(self) -> int:
        """The number of events that fail again and again although the sink accepts other events."""
        return self._state.set_aside

    # The loop

    async def _turn(self) -> bool:
        """Run one iteration of the loop, and return whether the loop must end."""
        try:
            for task in [task for task in self._state.in_flight if task.done()]:
                self._state.complete(task)
            await self._launch()
            if await self._settle():
                return False  # no wait, because the window may have space for more events now
            if self._stopping.is_set() and not self._state.in_flight:
                return True
            await self._wait()
        except Exception as error:  # noqa: BLE001 - the loop must outlive every exception of the store
            await self._wait_for_store(error)
        else:
            self._store_failures = 0
        return False

    async def _launch(self) -> None:
        """Send as many batches as may be in flight.

        The worker does not wait until a batch is full. It sends the available events at once. While these batches are
        in flight, events for the next batches arrive.
        """
        state = self._state
        if state.suspects_are_next:
            self._start(state.take_due(state.suspects))
        while state.may_send and not (self._stopping.is_set() and self.health.failing):
            events = await self._next_batch()
            if not events and self.health.failing:
                events = state.take_due(state.suspects)
            if not events:
                return
            self._start(events)

    def _start(self, events: list[Pending]) -> None:
        if events:
            self._state.start(asyncio.create_task(self._send(events)), events)

    async def _next_batch(self) -> list[Pending]:
        await self._read_replays()
        batch = self._state.take_due(self._state.queue)
        while True:
            events, size = self._state.capacity(batch)
            if not events:
                return batch
            try:
                new = await self._log.read(self._window.read_to, limit=events, max_bytes=size)
            except Exception:
                self._state.queue.schedule(batch)
                raise
            if not self._state.add(batch, new):
                return batch

    async def _read_replays(self) -> None:
        """Read up to 100 dead letters that an operator sends again, and queue their events. Do nothing while the store
        has not committed the results of the replays that were read before."""
        requests = self._log.replay_requests
        if requests != self._replay_requests:
            self._replay_requests, self._more_replays = requests, True
        if self._more_replays and not self._window.replaying:
            events = await self._log.replays(limit=_REPLAYS)
            self._more_replays = bool(events)
            self._state.queue.schedule(self._window.add_replays(events))

    async def _send(self, events: list[Pending]) -> BatchResult:
        started = self._clock.monotonic()
        result = await send_batch(self._name, self._sink, events, self._timeout)
        self._metrics.sent(len(events), self._clock.monotonic() - started)
        return result

    async def _settle(self) -> bool:
        """Commit the results that are ready, and return whether there were results to commit."""
        settlement = self._window.settlement()
        if settlement is None:
            return False
        self._settling = asyncio.create_task(self._log.settle(settlement))
        # A commit that was started cannot be stopped. So if this wait is cancelled, the task of the commit continues,
        # and `_abort_in_flight` waits for its result.
        await asyncio.shield(self._settling)
        self._settling = None
        self._metrics.settled(self._window.settled())
        return True

    async def _wait(self) -> None:
        """Wait for a result, a new event, a retry that becomes due, or `stop`, whichever comes first."""
        state = self._state
        waits: list[Coroutine[Any, Any, Any]] = []
        if not self._stopping.is_set():
            waits.append(self._stopping.wait())
            if (wakeup := state.next_wakeup) is not None:
                waits.append(self._clock.sleep(wakeup - self._clock.monotonic()))
            if state.may_send and state.capacity()[0]:
                waits.append(self._log.wait(self._window.read_to, replays=self._replay_requests))
        await _first_of(waits, self._state.in_flight)

    async def _wait_for_store(self, error: Exception) -> None:
        """Wait because the store raised `error`. The wait grows with each error in a row, and only the first error in a
        row is logged.

        No result is lost: the results that the store has not committed stay in the window, and the next iteration of
        the loop commits these results.
        """
        self._store_failures += 1
        delay = Backoff().delay(self._store_failures, self._random())
        if self._store_failures == 1:
            is_bug = not isinstance(error, StoreError)
            disk = "check that the disk of `store.path` works and has space"
            _logger.error(
                "the store could not be read or written; the events stay in the store, and delivery resumes by itself",
                action="delivery_store_error",
                sink=self._name,
                error=f"{type(error).__name__}: {error}",
                hint="this is a bug: please report it" if is_bug else disk,
                exc_info=error if is_bug else None,
            )
        waits: list[Coroutine[Any, Any, Any]] = [self._clock.sleep(delay)]
        if not self._stopping.is_set():
            waits.append(self._stopping.wait())
        await _first_of(waits)

    async def _abort_in_flight(self) -> None:
        """Cancel the batches in flight, and wait up to 2 seconds for these batches and for a commit in progress.

        If the commit succeeds, the metrics count its events.
        """
        for task in self._state.in_flight:
            task.cancel()
        last = {*self._state.in_flight, self._settling} if self._settling else {*self._state.in_flight}
        if last:
            await _first_of([self._clock.sleep(_ABORT_GRACE), asyncio.wait(last)])
        commit = self._settling
        if commit and commit.done() and not commit.cancelled() and commit.exception() is None:
            self._metrics.settled(self._window.settled())


async def _first_of(waits: Iterable[Coroutine[Any, Any, Any]], tasks: Iterable[asyncio.Task[Any]] = ()) -> None:
    """Wait until one of `waits` or one of `tasks` is done, then cancel the rest of `waits`.

    Raise the exception of a coroutine of `waits` that failed. Tasks in `tasks` are not cancelled, and their exceptions
    are not raised.
    """
    own = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait([*own, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        results = await end_tasks(own)
    for result in results:
        if isinstance(result, Exception):
            raise result
