"""Whatever a sink does, each event of a batch has one outcome; and the limit of rejections in a row."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason, RetryReason
from forwarder.deliver.batching import Pending
from forwarder.deliver.send_batch import DeadLetterLimit, checked, send_batch
from tests.unit.deliver.helpers import events


class Sink:
    """Answers by a coroutine function."""

    def __init__(self, answer: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._answer = answer

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        result: BatchResult = await self._answer()
        return result

    async def close(self) -> None:
        """Has nothing to close."""


BATCH = [Pending(StoredEvent(n, event)) for n, event in enumerate(events(3), start=1)]


async def _garbage() -> Any:
    return "200 OK"


async def _nothing() -> Any:
    return None


async def _raise() -> Any:
    raise RuntimeError("oops")


async def _cancel() -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize("answer", [_garbage, _nothing, _raise, _cancel])
async def test_a_sink_that_breaks_its_contract_is_a_retry(answer: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    with structlog.testing.capture_logs():
        result = await send_batch("siem", Sink(answer), BATCH, 1.0)
    assert result.retry == [1, 2, 3]
    assert (result.reason, result.whole) == (RetryReason.UNKNOWN, True)


async def test_no_answer_in_time_is_a_retry_and_the_send_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def hang() -> Any:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    result = await send_batch("siem", Sink(hang), BATCH, 0.01)
    assert (result.retry, result.reason) == ([1, 2, 3], RetryReason.TIMEOUT)
    assert cancelled.is_set()


async def test_a_try_that_is_cancelled_raises() -> None:
    async def hang() -> Any:
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(send_batch("siem", Sink(hang), BATCH, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


SEQS = st.lists(st.integers(0, 12))


def batch_of(*seqs: int) -> list[Pending]:
    return [Pending(StoredEvent(seq, events(1, seq)[0])) for seq in seqs]


def rejections(*seqs: int) -> list[Rejection]:
    return [Rejection(seq, RejectReason.MAPPING, f"no to {seq}") for seq in seqs]


def lists(result: BatchResult) -> tuple[list[int], list[int], list[int]]:
    return list(result.delivered), [rejection.seq for rejection in result.rejected], list(result.retry)


def test_a_sound_result_stays_as_it_is() -> None:
    result, errors = checked(batch_of(1, 2, 3), BatchResult(delivered=[2], retry=[3], rejected=rejections(1)))
    assert lists(result) == ([2], [1], [3])
    assert (result.rejection_detail, result.made_progress, errors) == ("no to 1", True, 0)


@pytest.mark.long
@given(delivered=SEQS, retry=SEQS, rejected=SEQS, unattributed=st.integers(0, 20))
def test_whatever_a_sink_says_each_event_has_one_outcome(
    delivered: list[int], retry: list[int], rejected: list[int], unattributed: int
) -> None:
    said = BatchResult(delivered, retry, rejections(*rejected), unattributed=unattributed)
    result, _ = checked(batch_of(*range(1, 9)), said)
    assert sorted(seq for each in lists(result) for seq in each) == list(range(1, 9))
    assert set(lists(result)[0]) | set(lists(result)[1]) <= {*delivered, *rejected}
    assert 0 <= result.unattributed <= len(result.delivered)


def test_what_is_in_doubt_is_sent_again() -> None:
    result, errors = checked(batch_of(1, 2, 3), BatchResult(delivered=[1, 1, 2, 7], rejected=rejections(2)))
    assert lists(result) == ([], [], [1, 2, 3])
    assert errors == 4


def test_unattributed_rejections_are_counted_not_guessed() -> None:
    result, _ = checked(batch_of(1, 2, 3), BatchResult([1, 2, 3], unattributed=2, detail="2 are bad"))
    assert (result.unattributed, result.rejection_detail) == (2, "2 are bad")


def test_where_all_were_rejected_each_is_a_rejection() -> None:
    result, _ = checked(batch_of(1, 2), BatchResult([1, 2], unattributed=2, detail="bad"))
    assert lists(result) == ([], [1, 2], [])
    assert {rejection.reason for rejection in result.rejected} == {RejectReason.PARTIAL_SUCCESS}


def applied(
    limit: DeadLetterLimit, result: BatchResult, *, replay: bool = False
) -> tuple[tuple[list[int], list[int], list[int]], list[int]]:
    """What is left of `result`, and what is over the limit."""
    left, over_limit = limit.apply(result, replay=replay)
    return lists(left), over_limit


def test_the_events_over_the_limit_are_taken_out() -> None:
    limit = DeadLetterLimit(3)
    assert applied(limit, BatchResult(rejected=rejections(1, 2))) == (([], [1, 2], []), [])
    assert not limit.reached
    assert applied(limit, BatchResult(rejected=rejections(3, 4, 5))) == (([], [3], []), [4, 5])
    assert limit.reached


def test_a_delivery_starts_the_count_again() -> None:
    limit = DeadLetterLimit(2)
    limit.apply(BatchResult(rejected=rejections(1, 2, 3)), replay=False)
    limit.apply(BatchResult([3]), replay=False)
    assert not limit.reached
    assert applied(limit, BatchResult(rejected=rejections(4, 5)))[1] == []


def test_deliveries_and_rejections_of_one_batch_count_in_the_order_of_the_log() -> None:
    limit = DeadLetterLimit(1)
    result = BatchResult([3], rejected=rejections(1, 2, 4))
    assert applied(limit, result) == (([3], [1, 4], []), [2])
    assert not limit.reached


def test_replays_that_are_rejected_do_not_count() -> None:
    limit = DeadLetterLimit(1)
    assert applied(limit, BatchResult(rejected=rejections(1, 2, 3)), replay=True)[1] == []
    assert not limit.reached


def test_alerts_and_actions_that_their_stream_does_not_take_never_stop_the_events() -> None:
    limit = DeadLetterLimit(1)
    reasons = (RejectReason.ALERT_STREAM, RejectReason.ACTION_STREAM)
    rejected = [Rejection(seq, reasons[seq % 2], "no right") for seq in range(1, 9)]
    result, over_limit = limit.apply(BatchResult(rejected=rejected), replay=False)
    assert (len(result.rejected), over_limit, limit.reached) == (8, [], False)
