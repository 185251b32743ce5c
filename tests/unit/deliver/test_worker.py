"""The delivery loop: order, several batches in flight, retries, pauses, settlements.

In asyncio's debug mode, but for `make unit`; with it, the tests of many failures would take twenty times as long.
"""

import asyncio

import hypothesis
import pytest
import structlog

from forwarder.core.errors import StoreError, StoreFullError
from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason, RetryReason
from forwarder.core.ports import Batch
from forwarder.deliver.health import SinkState
from tests.fakes.clock import settle
from tests.fakes.sink import MemorySink
from tests.fakes.store import MemoryStore
from tests.unit.deliver.helpers import SINK, Rig, events, running, some, working


@pytest.fixture(autouse=True)
async def _debug() -> None:
    if hypothesis.settings.get_current_profile_name() != "inner":
        asyncio.get_running_loop().set_debug(True)


async def test_what_waits_is_sent_in_the_order_of_the_log_and_settled() -> None:
    async with working(5, batch_events=3) as (rig, _):
        first = await rig.called()
        assert first.seqs == [1, 2, 3]
        first.deliver()
        second = await rig.called()
        assert second.seqs == [4, 5]
        second.deliver()
        await settle()
        assert (rig.position, rig.store.delivered[SINK]) == (5, 5)


async def test_a_new_event_is_sent_at_once() -> None:
    async with working() as (rig, _):
        await rig.quiet()
        await rig.append(1)
        assert (await rig.called()).seqs == [1]
        assert rig.clock.monotonic() == 0


async def test_events_that_arrive_while_a_batch_is_in_flight_share_the_next_one() -> None:
    async with working(1) as (rig, _):
        first = await rig.called()
        for _ in range(7):
            await rig.append(1)
        await rig.quiet()
        first.deliver()
        assert (await rig.called()).seqs == [2, 3, 4, 5, 6, 7, 8]


async def test_a_batch_is_bounded_by_bytes_but_a_large_event_goes_alone() -> None:
    async with working(0, batch_bytes="2KiB") as (rig, _):
        await rig.store.append(Batch([*events(3, size=800), *events(1, first=4, size=9_000)]), timeout=1)
        for expected in ([1, 2], [3], [4]):
            call = await rig.called()
            assert call.seqs == expected
            call.deliver()


async def test_the_next_batch_leaves_while_one_waits_for_its_answer() -> None:
    async with working(10, batch_events=2, concurrency=2) as (rig, _):
        first, second = await rig.called(), await rig.called()
        assert (first.seqs, second.seqs) == ([1, 2], [3, 4])
        await rig.quiet()
        second.deliver()
        assert (await rig.called()).seqs == [5, 6]


async def test_the_position_never_passes_an_event_that_has_no_outcome() -> None:
    async with working(6, batch_events=2, concurrency=3) as (rig, _):
        first, second, third = [await rig.called() for _ in range(3)]
        third.deliver()
        second.deliver()
        await settle()
        assert rig.position == 0
        first.deliver()
        await settle()
        assert rig.position == 6
        assert len(rig.store.settlements) == 1


async def test_a_new_worker_begins_where_the_last_one_settled() -> None:
    rig = Rig()
    await rig.append(3)
    async with running(rig.worker()):
        (await rig.called()).reply(some([1, 2, 3], retry=[2]))
        await settle()
    assert rig.position == 1
    async with running(rig.worker()):
        assert (await rig.called()).seqs == [2, 3]


