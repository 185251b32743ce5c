"""How a worker ends: stopped in every state, cancelled, out of time."""

import asyncio

import structlog

from forwarder.core.errors import StoreFullError
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.deliver.worker import Worker
from tests.fakes.clock import settle
from tests.unit.deliver.helpers import SINK, Rig, working


async def stopped(worker: Worker, grace: float = 10.0) -> None:
    """Stop, and fail where that takes real time: the clock stands still."""
    async with asyncio.timeout(5):
        await worker.stop(grace)


async def test_an_idle_worker_stops_at_once() -> None:
    async with working() as (rig, worker):
        await settle()
        await stopped(worker)
        assert rig.clock.waits == []


async def test_a_worker_in_a_backoff_stops_at_once_and_keeps_its_events() -> None:
    async with working(2) as (rig, worker):
        (await rig.called()).fail(RetryReason.FORBIDDEN, pause=True)
        await settle()
        await stopped(worker)
        assert (rig.position, rig.sink.unseen) == (0, 0)


async def test_a_worker_with_held_events_stops_at_once_and_keeps_them() -> None:
    async with working(2) as (rig, worker):
        (await rig.called()).reply(BatchResult(delivered=[1], retry=[2], reason=RetryReason.THROTTLED))
        await settle()
        await stopped(worker)
        assert rig.position == 1


async def test_what_is_in_flight_is_finished_and_what_waits_is_drained() -> None:
    async with working(6, batch_events=2) as (rig, worker):
        stopping = asyncio.create_task(stopped(worker))
        for expected in ([1, 2], [3, 4], [5, 6]):
            await settle()
            call = await rig.called()
            assert call.seqs == expected
            assert not stopping.done()
            call.deliver()
        await stopping
        assert rig.position == 6


async def test_draining_ends_with_the_first_failure() -> None:
    async with working(6, batch_events=2, concurrency=2) as (rig, worker):
        first, second = await rig.called(), await rig.called()
        stopping = asyncio.create_task(stopped(worker))
        await settle()
        second.fail()
        await rig.quiet()
        assert not stopping.done()
        first.deliver()
        await settle()
        assert rig.position >= 2
        for call in rig.sink.calls[2:]:
            call.fail()
        await stopping
        assert rig.store.waiting(SINK) == 4


async def test_after_the_grace_what_is_in_flight_is_cancelled() -> None:
    async with working(2) as (rig, worker):
        call = await rig.called()
        stopping = asyncio.create_task(stopped(worker, grace=3.0))
        await rig.clock.asleep()
        await rig.clock.advance(2.9)
        assert not stopping.done()
        await rig.clock.advance(0.2)
        await stopping
        assert (call.answer.cancelled(), rig.position) == (True, 0)


async def test_run_returns_where_it_was_stopped_and_raises_where_it_was_cancelled() -> None:
    for stop in (True, False):
        rig = Rig()
        await rig.append(1)
        worker = rig.worker()
        task = asyncio.create_task(worker.run())
        await rig.called()
        if stop:
            await stopped(worker, grace=0.0)
        else:
            task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() is not stop
        assert rig.sink.calls[0].answer.cancelled()


async def test_a_stop_before_the_run_is_not_lost() -> None:
    rig = Rig()
    await rig.append(1)
    worker = rig.worker()
    await stopped(worker)
    await asyncio.wait_for(worker.run(), 5)
    assert rig.sink.calls == []


async def test_a_second_stop_and_a_stop_after_the_end_return_at_once() -> None:
    async with working() as (_, worker):
        await settle()
        await asyncio.gather(stopped(worker), stopped(worker))
        await stopped(worker)


async def test_a_store_that_cannot_settle_holds_up_a_stop_no_longer_than_the_grace() -> None:
    with structlog.testing.capture_logs():
        async with working(1) as (rig, worker):
            rig.store.failure = StoreFullError("no room")
            (await rig.called()).deliver()
            await settle()
            stopping = asyncio.create_task(stopped(worker, grace=5.0))
            await settle()
            await rig.clock.advance(6)
            await stopping
            assert rig.position == 0


async def test_a_store_that_hangs_holds_up_a_stop_no_longer_than_the_grace() -> None:
    async with working(1) as (rig, worker):
        rig.store.stall()
        (await rig.called()).deliver()
        await settle()
        stopping = asyncio.create_task(stopped(worker, grace=5.0))
        await rig.clock.asleep()
        await rig.clock.advance(5)
        assert not stopping.done()
        await rig.clock.advance(2)
        await stopping
        assert rig.position == 0


async def test_a_commit_that_ends_while_the_worker_is_cancelled_is_not_forgotten() -> None:
    async with working(2) as (rig, worker):
        rig.store.stall()
        (await rig.called()).deliver()
        await settle()
        stopping = asyncio.create_task(stopped(worker, grace=0.0))
        await settle()
        rig.store.resume()
        await stopping
        assert rig.position == 2
        assert rig.metric("events_delivered_total") == 2


async def test_a_settlement_is_tried_again_while_the_worker_stops() -> None:
    with structlog.testing.capture_logs():
        async with working(1) as (rig, worker):
            rig.store.failure = StoreFullError("no room")
            (await rig.called()).deliver()
            await settle()
            stopping = asyncio.create_task(stopped(worker, grace=5.0))
            await settle()
            rig.store.failure = None
            await rig.clock.advance(1)
            await stopping
            assert rig.position == 1
