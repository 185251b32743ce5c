"""What is sent again: single events, whole batches, halves; and when, and what goes on meanwhile."""

import asyncio
from collections.abc import Sequence

import pytest
import structlog

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason, RetryReason
from forwarder.deliver.health import SinkState
from forwarder.deliver.state import PROBE_EVENTS, WINDOW_BATCHES, WINDOW_BYTES
from tests.fakes.clock import settle
from tests.fakes.sink import AnsweringSink, MemorySink
from tests.unit.deliver.helpers import SINK, Rig, running, some, working


async def test_while_single_events_wait_for_their_retry_new_ones_go_on() -> None:
    async with working(3) as (rig, _):
        (await rig.called()).reply(some([1, 2, 3], retry=[2]))
        await settle()
        await rig.append(2)
        fresh = await rig.called()
        assert fresh.seqs == [4, 5]
        fresh.deliver()
        await settle()
        assert rig.position == 1
        assert rig.metric("sink_up") == 1
        await rig.clock.advance(0.25)  # half of the base, as the chance of these tests is always one half
        again = await rig.called()
        assert again.seqs == [2]
        again.deliver()
        await settle()
        assert rig.position == 5


async def test_events_to_retry_join_a_later_batch() -> None:
    async with working(3) as (rig, _):
        (await rig.called()).reply(some([1, 2, 3], retry=[2]))
        await settle()
        await rig.append(1)
        busy = await rig.called()
        await rig.append(2)
        await rig.clock.advance(1)
        busy.deliver()
        assert (await rig.called()).seqs == [2, 5, 6]


async def test_a_single_event_waits_longer_with_each_failure_and_as_long_as_the_sink_asks() -> None:
    async with working(2) as (rig, _):
        (await rig.called()).reply(some([1, 2], retry=[2]))
        for delay in (0.25, 0.5, 1.0, 2.0):
            await settle()
            assert rig.clock.waits == [delay]
            await rig.clock.advance(delay)
            (await rig.called()).reply(some([2], retry=[2]))
        await settle()
        await rig.clock.advance(4)
        (await rig.called()).reply(some([2], retry=[2], wait=60.0))
        await settle()
        assert rig.clock.waits == [60.25]


async def test_an_event_that_always_fails_does_not_hold_up_new_ones_while_it_is_tried_alone() -> None:
    async with working(2) as (rig, _):
        (await rig.called()).reply(some([1, 2], retry=[2]))
        for _ in range(6):
            await rig.clock.advance(30)
            call = await rig.called()
            assert call.seqs == [2]
            call.reply(some([2], retry=[2]))
        await settle()
        await rig.append(1)
        assert (await rig.called()).seqs == [3]


async def test_new_events_stop_at_the_end_of_the_window() -> None:
    rig = Rig()
    rig.settings = rig.settings.model_copy(update={"batch_events": 2})
    await rig.append(100)
    stuck = AnsweringSink(lambda batch: some([s.seq for s in batch], retry=[s.seq for s in batch if s.seq == 1]))
    async with running(rig.worker(stuck)):
        for _ in range(20):
            await settle()
        assert max(seq for batch in stuck.batches for seq in batch) == 2 * WINDOW_BATCHES
        assert rig.position == 0


async def test_the_bodies_of_unfinished_events_are_bounded() -> None:
    rig = Rig()
    rig.settings = rig.settings.model_copy(update={"batch_bytes": 10_000, "batch_events": 10})
    await rig.append(200, size=1_000)
    sink = AnsweringSink(
        lambda batch: some([s.seq for s in batch], retry=[s.seq for s in batch if s.seq % 10])  # nine of ten
    )
    async with running(rig.worker(sink)):
        for _ in range(20):
            await settle()
        read = max(seq for batch in sink.batches for seq in batch)
        assert read * 0.9 <= WINDOW_BYTES * 10 + 10


async def test_a_sink_that_failed_is_tried_with_few_events_and_gets_full_batches_once_it_works() -> None:
    async with working(120, batch_events=50) as (rig, _):
        first = await rig.called()
        assert len(first.seqs) == 50
        first.fail()
        await rig.clock.advance(1)
        probe = await rig.called()
        assert probe.seqs == list(range(1, PROBE_EVENTS + 1))
        probe.deliver()
        assert (await rig.called()).seqs == list(range(PROBE_EVENTS + 1, PROBE_EVENTS + 51))


