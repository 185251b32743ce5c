"""One event that spoils every request with it holds up no other; an outage sets no event aside."""

from collections.abc import Collection, Sequence

import pytest
import structlog

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, RejectReason, RetryReason
from forwarder.deliver.health import SinkState
from forwarder.deliver.worker import Worker
from forwarder.sink_settings import DeliverySettings
from tests.fakes.clock import ManualClock, settle
from tests.unit.deliver.helpers import SINK, Rig, running, working

TIMEOUT = 4.0

FAILURES = {
    "silent": BatchResult(reason=RetryReason.TIMEOUT, whole=True),
    "reset": BatchResult(reason=RetryReason.CONNECTION, whole=True),
    "5xx": BatchResult(reason=RetryReason.SERVER, whole=True),
    "403": BatchResult(reason=RetryReason.FORBIDDEN, whole=True, pause=True),
    "406, 400": BatchResult(reason=RetryReason.UNKNOWN, whole=True, pause=True),
    "403 of one item": BatchResult(reason=RetryReason.FORBIDDEN, pause=True),
}
every_failure = pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
silent_or_forbidden = pytest.mark.parametrize("failure", [FAILURES["silent"], FAILURES["403"]])


class SpoiledSink:
    """Fails each request that holds one of the events `spoiling`, and every request while `down`.

    Attributes:
        delivered: seqs in the order delivered.
        batches: seqs of each request.
    """

    def __init__(self, clock: ManualClock, failure: BatchResult, spoiling: Collection[int] = ()) -> None:
        self.down = False
        self.spoiling = set(spoiling)
        self.failure = failure
        self.delivered: list[int] = []
        self.batches: list[list[int]] = []
        self._clock = clock

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        seqs = [stored.seq for stored in batch]
        self.batches.append(seqs)
        failed = self.down or self.spoiling.intersection(seqs)
        await self._clock.sleep(TIMEOUT if failed and self.failure.reason is RetryReason.TIMEOUT else 0.01)
        if not failed:
            self.delivered += seqs
            return BatchResult(seqs)
        failure = self.failure
        retry = [seq for seq in seqs if self.down or failure.whole or seq in self.spoiling]
        self.delivered += (accepted := [seq for seq in seqs if seq not in retry])
        return BatchResult(
            accepted, retry, reason=failure.reason, detail="no", pause=failure.pause, whole=failure.whole
        )

    async def close(self) -> None:
        """Has nothing to close."""


def spoiled(
    failure: BatchResult, *spoiling: int, tries: int = 10, chance: float = 0.5
) -> tuple[Rig, SpoiledSink, Worker]:
    rig = Rig(DeliverySettings(timeout="4s", lone_tries=tries))
    sink = SpoiledSink(rig.clock, failure, spoiling)
    return rig, sink, rig.worker(sink, random=lambda: chance)


def uuid(rig: Rig, seq: int) -> str:
    return rig.store.events[seq - 1].event.uuid


@pytest.mark.long
@every_failure
@pytest.mark.parametrize("chance", [0.1, 0.999])
async def test_events_posted_after_one_that_spoils_its_requests_arrive_within_a_minute_and_the_one_is_named(
    failure: BatchResult, chance: float
) -> None:
    rig, sink, worker = spoiled(failure, 1, chance=chance)
    await rig.append(1)
    with structlog.testing.capture_logs() as lines:
        async with running(worker):
            await rig.clock.advance(30)
            assert worker.state in (SinkState.RETRYING, SinkState.PAUSED)
            await rig.append(20)
            await rig.clock.advance(60)
            assert sorted(sink.delivered) == list(range(2, 22))
            assert worker.state in (SinkState.RUNNING, SinkState.IDLE)
            await rig.clock.advance(240)  # nothing new arrives
            assert [line["uuid"] for line in lines if line["action"] == "event_set_aside"] == [uuid(rig, 1)]


@pytest.mark.long
@every_failure
@pytest.mark.parametrize("seq", [1, 31])
async def test_thirty_of_thirty_one_events_are_delivered_and_the_one_is_a_named_dead_letter(
    failure: BatchResult, seq: int
) -> None:
    rig, sink, worker = spoiled(failure, seq)
    await rig.append(31)
    with structlog.testing.capture_logs() as lines:
        async with running(worker):
            await rig.clock.advance(60)
            assert sorted(sink.delivered) == [n for n in range(1, 32) if n != seq]
            for _ in range(12):  # others go on to arrive, which is what proves it
                await rig.append(1)
                await rig.clock.advance(40)
    assert rig.dead == [seq]
    assert rig.store.dead[SINK][seq].reason is RejectReason.FAILS_ALONE
    assert uuid(rig, seq) in rig.store.dead[SINK][seq].detail
    assert rig.position == 43
    named = [line for line in lines if line["action"] == "event_set_aside"]
    assert [(line["log_level"], line["uuid"]) for line in named] == [("error", uuid(rig, seq))]
    assert uuid(rig, seq) in next(line for line in lines if line["action"] == "events_dead_lettered")["detail"]


