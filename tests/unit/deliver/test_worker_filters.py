"""Events of types that a sink does not accept are finished without being sent to it."""

import asyncio

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.outcome import RetryReason
from forwarder.core.ports import Batch
from forwarder.deliver.health import SinkState
from forwarder.sink_settings import DeliverySettings
from tests.examples import examples
from tests.fakes.clock import settle
from tests.fakes.peer import Fault
from tests.fakes.sink import MemorySink
from tests.unit.deliver.helpers import SINK, Rig, events, running

WANTED, OTHER = "user.session.start", "system.api_token.create"


def rig(**settings: int) -> Rig:
    return Rig(DeliverySettings(**settings), accepts=WANTED.__eq__)


async def test_events_of_other_types_are_filtered_and_the_position_moves_over_them() -> None:
    here = rig()
    await here.append(2)
    await here.append(3, event_type=OTHER)
    await here.append(1)
    async with running(here.worker()):
        call = await here.called()
        assert call.seqs == [1, 2, 6]
        call.deliver()
        await settle()
        assert (here.position, here.store.delivered[SINK], here.store.filtered[SINK]) == (6, 3, [3, 4, 5])
        assert not here.dead


@pytest.mark.long
async def test_events_that_are_all_filtered_are_settled_without_a_request() -> None:
    here = rig(batch_events=10)
    await here.append(1234, event_type=OTHER)
    async with running(here.worker()) as _:
        await here.quiet()
        assert (here.position, len(here.store.filtered[SINK])) == (1234, 1234)
        await here.append(7, event_type=OTHER)
        await here.quiet()
        assert here.position == 1241


async def test_a_batch_is_filled_from_beyond_the_events_that_are_filtered() -> None:
    here = rig(batch_events=10)
    for _ in range(10):
        await here.append(9, event_type=OTHER)
        await here.append(1)
    async with running(here.worker()):
        assert (await here.called()).seqs == list(range(10, 101, 10))


@pytest.mark.long
async def test_filtered_events_do_not_count_as_a_sign_that_a_failing_sink_works() -> None:
    here = rig()
    await here.append(1)
    worker = here.worker()
    with structlog.testing.capture_logs():
        async with running(worker):
            (await here.called()).fail(RetryReason.FORBIDDEN, pause=True)
            await settle()
            await here.append(500, event_type=OTHER)
            await settle()
            assert (worker.state, here.position) == (SinkState.PAUSED, 0)
            await here.clock.advance(60)
            call = await here.called()
            assert call.seqs == [1]
            call.deliver()
            await settle()
            assert (worker.state, here.position) == (SinkState.IDLE, 501)


async def test_a_dead_letter_that_is_filtered_by_now_is_not_sent_again() -> None:
    here = rig()
    here.accepts = None
    await here.append(1)
    await here.append(1, event_type=OTHER)
    with structlog.testing.capture_logs():
        async with running(here.worker()):
            (await here.called()).reject()
            await settle()
    assert here.dead == [1, 2]
    here.accepts = WANTED.__eq__
    async with running(here.worker()):
        here.store.replay(SINK)
        call = await here.called()
        assert call.seqs == [1]
        call.deliver()
        await settle()
        assert (here.dead, here.store.waiting(SINK), here.store.filtered[SINK]) == ([], 0, [2])


@pytest.mark.long
@examples(20)
@given(
    kinds=st.lists(st.tuples(st.sampled_from([WANTED, OTHER]), st.integers(1, 12)), max_size=8),
    batch_events=st.sampled_from([1, 4, 50]),
    fault=st.sampled_from([None, Fault.REJECTED, Fault.THROTTLED_SOME, Fault.REFUSED, Fault.TOO_LARGE]),
)
def test_whatever_the_sink_does_each_event_is_in_one_place_and_none_that_is_filtered_is_sent_or_dead(
    kinds: list[tuple[str, int]], batch_events: int, fault: Fault | None
) -> None:
    async def deliver() -> None:
        here, sink = rig(batch_events=batch_events), MemorySink()
        for event_type, count in kinds:
            new = events(count, len(here.store.events) + 1, event_type=event_type)
            await here.store.append(Batch(new), timeout=1)
        others = {stored.seq for stored in here.store.events if stored.event.event_type == OTHER}
        if fault is not None:
            await sink.fail_with(fault, ["uuid-2", "uuid-5"])
        async with running(here.worker(sink)):
            await here.clock.advance(30)
            await sink.recover()
            for _ in range(200):
                await here.clock.advance(60)
                if not here.store.waiting(SINK):
                    break
        filtered, dead = set(here.store.filtered[SINK]), set(here.dead)
        assert (filtered, len(here.store.filtered[SINK])) == (others, len(others))
        assert not dead & others
        assert {int(uuid.removeprefix("uuid-")) for uuid in await sink.received()}.isdisjoint(others)
        assert here.store.delivered[SINK] + len(dead) + len(filtered) == len(here.store.events)
        assert here.position == len(here.store.events)

    with structlog.testing.capture_logs():
        asyncio.run(deliver())