class UnreadableStore(MemoryStore):
    """Cannot be read while `broken`."""

    broken = False

    async def read(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        if self.broken:
            raise StoreError("the disk does not answer")
        return await super().read(after, limit=limit, max_bytes=max_bytes)


async def test_a_store_that_cannot_be_read_loses_no_event_that_is_sent_again() -> None:
    store = UnreadableStore()
    rig = Rig(store=store)
    await rig.append(2)
    with structlog.testing.capture_logs():
        async with running(rig.worker()):
            (await rig.called()).reply(some([1, 2], retry=[2]))
            await settle()
            store.broken = True
            await rig.clock.advance(60)
            await rig.quiet()
            store.broken = False
            await rig.clock.advance(60)
            call = await rig.called()
            assert call.seqs == [2]
            call.deliver()
            await settle()
    assert rig.position == 2


async def test_rejected_events_become_dead_letters_with_the_sinks_text() -> None:
    with structlog.testing.capture_logs():
        async with working(3) as (rig, _):
            dead = Rejection(2, RejectReason.MAPPING, "field [a] is no date")
            (await rig.called()).reply(BatchResult(delivered=[1, 3], rejected=[dead]))
            await settle()
            assert rig.store.dead[SINK] == {2: dead}
            assert rig.metric("events_dead_lettered_total", reason="mapping") == 1
            assert rig.metric("events_delivered_total") == 2


async def test_unattributed_rejections_are_counted_as_dead() -> None:
    with structlog.testing.capture_logs():
        async with working(4) as (rig, _):
            (await rig.called()).reply(BatchResult(delivered=[1, 2, 3, 4], unattributed=3, detail="3 were invalid"))
            await settle()
            assert (rig.store.delivered[SINK], rig.store.unattributed[SINK]) == (1, 3)
            assert rig.store.settlements[0].unattributed_detail == "3 were invalid"
            assert rig.metric("events_dead_lettered_total", reason="partial_success") == 3
            assert rig.metric("events_delivered_total") == 1


async def test_while_the_store_cannot_settle_the_worker_waits_and_keeps_its_outcomes() -> None:
    with structlog.testing.capture_logs() as lines:
        async with working(2) as (rig, _):
            rig.store.failure = StoreFullError("no room")
            (await rig.called()).deliver()
            for _ in range(5):
                await rig.clock.advance(30)
            assert (rig.position, len(rig.sink.calls)) == (0, 1)
            rig.store.failure = None
            await rig.clock.advance(30)
            assert (rig.position, rig.store.delivered[SINK], len(rig.sink.calls)) == (2, 2, 1)
    ((action, traceback),) = [(line["action"], line["exc_info"]) for line in lines]
    assert (action, traceback) == ("delivery_store_error", None)


@pytest.mark.long
async def test_metrics_have_their_series_from_the_start() -> None:
    rig = Rig()
    rig.worker()
    assert rig.metric("events_delivered_total") == 0
    assert rig.metric("sink_up") == 1
    assert all(rig.metric("delivery_retries_total", reason=str(reason)) == 0 for reason in RetryReason)
    assert all(rig.metric("events_dead_lettered_total", reason=str(reason)) == 0 for reason in RejectReason)


async def test_lag_batches_and_retries_are_measured() -> None:
    async with working(2) as (rig, _):
        call = await rig.called()
        await rig.clock.advance(2)
        call.fail()
        await rig.clock.advance(0.25)
        (await rig.called()).deliver()
        await settle()
        assert rig.metric("delivery_lag_seconds_sum") == 2 * (3 + 2.25)
        assert rig.metric("batch_events_sum") == 4
        assert rig.metric("batch_duration_seconds_sum") == 2
        assert rig.metric("delivery_retries_total", reason="server") == 1


async def test_the_status_shows_what_the_worker_does() -> None:
    async with working(2) as (rig, worker):
        call = await rig.called()
        assert (worker.state, worker.in_flight) == (SinkState.RUNNING, 2)
        call.fail()
        await settle()
        assert (worker.state, worker.held) == (SinkState.RETRYING, 2)
        assert worker.health.last_failure == "it failed"
        assert rig.metric("delivery_retries_total", reason="server") == 1
        await rig.clock.advance(1)
        (await rig.called()).deliver()
        await settle()
        assert (worker.state, rig.position) == (SinkState.IDLE, 2)
        assert (worker.health.last_success, worker.health.seconds_to_next_try) == (rig.clock.now(), None)
    assert worker.state is SinkState.STOPPED


@pytest.mark.long
async def test_a_long_backlog_is_drained() -> None:
    rig = Rig()
    await rig.append(5_000)
    sink = MemorySink()
    async with running(rig.worker(sink)), asyncio.timeout(10):
        while rig.position < 5_000:
            await asyncio.sleep(0)
    assert len(await sink.received()) == 5_000