async def test_when_the_sink_fails_as_a_whole_only_one_probe_is_sent_at_its_time() -> None:
    async with working(10, batch_events=2, concurrency=2) as (rig, worker):
        first, second = await rig.called(), await rig.called()
        first.fail()
        second.fail()
        await rig.quiet()
        assert (worker.state, worker.health.attempt) == (SinkState.RETRYING, 1)
        for delay, seqs in ((0.25, [1, 2]), (0.5, [3, 4]), (1.0, [5, 6])):
            assert rig.clock.waits == [delay]
            await rig.clock.advance(delay)
            probe = await rig.called()
            assert probe.seqs == seqs
            await rig.quiet()
            probe.fail()
            await settle()
        await rig.clock.advance(2)
        probe = await rig.called()
        assert probe.seqs == [1, 2]
        probe.deliver()
        assert sorted([(await rig.called()).seqs for _ in range(3)]) == [[3, 4], [5, 6], [7, 8]]


async def test_a_batch_without_any_accepted_event_stops_the_sink_as_a_whole() -> None:
    async with working(4, batch_events=2) as (rig, worker):
        (await rig.called()).reply(some([1, 2], retry=[1, 2]))
        await rig.quiet()
        assert worker.state is SinkState.RETRYING


async def test_the_wait_that_the_server_asks_for_is_kept() -> None:
    async with working(1) as (rig, worker):
        (await rig.called()).fail(RetryReason.THROTTLED, wait=40.0)
        await settle()
        assert rig.clock.waits == [40.25]
        assert worker.health.seconds_to_next_try == 40.25


async def test_a_paused_sink_alarms_once_is_tried_slowly_and_recovers_by_itself() -> None:
    with structlog.testing.capture_logs() as lines:
        async with working(1) as (rig, worker):
            (await rig.called()).fail(RetryReason.UNAUTHORIZED, pause=True)
            await settle()
            assert (worker.state, rig.metric("sink_up")) == (SinkState.PAUSED, 0)
            for _ in range(5):
                assert 0 < rig.clock.waits[0] <= 15
                await rig.clock.advance(15)
                (await rig.called()).fail(RetryReason.UNAUTHORIZED, pause=True)
                await settle()
            errors = [line for line in lines if line["log_level"] == "error"]
            assert [line["action"] for line in errors] == ["sink_paused"]
            assert (errors[0]["sink"], errors[0]["reason"]) == (SINK, "unauthorized")
            assert errors[0]["detail"] == "it failed"
            assert "credentials" in errors[0]["hint"]
            await rig.clock.advance(15)
            (await rig.called()).deliver()
            await settle()
            assert (rig.metric("sink_up"), rig.position) == (1, 1)
    assert lines[-1]["action"] == "sink_recovered"


@pytest.mark.long
async def test_a_pause_that_lasts_is_logged_again_after_five_minutes() -> None:
    with structlog.testing.capture_logs() as lines:
        async with working(1) as (rig, _):
            for _ in range(30):
                (await rig.called()).fail(RetryReason.FORBIDDEN, pause=True)
                await settle()
                await rig.clock.advance(15)
    assert 2 <= len([line for line in lines if line["action"] == "sink_paused"]) <= 3


async def test_a_batch_that_is_too_large_goes_in_halves_down_to_one_event() -> None:
    rig = Rig()
    rig.settings = rig.settings.model_copy(update={"batch_events": 8})
    await rig.append(9)

    def answer(batch: Sequence[StoredEvent]) -> BatchResult:
        seqs = [stored.seq for stored in batch]
        if 3 not in seqs:
            return BatchResult(seqs)
        if len(seqs) > 1:
            return BatchResult(retry=seqs, reason=RetryReason.TOO_LARGE, split=True)
        return BatchResult(rejected=[Rejection(3, RejectReason.TOO_LARGE, "too large")])

    sink = AnsweringSink(answer)
    async with running(rig.worker(sink)):
        for _ in range(5):
            await settle()
    assert sink.batches[:6] == [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]
    assert (rig.position, rig.dead) == (9, [3])
    assert rig.clock.monotonic() == 0


