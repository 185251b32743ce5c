"""The dead-letter limit, and dead letters that an operator sends again."""

import pytest
import structlog

from forwarder.core.outcome import BatchResult, Rejection, RejectReason
from forwarder.deliver.health import SinkState
from tests.fakes.clock import settle
from tests.unit.deliver.helpers import SINK, Rig, running, working


async def test_too_many_rejected_in_a_row_pause_the_sink_and_the_others_stay_waiting() -> None:
    with structlog.testing.capture_logs() as lines:
        async with working(20, batch_events=8, dead_letter_limit=10) as (rig, worker):
            (await rig.called()).reject()
            (await rig.called()).reject()
            await rig.quiet()
            assert (rig.position, rig.dead) == (10, list(range(1, 11)))
            assert worker.state is SinkState.PAUSED
            assert rig.metric("delivery_retries_total", reason="dead_letter_limit") == 1
            assert (worker.health.last_failure, rig.metric("sink_up")) == ("it does not fit", 0)
    paused = [line for line in lines if line["action"] == "sink_paused"]
    assert [line["log_level"] for line in paused] == ["error"]
    assert "dead-letters" in paused[0]["hint"]


async def test_a_sink_at_the_limit_is_probed_with_one_event_at_a_time_never_the_same_one_first() -> None:
    with structlog.testing.capture_logs():
        async with working(8, batch_events=6, dead_letter_limit=2) as (rig, _):
            (await rig.called()).reject()
            probed = []
            for _ in range(4):
                await rig.clock.advance(15)
                probe = await rig.called()
                probed += probe.seqs
                probe.reject()
                await rig.quiet()
            assert probed == [3, 4, 5, 6]
            assert rig.dead == [1, 2]


async def test_a_sink_at_the_limit_goes_on_when_it_accepts_an_event_again() -> None:
    with structlog.testing.capture_logs() as lines:
        async with working(12, batch_events=6, dead_letter_limit=2) as (rig, worker):
            (await rig.called()).reject()
            await settle()
            await rig.clock.advance(15)
            probe = await rig.called()
            assert probe.seqs == [3]
            probe.deliver()
            for expected in ([4, 5, 6, 7, 8, 9], [10, 11, 12]):
                call = await rig.called()
                assert call.seqs == expected
                call.deliver()
            await settle()
            assert (rig.position, rig.dead) == (12, [1, 2])
            assert worker.state is SinkState.IDLE
    assert lines[-1]["action"] == "sink_recovered"


async def test_a_delivered_event_between_starts_the_count_again() -> None:
    with structlog.testing.capture_logs():
        async with working(9, batch_events=3, dead_letter_limit=2) as (rig, worker):
            for _ in range(3):
                call = await rig.called()
                one, two, three = call.seqs
                dead = [Rejection(seq, RejectReason.MAPPING, "no") for seq in (one, three)]
                call.reply(BatchResult(delivered=[two], rejected=dead))
            await settle()
            assert (rig.position, len(rig.dead), worker.state) == (9, 6, SinkState.IDLE)


@pytest.mark.long
async def test_without_a_limit_everything_may_be_rejected() -> None:
    with structlog.testing.capture_logs():
        async with working(500, dead_letter_limit=0) as (rig, _):
            (await rig.called()).reject()
            await settle()
            assert (rig.position, len(rig.dead)) == (500, 500)


async def test_many_rejected_events_give_one_line_in_the_log() -> None:
    with structlog.testing.capture_logs() as lines:
        async with working(30, batch_events=3, dead_letter_limit=0) as (rig, _):
            for _ in range(10):
                (await rig.called()).reject()
            await settle()
            assert len(rig.dead) == 30
    assert [(line["action"], line["events"]) for line in lines] == [("events_dead_lettered", 3)]


async def _dead_letters(rig: Rig, *seqs: int) -> None:
    call = await rig.called()
    rejected = [Rejection(seq, RejectReason.MAPPING, "no") for seq in seqs]
    call.reply(BatchResult(delivered=[seq for seq in call.seqs if seq not in seqs], rejected=rejected))
    await settle()


async def test_a_dead_letter_that_an_operator_sends_again_is_sent_by_itself_and_settled() -> None:
    with structlog.testing.capture_logs():
        async with working(4) as (rig, _):
            await _dead_letters(rig, 2, 3)
            assert rig.dead == [2, 3]
            rig.store.replay(SINK, 2, 3)
            call = await rig.called()
            assert call.seqs == [2, 3]
            dead = Rejection(3, RejectReason.MAPPING, "still no")
            call.reply(BatchResult(delivered=[2], rejected=[dead]))
            await settle()
            assert (rig.position, rig.store.delivered[SINK]) == (4, 3)
            assert rig.store.dead[SINK] == {3: dead}
            assert rig.metric("events_delivered_total") == 3


