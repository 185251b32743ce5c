"""The delivery loop, one worker for each sink: read, send with a timeout, settle, wait.

Up to `concurrency` batches are in flight at once, and their outcomes come back in any order; `window.py` keeps the
position honest. What must be sent again is held until its time (`progress.py`):

- single events failed, the sink works: they wait by themselves, new events go on flowing, up to `WINDOW_BATCHES`
  batches beyond the position;
- the sink as a whole failed: nothing is sent until its time, then one batch as a probe;
- a batch was too large, or one event spoils it: it is sent again at once in halves.

The loop is the only task that touches this state; a flight only brings back its outcome. No failure of the sink or of
the store ends the loop: only `stop` and cancellation do.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import msgspec

from forwarder import logs
from forwarder.core.backoff import Backoff
from forwarder.core.errors import StoreError
from forwarder.core.ports import Log, Sink
from forwarder.deliver.batching import Pending
from forwarder.deliver.flight import Landed, fly
from forwarder.deliver.health import State, WorkerStatus
from forwarder.deliver.progress import Flight, Instruments, Progress
from forwarder.deliver.settings import DeliverySettings
from forwarder.deliver.tally import Tally

_logger = logs.get("deliver")

_REPLAYS = 100
"""Dead letters that are sent again at a time."""

_LET_GO = 2.0
"""Seconds that a sink gets to give up a batch, and the store to end a commit, once the time for a stop is over."""


class Outlet(msgspec.Struct, frozen=True):
    """A sink with its name in the configuration, and what the operator set about the delivery to it."""

    name: str
    sink: Sink
    settings: DeliverySettings


class Worker:
    """Brings every event of the log to one sink."""

    def __init__(self, outlet: Outlet, log: Log, position: int, instruments: Instruments) -> None:
        """Make the worker of one sink.

        Args:
            outlet: the sink; whoever made it closes it.
            log: the store.
            position: how far the sink has come in it.
            instruments: time, chance, metrics.
        """
        self._outlet = outlet
        self._log = log
        self._clock, self._random = instruments.clock, instruments.random
        self._tally = Tally(outlet.name, instruments.metrics)
        self._progress = Progress(outlet.name, position, outlet.settings, instruments, self._tally)
        self._flights: dict[asyncio.Task[Landed], Flight] = {}
        self._replays_asked = -1  # no number that the store knows, so that they are looked for at the start
        self._replays_left = False
        self._store_failures = 0
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._settling: asyncio.Task[None] | None = None
        self._out_of_time = False
        self._runner: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Deliver until `stop` or cancellation. Raises nothing but CancelledError."""
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
            await self._let_go()
            self._ended.set()

    async def stop(self, grace: float) -> None:
        """Stop waiting at once, finish what is in flight, and go on with what waits as long as the sink takes it.

        Args:
            grace: seconds for that; then what is in flight is given up. What is not settled stays in the store.
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
    def status(self) -> WorkerStatus:
        """What the worker is doing now."""
        progress, health, trouble = self._progress, self._progress.health, self._progress.health.trouble
        state = health.state
        if self._ended.is_set():
            state = State.STOPPED
        elif state is State.RUNNING and not self._flights:
            state = State.IDLE
        return WorkerStatus(
            sink=self._outlet.name,
            state=state,
            position=progress.window.position,
            in_flight=sum(len(flight.batch) for flight in self._flights.values()),
            held=len(progress.held),
            attempt=health.attempt,
            reason=trouble.reason if trouble else None,
            detail=trouble.detail if trouble else "",
            last_success=health.last_success,
            next_try=health.next_try,
        )

    # The loop

    async def _turn(self) -> bool:
        """One round of the loop; gives whether it was the last."""
        try:
            self._collect()
            await self._launch()
            if await self._settle():
                return False  # there may be room for more now
            if self._stopping.is_set() and not self._flights:
                return True
            await self._wait()
        except Exception as error:  # noqa: BLE001 - the loop must outlive whatever the store raises
            await self._store_failed(error)
        else:
            self._store_failures = 0
        return False

    def _collect(self) -> None:
        for task in [task for task in self._flights if task.done()]:
            self._progress.landed(self._flights.pop(task), task.result())

    async def _launch(self) -> None:
        """Send as many batches as may fly. Nothing is gathered: what is there goes at once, and while the slots are
        full more comes together by itself."""
        while self._may_send():
            batch = await self._next_batch()
            if not batch:
                return
            flight = self._progress.depart(batch)
            self._flights[asyncio.create_task(self._send(batch))] = flight

    def _may_send(self) -> bool:
        health = self._progress.health
        if self._stopping.is_set() and health.failing:
            return False
        return health.may_try and self._progress.slot_free(len(self._flights))

    async def _next_batch(self) -> list[Pending]:
        await self._look_for_replays()
        progress = self._progress
        batch = progress.due()
        events, size = progress.room(batch)
        if events:
            try:
                new = await self._log.read(progress.window.read_to, limit=events, max_bytes=size)
            except Exception:
                progress.held.hold(batch)
                raise
            progress.join(batch, new)
        return batch

    async def _look_for_replays(self) -> None:
        """Take in dead letters that an operator sent again, some at a time, the next ones when those are settled."""
        window = self._progress.window
        asked = self._log.replay_requests
        if asked != self._replays_asked:
            self._replays_asked, self._replays_left = asked, True
        if self._replays_left and not window.replaying:
            events = await self._log.replays(self._outlet.name, limit=_REPLAYS)
            self._replays_left = bool(events)
            self._progress.held.hold(window.replay(events))

    async def _send(self, batch: list[Pending]) -> Landed:
        started = self._clock.monotonic()
        landed = await fly(self._outlet.name, self._outlet.sink, batch, self._outlet.settings.timeout)
        self._tally.sent(len(batch), self._clock.monotonic() - started)
        return landed

    async def _settle(self) -> bool:
        """Tell the store what is finished; gives whether there was anything."""
        settlement = self._progress.settlement()
        if settlement is None:
            return False
        self._settling = asyncio.create_task(self._log.settle(settlement))
        # A commit cannot be called back: where this wait is cancelled, `_let_go` still learns how it ended.
        await asyncio.shield(self._settling)
        self._settled()
        return True

    def _settled(self) -> None:
        settlement, self._settling = self._progress.settlement(), None
        assert settlement is not None
        self._progress.settled(settlement)

    async def _wait(self) -> None:
        """Return when something may have changed: an outcome came, an event came, a time came, or `stop`."""
        progress = self._progress
        waits: list[Coroutine[Any, Any, Any]] = []
        if not self._stopping.is_set():
            waits.append(self._stopping.wait())
            if progress.slot_free(len(self._flights)):
                if (moment := progress.next_moment) is not None:
                    waits.append(self._clock.sleep(moment - self._clock.monotonic()))
                if progress.health.may_try and progress.room()[0]:
                    waits.append(self._log.wait(progress.window.read_to, replays=self._replays_asked))
        await _first_of(waits, self._flights)

    async def _store_failed(self, error: Exception) -> None:
        """Nothing is lost: the window keeps what the store did not take. Look again later."""
        self._store_failures += 1
        delay = Backoff().delay(self._store_failures, self._random())
        if self._store_failures == 1:
            ours = "this is a fault of the forwarder: please report it"
            _logger.error(
                "events could not be read or settled; they wait in the store, and delivery goes on by itself",
                action="delivery_store_error",
                sink=self._outlet.name,
                error=f"{type(error).__name__}: {error}",
                hint="see that the disk of `store.path` has room and works"
                if isinstance(error, StoreError)
                else ours,
                exc_info=error,
            )
        waits: list[Coroutine[Any, Any, Any]] = [self._clock.sleep(delay)]
        if not self._stopping.is_set():
            waits.append(self._stopping.wait())
        await _first_of(waits)

    async def _let_go(self) -> None:
        """Give up what is in flight, and learn how a settlement under way ends: `status.position` tells the truth."""
        for task in self._flights:
            task.cancel()
        last = {*self._flights, self._settling} if self._settling else {*self._flights}
        if last:
            await _first_of([self._clock.sleep(_LET_GO), asyncio.wait(last)])
        commit = self._settling
        if commit and commit.done() and not commit.cancelled() and commit.exception() is None:
            self._settled()


async def _first_of(
    waits: Iterable[Coroutine[Any, Any, Any]], tasks: Iterable[asyncio.Task[Any]] = ()
) -> None:
    """Return when the first of them is done. The `waits` are cancelled then, `tasks` go on.

    Raises:
        Exception: what a wait raised.
    """
    own = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait([*own, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in own:
            wait.cancel()
        results = await asyncio.gather(*own, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