class HangsOnce(MemorySink):
    """Never answers the first batch, takes the others."""

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        if not self.tries:
            self.tries.append(len(batch))
            await asyncio.get_running_loop().create_future()
        return await super().send(batch)


@pytest.mark.long
async def test_a_batch_without_an_answer_is_cancelled_after_the_timeout() -> None:
    rig = Rig()
    rig.settings = rig.settings.model_copy(update={"timeout": 0.05})
    await rig.append(4)
    sink = HangsOnce()
    worker = rig.worker(sink)
    async with running(worker):
        await rig.clock.asleep()
        assert rig.metric("delivery_retries_total", reason="timeout") == 1
        assert worker.health.last_failure == "no answer within 0.05 s"
        await rig.clock.advance(1)
        assert rig.position == 4
    assert sink.tries == [4, 2, 2]  # half as many: perhaps it was too much for the time


async def test_a_bad_event_is_searched_in_small_batches_while_others_keep_their_size() -> None:
    rig = Rig()
    rig.settings = rig.settings.model_copy(update={"batch_events": 8})
    await rig.append(24)

    def answer(batch: Sequence[StoredEvent]) -> BatchResult:
        seqs = [stored.seq for stored in batch]
        if 3 not in seqs:
            return BatchResult(seqs)
        if len(seqs) > 1:
            return BatchResult(retry=seqs, reason=RetryReason.UNKNOWN, split=True)
        return BatchResult(rejected=[Rejection(3, RejectReason.MALFORMED, "400")])

    sink = AnsweringSink(answer)
    with structlog.testing.capture_logs():
        async with running(rig.worker(sink)):
            for _ in range(10):
                await settle()
    assert [len(batch) for batch in sink.batches] == [8, 4, 2, 2, 1, 1, 4, 8, 8]
    assert (rig.position, rig.dead) == (24, [3])


async def test_a_pause_stops_the_whole_sink_even_if_some_events_were_accepted() -> None:
    async with working(4, batch_events=2) as (rig, worker):
        (await rig.called()).reply(
            BatchResult(delivered=[1], retry=[2], reason=RetryReason.FORBIDDEN, detail="read-only", pause=True)
        )
        await rig.quiet()
        assert (worker.state, rig.position) == (SinkState.PAUSED, 1)


async def test_a_whole_failure_stops_the_sink_also_while_it_tries_single_events_again() -> None:
    async with working(2) as (rig, worker):
        (await rig.called()).reply(some([1, 2], retry=[2]))
        await settle()
        await rig.clock.advance(1)
        again = await rig.called()
        assert again.seqs == [2]
        again.fail(RetryReason.CONNECTION)
        await settle()
        await rig.append(3)
        await rig.quiet()
        assert worker.state is SinkState.RETRYING


async def test_a_large_new_event_does_not_join_events_that_are_sent_again() -> None:
    async with working(2, batch_bytes="2KiB") as (rig, _):
        (await rig.called()).reply(some([1, 2], retry=[2]))
        await settle()
        await rig.append(1)
        busy = await rig.called()
        await rig.append(1, size=5_000)
        await rig.clock.advance(1)
        busy.deliver()
        for expected in ([2], [4]):
            call = await rig.called()
            assert call.seqs == expected
            call.deliver()
        await settle()
        assert rig.position == 4


@pytest.mark.parametrize("error", [RuntimeError("oops"), asyncio.CancelledError()], ids=["raises", "cancels itself"])
async def test_a_sink_that_breaks_its_promise_loses_nothing(error: BaseException) -> None:
    with structlog.testing.capture_logs():
        async with working(2) as (rig, _):
            (await rig.called()).answer.set_exception(error)
            await settle()
            assert (rig.metric("delivery_retries_total", reason="unknown"), rig.position) == (1, 0)
            await rig.clock.advance(1)
            assert (await rig.called()).seqs == [1, 2]


async def test_events_that_a_result_forgets_or_names_twice_are_sent_again() -> None:
    with structlog.testing.capture_logs() as lines:
        async with working(4) as (rig, _):
            (await rig.called()).reply(BatchResult(delivered=[1, 2, 99], retry=[2], reason=RetryReason.SERVER))
            await settle()
            await rig.clock.advance(1)
            assert (await rig.called()).seqs == [2, 3, 4]
    assert "sink_result_invalid" in [line["action"] for line in lines]