async def test_replays_do_not_share_a_batch_with_new_events() -> None:
    with structlog.testing.capture_logs():
        async with working(2) as (rig, _):
            await _dead_letters(rig, 1)
            await rig.append(1)
            busy = await rig.called()
            await rig.append(1)
            rig.store.replay(SINK, 1)
            busy.deliver()
            replay = await rig.called()
            assert replay.seqs == [1]
            replay.deliver()
            assert (await rig.called()).seqs == [4]


@pytest.mark.long
async def test_more_replays_than_fit_are_sent_some_at_a_time_until_none_is_left() -> None:
    with structlog.testing.capture_logs():
        async with working(250, dead_letter_limit=0, batch_events=250) as (rig, _):
            (await rig.called()).reject()
            await settle()
            rig.store.replay(SINK)
            sent = []
            while rig.store.waiting(SINK):
                call = await rig.called()
                sent += call.seqs
                call.deliver()
                await settle()
            assert sent == list(range(1, 251))
            assert (rig.dead, rig.store.delivered[SINK]) == ([], 250)


async def test_replays_that_a_crash_interrupted_are_sent_at_the_next_start() -> None:
    with structlog.testing.capture_logs():
        rig = Rig()
        await rig.append(2)
        async with running(rig.worker()):
            await _dead_letters(rig, 1, 2)
            rig.store.replay(SINK)
            await rig.called()
        async with running(rig.worker()):
            (await rig.called()).deliver()
            await settle()
        assert (rig.store.waiting(SINK), rig.store.delivered[SINK]) == (0, 2)


async def test_replays_that_fail_are_tried_again() -> None:
    with structlog.testing.capture_logs():
        async with working(1) as (rig, _):
            await _dead_letters(rig, 1)
            rig.store.replay(SINK)
            (await rig.called()).fail()
            await settle()
            await rig.clock.advance(1)
            (await rig.called()).deliver()
            await settle()
            assert (rig.store.waiting(SINK), rig.store.delivered[SINK]) == (0, 1)


async def test_replays_asked_for_while_others_are_in_flight_are_not_forgotten() -> None:
    with structlog.testing.capture_logs():
        async with working(2) as (rig, _):
            await _dead_letters(rig, 1, 2)
            rig.store.replay(SINK, 1)
            first = await rig.called()
            rig.store.replay(SINK, 2)
            await rig.quiet()
            first.deliver()
            second = await rig.called()
            assert second.seqs == [2]
            second.deliver()
            await settle()
            assert rig.store.delivered[SINK] == 2


async def test_replays_that_are_rejected_again_do_not_count_towards_the_limit() -> None:
    with structlog.testing.capture_logs():
        async with working(3, dead_letter_limit=3) as (rig, worker):
            await _dead_letters(rig, 1, 2, 3)
            rig.store.replay(SINK)
            (await rig.called()).reject()
            await settle()
            assert (rig.dead, worker.state) == ([1, 2, 3], SinkState.IDLE)


async def test_a_replay_that_may_have_been_refused_stays_a_dead_letter() -> None:
    with structlog.testing.capture_logs():
        async with working(2) as (rig, _):
            await _dead_letters(rig, 1, 2)
            rig.store.replay(SINK)
            (await rig.called()).reply(BatchResult(delivered=[1, 2], unattributed=1, detail="one was invalid"))
            await settle()
            assert [rejection.reason for rejection in rig.store.dead[SINK].values()] == [RejectReason.PARTIAL_SUCCESS]
            assert rig.store.delivered[SINK] == 1


async def test_a_replay_that_is_delivered_wakes_a_sink_at_the_limit() -> None:
    with structlog.testing.capture_logs():
        async with working(4, dead_letter_limit=2) as (rig, worker):
            (await rig.called()).reject()
            await settle()
            rig.store.replay(SINK, 1)
            await rig.clock.advance(15)
            probe = await rig.called()
            assert probe.seqs == [1]
            probe.deliver()
            (await rig.called()).deliver()
            await settle()
            assert (rig.position, rig.dead, worker.state) == (4, [2], SinkState.IDLE)
