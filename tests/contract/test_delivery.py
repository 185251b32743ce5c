"""What a worker and any sink keep together: at least once, nothing lost, each event in exactly one place."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from forwarder.core.event import Event
from forwarder.core.ports import Batch
from forwarder.deliver.health import SinkState
from forwarder.deliver.worker import Worker
from forwarder.metrics import Metrics
from forwarder.sink_settings import DeliverySettings
from tests.contract.sinks import SINKS, Factory, Running, stored_events
from tests.fakes.clock import FastClock
from tests.fakes.peer import SPOILED, Fault
from tests.fakes.store import MemoryStore

pytestmark = [pytest.mark.parametrize("factory", SINKS), pytest.mark.timeout(120)]

NAME = "sink"
DEADLINE = 60.0


class Pipe:
    """A store in memory, and workers on one sink."""

    def __init__(self, running: Running, settings: DeliverySettings) -> None:
        self.store = MemoryStore()
        self.running = running
        self._settings = settings

    async def append(self, count: int) -> list[Event]:
        events = [stored.event for stored in stored_events(count)]
        await self.store.append(Batch(events), timeout=5)
        return events

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """A worker from where the last one settled; killed at the end, as by a crash."""
        worker = Worker(
            NAME,
            self.running.sink,
            self.store.view(NAME),
            self.store.positions.get(NAME, 0),
            self._settings,
            metrics=Metrics(),
            clock=FastClock(20),  # a sink that refuses all is tried every 5 s and less often
            random=random.Random(1).random,
        )
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            task.cancel()
            await asyncio.wait({task})

    @property
    def dead(self) -> set[str]:
        return {self.store.events[seq - 1].event.uuid for seq in self.store.dead[NAME]}

    async def drained(self) -> None:
        """Wait until nothing waits for the sink any more."""
        await self.until(lambda: self.store.waiting(NAME) == 0)

    async def all_but(self, spoiling: Collection[str], events: Sequence[Event]) -> None:
        """Wait until the other side has each of `events` that is not `spoiling`."""
        expected = {event.uuid for event in events} - set(spoiling)
        async with asyncio.timeout(DEADLINE):
            while not expected <= set(await self.running.peer.received()):
                await asyncio.sleep(0.005)

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not reached():
                await asyncio.sleep(0.005)

    async def fail(self, fault: Fault, uuids: Collection[str] = ()) -> None:
        if fault in self.running.peer.cannot:
            pytest.skip(f"this peer cannot simulate {fault.name}: {fault.value}")
        await self.running.peer.fail_with(fault, uuids)

    async def assert_all_accounted(self, events: Sequence[Event]) -> None:
        """Each event is delivered or dead, none both, none missing."""
        received = set(await self.running.peer.received())
        assert received | self.dead == {event.uuid for event in events}
        assert not received & self.dead
        assert self.store.delivered[NAME] + len(self.store.dead[NAME]) == len(events)


@pytest.fixture
async def pipe(factory: Factory, tmp_path: Path) -> AsyncIterator[Pipe]:
    settings = DeliverySettings.model_validate(
        {
            "batch_events": 8,
            "concurrency": 2,
            "timeout": "1s",
            "backoff_base": "10ms",
            "backoff_cap": "20ms",
            "dead_letter_limit": 0,
            "lone_tries": 2,
        }
    )
    with structlog.testing.capture_logs():
        async with factory(tmp_path) as running:
            yield Pipe(running, settings)


@pytest.mark.long
async def test_every_event_arrives(pipe: Pipe) -> None:
    events = await pipe.append(50)
    async with pipe.worker():
        events += await pipe.append(50)
        await pipe.drained()
    await pipe.assert_all_accounted(events)
    assert pipe.store.delivered[NAME] == 100


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.REFUSED])
async def test_an_outage_delays_and_loses_nothing(pipe: Pipe, fault: Fault) -> None:
    events = await pipe.append(30)
    await pipe.fail(fault)
    async with pipe.worker() as worker:
        await pipe.until(lambda: worker.health.attempt >= 1)
        events += await pipe.append(10)
        assert pipe.store.positions.get(NAME, 0) == 0
        await pipe.running.peer.recover()
        await pipe.drained()
    await pipe.assert_all_accounted(events)
    assert pipe.store.delivered[NAME] == 40


@pytest.mark.long
async def test_a_sink_that_hangs_loses_nothing(pipe: Pipe) -> None:
    events = await pipe.append(20)
    await pipe.fail(Fault.SILENT)
    async with pipe.worker() as worker:
        await pipe.until(lambda: worker.health.attempt >= 1)
        await pipe.running.peer.recover()
        await pipe.drained()
    await pipe.assert_all_accounted(events)


async def test_throttled_events_arrive_later_and_hold_up_no_others(pipe: Pipe) -> None:
    events = await pipe.append(4)
    await pipe.fail(Fault.THROTTLED_SOME, [events[1].uuid])
    async with pipe.worker() as worker:
        await pipe.until(lambda: worker.held == 1)
        events += await pipe.append(20)
        async with asyncio.timeout(DEADLINE):
            while not {event.uuid for event in events} - {events[1].uuid} <= set(await pipe.running.peer.received()):
                await asyncio.sleep(0.005)
        assert pipe.store.positions.get(NAME, 0) <= 1
        await pipe.running.peer.recover()
        await pipe.drained()
    await pipe.assert_all_accounted(events)
    assert pipe.store.delivered[NAME] == 24


async def test_a_sink_that_pauses_recovers_by_itself(pipe: Pipe) -> None:
    events = await pipe.append(4)
    await pipe.fail(Fault.UNAUTHORIZED)
    async with pipe.worker() as worker:
        await pipe.until(lambda: worker.state is SinkState.PAUSED)
        assert pipe.store.positions.get(NAME, 0) == 0
        await pipe.running.peer.recover()
        await pipe.drained()
    await pipe.assert_all_accounted(events)


@pytest.mark.long
async def test_batches_that_are_too_large_arrive_in_parts(pipe: Pipe) -> None:
    events = await pipe.append(30)
    await pipe.fail(Fault.TOO_LARGE)
    async with pipe.worker():
        await pipe.drained()
    await pipe.assert_all_accounted(events)
    assert pipe.store.delivered[NAME] == 30


async def test_rejected_events_are_dead_letters_until_they_are_sent_again(pipe: Pipe) -> None:
    events = await pipe.append(30)
    poison = {events[3].uuid, events[17].uuid}
    await pipe.fail(Fault.REJECTED, poison)
    async with pipe.worker():
        await pipe.drained()
        assert pipe.dead == poison
        assert all(letter.detail for letter in pipe.store.dead[NAME].values())
        await pipe.assert_all_accounted(events)
        pipe.store.replay(NAME)
        await pipe.drained()
        assert pipe.dead == poison  # still refused
        await pipe.running.peer.recover()
        pipe.store.replay(NAME)
        await pipe.drained()
    await pipe.assert_all_accounted(events)
    assert pipe.store.delivered[NAME] == 30


@pytest.mark.long
@pytest.mark.parametrize("fault", SPOILED)
async def test_events_that_spoil_their_requests_hold_up_no_other_and_become_dead_letters(
    pipe: Pipe, fault: Fault
) -> None:
    events = await pipe.append(31)
    spoiling = {events[4].uuid, events[20].uuid}
    await pipe.fail(fault, spoiling)
    async with pipe.worker():
        await pipe.all_but(spoiling, events)
        while pipe.store.waiting(NAME):  # others go on to arrive, which is what proves it
            events += await pipe.append(1)
            await pipe.all_but(spoiling, events)
    assert pipe.dead == spoiling
    await pipe.assert_all_accounted(events)


@pytest.mark.long
@pytest.mark.parametrize("fault", SPOILED.values())
async def test_in_an_outage_no_event_becomes_a_dead_letter(pipe: Pipe, fault: Fault) -> None:
    events = await pipe.append(12)
    await pipe.fail(fault)
    async with pipe.worker() as worker:
        await pipe.until(lambda: worker.health.attempt >= 2)
        events += await pipe.append(12)
        attempt = worker.health.attempt
        await pipe.until(lambda: worker.health.attempt > attempt)
        assert pipe.store.positions.get(NAME, 0) == 0
        await pipe.running.peer.recover()
        await pipe.drained()
    await pipe.assert_all_accounted(events)
    assert pipe.dead == set()


async def test_a_worker_killed_in_the_middle_loses_nothing(pipe: Pipe) -> None:
    events = await pipe.append(100)
    for reached in (1, 20, 50):
        async with pipe.worker():
            await pipe.until(lambda reached=reached: pipe.store.positions.get(NAME, 0) >= reached)  # type: ignore[misc]
    async with pipe.worker():
        await pipe.drained()
    await pipe.assert_all_accounted(events)
    assert pipe.store.delivered[NAME] == 100


async def test_a_stop_delivers_what_waits_and_the_sink_can_be_closed(pipe: Pipe) -> None:
    events = await pipe.append(60)
    async with pipe.worker() as worker:
        await pipe.until(lambda: worker.in_flight > 0 or pipe.store.waiting(NAME) < 60)
        await worker.stop(grace=20 * DEADLINE)  # of the fast clock
        assert worker.state is SinkState.STOPPED
    await pipe.assert_all_accounted(events)
    assert pipe.store.delivered[NAME] == 60
    await pipe.running.sink.close()


async def test_a_stop_during_an_outage_keeps_everything_in_the_store(pipe: Pipe) -> None:
    events = await pipe.append(10)
    await pipe.fail(Fault.REFUSED)
    async with pipe.worker() as worker:
        await pipe.until(lambda: worker.health.attempt >= 1)
        await worker.stop(grace=20 * DEADLINE)  # of the fast clock
    assert pipe.store.waiting(NAME) == 10
    await pipe.running.peer.recover()
    async with pipe.worker():
        await pipe.drained()
    await pipe.assert_all_accounted(events)