@pytest.mark.long
async def test_events_that_wait_apart_are_in_a_metric_until_they_are_finished() -> None:
    rig, _, worker = spoiled(FAILURES["5xx"], 3, tries=6)
    await rig.append(8)
    with structlog.testing.capture_logs():
        async with running(worker):
            values = set()
            for _ in range(20):
                await rig.append(1)
                await rig.clock.advance(15)
                values.add(rig.metric("sink_set_aside_events"))
    assert values == {0, 1}
    assert rig.metric("sink_set_aside_events") == 0
    assert rig.metric("events_dead_lettered_total", reason="fails_alone") == 1


@pytest.mark.long
@silent_or_forbidden
async def test_several_events_that_spoil_one_batch_are_all_found(failure: BatchResult) -> None:
    rig, sink, worker = spoiled(failure, 2, 3, 17, 60, tries=3)
    await rig.append(64)
    with structlog.testing.capture_logs():
        async with running(worker):
            for _ in range(20):
                await rig.append(1)
                await rig.clock.advance(15)
    assert (rig.position, rig.dead) == (84, [2, 3, 17, 60])
    assert sorted(sink.delivered) == [n for n in range(1, 85) if n not in (2, 3, 17, 60)]


@pytest.mark.long
@silent_or_forbidden
async def test_an_outage_sets_no_event_aside_and_makes_no_dead_letter(failure: BatchResult) -> None:
    rig, sink, worker = spoiled(failure, tries=1)
    sink.down = True
    await rig.append(40)
    with structlog.testing.capture_logs() as lines:
        async with running(worker):
            for _ in range(30):
                await rig.append(2)
                await rig.clock.advance(30)
            assert worker.state in (SinkState.RETRYING, SinkState.PAUSED)
            assert (rig.dead, rig.position) == ([], 0)
            sink.down = False
            await rig.clock.advance(35)
            assert sorted(sink.delivered) == list(range(1, 101))
    assert rig.position == 100
    assert {line["action"] for line in lines} <= {"sink_failing", "sink_paused", "sink_recovered"}


@pytest.mark.long
async def test_a_long_outage_ends_with_few_requests() -> None:
    rig, sink, worker = spoiled(FAILURES["reset"])
    sink.down = True
    await rig.append(2_000)
    with structlog.testing.capture_logs():
        async with running(worker):
            await rig.clock.advance(900)
            sink.down = False
            before = len(sink.batches)
            await rig.clock.advance(35)
    assert rig.position == 2_000
    assert len(sink.batches) - before < 30


@pytest.mark.long
@silent_or_forbidden
async def test_an_event_that_is_the_only_one_is_only_sent_again(failure: BatchResult) -> None:
    rig, _, worker = spoiled(failure, 1, tries=1)
    await rig.append(1)
    with structlog.testing.capture_logs():
        async with running(worker):
            await rig.clock.advance(900)
            assert worker.state in (SinkState.RETRYING, SinkState.PAUSED)
    assert (rig.dead, rig.position) == ([], 0)


@pytest.mark.long
@pytest.mark.parametrize("after", [5, 13, 21, 40])
async def test_an_outage_that_begins_while_an_event_is_searched_makes_no_dead_letter(after: float) -> None:
    rig, sink, worker = spoiled(FAILURES["silent"], 7, tries=2)
    await rig.append(31)
    with structlog.testing.capture_logs():
        async with running(worker):
            await rig.clock.advance(after)
            sink.down = True
            dead = rig.dead
            await rig.clock.advance(900)
            assert set(rig.dead) - set(dead) <= {7}  # its last try may have been in flight
            sink.down = False
            for _ in range(10):
                await rig.append(1)
                await rig.clock.advance(30)
    assert rig.dead == [7]
    assert sorted(sink.delivered) == [n for n in range(1, 42) if n != 7]


@pytest.mark.long
async def test_a_revoked_key_pauses_a_sink_that_has_an_event_set_aside_and_makes_no_dead_letter() -> None:
    rig, sink, worker = spoiled(FAILURES["403"], 3, tries=5)
    await rig.append(9)
    with structlog.testing.capture_logs() as lines:
        async with running(worker):
            await rig.clock.advance(40)
            assert len(sink.delivered) == 8
            sink.down = True
            await rig.append(5)
            await rig.clock.advance(600)
            assert (worker.state, rig.dead) == (SinkState.PAUSED, [])
            sink.down = False
            await rig.clock.advance(30)
            assert len(sink.delivered) == 13
    assert [line["action"] for line in lines].count("sink_paused") >= 2


