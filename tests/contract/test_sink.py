"""What every sink promises, whatever its protocol: one suite, run on each sink of `sinks.py`."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RetryReason
from tests.contract.sinks import SINKS, Factory, Running, stored_events
from tests.fakes.peer import RETRY_AFTER, Fault

pytestmark = [pytest.mark.parametrize("factory", SINKS), pytest.mark.timeout(120)]

DOWN = {
    Fault.THROTTLED: {RetryReason.THROTTLED},
    Fault.SERVER_ERROR: {RetryReason.SERVER},
    Fault.REFUSED: {RetryReason.CONNECTION, RetryReason.DISK},
}
PAUSED = {
    Fault.REDIRECT: RetryReason.REDIRECT,
    Fault.UNAUTHORIZED: RetryReason.UNAUTHORIZED,
    Fault.FORBIDDEN: RetryReason.FORBIDDEN,
    Fault.NOT_FOUND: RetryReason.NOT_FOUND,
}


@pytest.fixture
async def running(factory: Factory, tmp_path: Path) -> AsyncIterator[Running]:
    async with factory(tmp_path) as started:
        yield started


async def fail(running: Running, fault: Fault, batch: Sequence[StoredEvent] = ()) -> None:
    if fault in running.peer.cannot:
        pytest.skip(f"this peer cannot simulate {fault.name}: {fault.value}")
    await running.peer.fail_with(fault, [stored.event.uuid for stored in batch])


def seqs(batch: Sequence[StoredEvent]) -> list[int]:
    return [stored.seq for stored in batch]


def uuids(batch: Sequence[StoredEvent]) -> list[str]:
    return [stored.event.uuid for stored in batch]


def partition(outcome: BatchResult) -> list[int]:
    return sorted([*outcome.delivered, *outcome.retry, *(rejection.seq for rejection in outcome.rejected)])


async def send_in_halves(running: Running, batch: Sequence[StoredEvent]) -> tuple[list[int], list[Rejection]]:
    """Send `batch`, halving each part that the sink wants split; return delivered and rejected."""
    outcome = await running.sink.send(batch)
    assert partition(outcome) == seqs(batch)
    if not outcome.split:
        assert not outcome.retry
        return list(outcome.delivered), list(outcome.rejected)
    assert len(batch) > 1
    middle = len(batch) // 2
    first, second = (await send_in_halves(running, batch[:middle]), await send_in_halves(running, batch[middle:]))
    return first[0] + second[0], first[1] + second[1]


async def test_every_event_is_delivered_and_the_peer_has_it(running: Running) -> None:
    batch = stored_events(20)
    outcome = await running.sink.send(batch)
    assert sorted(outcome.delivered) == seqs(batch)
    assert (partition(outcome), outcome.reason) == (seqs(batch), None)
    assert sorted(await running.peer.received()) == sorted(uuids(batch))


@pytest.mark.long
async def test_whatever_happens_every_event_has_exactly_one_outcome(running: Running) -> None:
    chance = random.Random(7)
    first = 1
    for fault in [None, *Fault] * 3:
        if fault in (Fault.SILENT, Fault.SPOILED_SILENT) or fault in running.peer.cannot:
            continue
        batch = stored_events(chance.randint(1, 30), first)
        first += len(batch)
        if fault is not None:
            named = chance.sample(batch, chance.randint(0, len(batch)))
            await running.peer.fail_with(fault, uuids(named))
        outcome = await running.sink.send(batch)
        assert partition(outcome) == seqs(batch)
        assert (outcome.reason is None) == (not outcome.retry)
        await running.peer.recover()


async def test_batches_in_flight_at_once_do_not_mix(running: Running) -> None:
    batches = [stored_events(10, first=1 + 10 * number) for number in range(4)]
    outcomes = await asyncio.gather(*(running.sink.send(batch) for batch in batches))
    assert [sorted(outcome.delivered) for outcome in outcomes] == [seqs(batch) for batch in batches]
    everything = [uuid for batch in batches for uuid in uuids(batch)]
    assert sorted(await running.peer.received()) == sorted(everything)


@pytest.mark.parametrize("fault", DOWN)
async def test_a_peer_that_is_down_accepts_nothing_and_every_event_is_sent_again(
    running: Running, fault: Fault
) -> None:
    batch = stored_events(4)
    await fail(running, fault)
    outcome = await running.sink.send(batch)
    assert (sorted(outcome.retry), partition(outcome)) == (seqs(batch), seqs(batch))
    assert outcome.reason in DOWN[fault]
    assert outcome.whole
    assert outcome.detail
    if fault is Fault.THROTTLED:
        assert outcome.wait in (None, RETRY_AFTER)
    await running.peer.recover()
    assert await running.peer.received() == []
    assert sorted((await running.sink.send(batch)).delivered) == seqs(batch)
    assert sorted(await running.peer.received()) == sorted(uuids(batch))


@pytest.mark.parametrize("fault", PAUSED)
async def test_what_only_an_operator_can_fix_pauses_the_sink(running: Running, fault: Fault) -> None:
    batch = stored_events(4)
    await fail(running, fault)
    outcome = await running.sink.send(batch)
    assert (sorted(outcome.retry), outcome.reason, outcome.pause) == (seqs(batch), PAUSED[fault], True)
    assert outcome.detail
    await running.peer.recover()
    assert await running.peer.received() == []
    assert sorted((await running.sink.send(batch)).delivered) == seqs(batch)


async def test_only_the_events_that_were_throttled_are_sent_again(running: Running) -> None:
    batch = stored_events(6)
    some = [batch[1], batch[4]]
    await fail(running, Fault.THROTTLED_SOME, some)
    outcome = await running.sink.send(batch)
    assert (sorted(outcome.retry), partition(outcome)) == (seqs(some), seqs(batch))
    assert (outcome.reason, outcome.whole, outcome.pause) == (RetryReason.THROTTLED, False, False)
    assert not outcome.rejected
    await running.peer.recover()
    assert sorted((await running.sink.send(some)).delivered) == seqs(some)
    assert sorted(await running.peer.received()) == sorted(uuids(batch))


async def test_a_rejected_event_does_not_hold_up_the_others(running: Running) -> None:
    batch = stored_events(6)
    await fail(running, Fault.REJECTED, [batch[3]])
    delivered, rejected = await send_in_halves(running, batch)
    assert sorted(delivered) == seqs([*batch[:3], *batch[4:]])
    assert [rejection.seq for rejection in rejected] == [batch[3].seq]
    assert rejected[0].detail
    assert sorted(await running.peer.received()) == sorted(uuids([*batch[:3], *batch[4:]]))


async def test_a_batch_that_is_too_large_is_halved(running: Running) -> None:
    batch = stored_events(5)
    await fail(running, Fault.TOO_LARGE)
    outcome = await running.sink.send(batch)
    assert (sorted(outcome.retry), outcome.split) == (seqs(batch), True)
    assert (outcome.reason, outcome.whole) == (RetryReason.TOO_LARGE, False)
    delivered, rejected = await send_in_halves(running, batch)
    assert (sorted(delivered), rejected) == (seqs(batch), [])
    assert sorted(await running.peer.received()) == sorted(uuids(batch))


@pytest.mark.long
async def test_a_send_that_is_cancelled_while_the_peer_is_silent_leaves_the_sink_usable(running: Running) -> None:
    batch = stored_events(3)
    await fail(running, Fault.SILENT)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await running.sink.send(batch)
    await running.peer.recover()
    assert sorted((await running.sink.send(batch)).delivered) == seqs(batch)
    assert set(await running.peer.received()) == set(uuids(batch))


async def test_a_send_that_is_cancelled_at_any_moment_leaves_the_sink_usable(running: Running) -> None:
    batch = stored_events(3)
    for turns in range(6):
        sending = asyncio.create_task(running.sink.send(batch))
        for _ in range(turns):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert sorted((await running.sink.send(batch)).delivered) == seqs(batch)
    assert set(await running.peer.received()) == set(uuids(batch))


async def test_the_same_event_sent_twice_is_delivered_both_times(running: Running) -> None:
    batch = stored_events(2)
    for _ in range(2):
        assert sorted((await running.sink.send(batch)).delivered) == seqs(batch)
    assert set(await running.peer.received()) == set(uuids(batch))


async def test_close_is_safe_without_a_send_and_twice(running: Running) -> None:
    await running.sink.close()
    await running.sink.close()


async def test_close_is_safe_after_a_send(running: Running) -> None:
    await running.sink.send(stored_events(1))
    await running.sink.close()
    await running.sink.close()