async def test_an_event_set_aside_takes_no_slot_of_the_others() -> None:
    with structlog.testing.capture_logs():
        async with working(1) as (rig, _):
            for delay in (1, 2):
                (await rig.called()).fail(RetryReason.TIMEOUT)
                await settle()
                await rig.clock.advance(delay)
            await rig.append(1)
            (await rig.called()).fail(RetryReason.TIMEOUT)  # the third failure of the first event
            await settle()
            await rig.clock.advance(4)
            probe = await rig.called()
            assert probe.seqs == [2]
            probe.deliver()
            silent = await rig.called()
            assert silent.seqs == [1]
            for seq in (3, 4):
                await rig.append(1)
                call = await rig.called()
                assert call.seqs == [seq]
                call.deliver()
            silent.deliver()
            await settle()
            assert rig.position == 4


@pytest.mark.long
async def test_an_event_that_is_throttled_alone_is_never_given_up() -> None:
    rig, sink, worker = spoiled(BatchResult(reason=RetryReason.THROTTLED, whole=True), 2, tries=2)
    await rig.append(4)
    with structlog.testing.capture_logs():
        async with running(worker):
            for _ in range(20):
                await rig.append(1)
                await rig.clock.advance(30)
            assert rig.dead == []
            assert len(sink.delivered) == 23
            sink.spoiling.clear()
            await rig.clock.advance(35)
    assert rig.position == 24


@pytest.mark.long
async def test_without_a_limit_of_lone_tries_an_event_waits_without_end_and_longer_after_each() -> None:
    rig, sink, worker = spoiled(FAILURES["reset"], 2, tries=0)
    await rig.append(4)
    with structlog.testing.capture_logs():
        async with running(worker):
            for _ in range(40):
                await rig.append(1)
                await rig.clock.advance(15)
    assert (rig.dead, rig.position) == ([], 1)
    assert len(sink.delivered) == 43
    assert sum(seqs == [2] for seqs in sink.batches) < 60


@pytest.mark.long
async def test_a_new_worker_finds_the_event_again() -> None:
    rig, sink, worker = spoiled(FAILURES["403"], 5, tries=3)
    await rig.append(31)
    with structlog.testing.capture_logs():
        async with running(worker):
            await rig.clock.advance(20)
        sink.delivered.clear()
        async with running(rig.worker(sink)):
            for _ in range(10):
                await rig.append(1)
                await rig.clock.advance(30)
    assert (rig.position, rig.dead) == (41, [5])


@pytest.mark.long
async def test_a_dead_letter_that_fails_alone_again_is_a_dead_letter_again_and_holds_up_no_other() -> None:
    rig, sink, worker = spoiled(FAILURES["reset"], 5, tries=2)
    await rig.append(9)
    with structlog.testing.capture_logs():
        async with running(worker):
            for _ in range(6):
                await rig.append(1)
                await rig.clock.advance(10)
            assert rig.dead == [5]
            rig.store.replay(SINK, 5)
            assert rig.dead == []
            for _ in range(12):
                await rig.append(1)
                await rig.clock.advance(10)
            assert rig.dead == [5]
            assert rig.position == 27
            sink.spoiling.clear()
            rig.store.replay(SINK, 5)
            await rig.clock.advance(10)
    assert rig.store.waiting(SINK) == 0
    assert rig.store.delivered[SINK] == 27


@pytest.mark.long
@silent_or_forbidden
async def test_an_event_that_fails_alone_is_given_up_although_the_window_behind_it_is_full(
    failure: BatchResult,
) -> None:
    rig, sink, _ = spoiled(failure, 1)
    rig.settings = rig.settings.model_copy(update={"batch_events": 2, "lone_tries": 3})
    await rig.append(200)
    with structlog.testing.capture_logs():
        async with running(rig.worker(sink, random=lambda: 0.5)):
            for _ in range(5):
                await rig.clock.advance(60)
    assert (rig.position, rig.dead) == (200, [1])


@pytest.mark.long
async def test_others_get_through_a_stream_in_which_every_fourth_event_spoils_its_request() -> None:
    rig, sink, worker = spoiled(FAILURES["reset"], *range(1, 200, 4), tries=4)
    with structlog.testing.capture_logs():
        async with running(worker):
            for count in range(1, 21):
                await rig.append(10)
                await rig.clock.advance(30)
                if count > 4:
                    assert len(sink.delivered) >= 5 * (count - 4)
    assert not set(rig.dead) - sink.spoiling
