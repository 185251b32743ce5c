"""The size of the next batch, and which retries share it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.event import StoredEvent
from forwarder.deliver.batching import AdaptiveBatchSize, Pending, RetryQueue, accepts_new_events
from tests.unit.deliver.helpers import events


def pending(seq: int, *, size: int = 100, replay: bool = False, max_batch: int = 0) -> Pending:
    return Pending(StoredEvent(seq, events(1, seq, size)[0]), replay=replay, max_batch=max_batch)


def seqs(batch: list[Pending]) -> list[int]:
    return [event.seq for event in batch]


def take(queue: RetryQueue, now: float = 0.0, *, limit: int = 10, max_bytes: int = 10_000) -> list[int]:
    return seqs(queue.take(now, limit=limit, max_bytes=max_bytes))


def test_a_batch_too_large_halves_the_size_down_to_one() -> None:
    size = AdaptiveBatchSize(100)
    sizes = []
    for _ in range(8):
        size.too_large(size.current)
        sizes.append(size.current)
    assert sizes == [50, 25, 12, 6, 3, 1, 1, 1]


def test_after_too_large_the_size_grows_back_slowly() -> None:
    size = AdaptiveBatchSize(160)
    size.too_large(160)
    for successes in range(8):
        assert (size.current, successes) == (80, successes)
        size.succeeded(80)
    assert size.current == 90
    for _ in range(200):
        size.succeeded(size.current)
    assert size.current == 160


def test_after_a_timeout_the_size_doubles_with_each_success() -> None:
    size = AdaptiveBatchSize(100)
    for _ in range(3):
        size.timed_out(size.current)
    sizes = [size.current]
    for _ in range(4):
        size.succeeded(size.current)
        sizes.append(size.current)
    assert sizes == [12, 24, 48, 96, 100]


def test_a_batch_that_did_not_fill_the_size_proves_nothing_about_it() -> None:
    size = AdaptiveBatchSize(100)
    size.timed_out(100)
    size.succeeded(3)
    assert size.current == 50


@pytest.mark.long
@given(
    st.integers(1, 5_000),
    st.lists(st.tuples(st.sampled_from(["too_large", "timed_out", "succeeded"]), st.integers(1, 5_000))),
)
def test_the_size_stays_between_one_and_the_limit(limit: int, steps: list[tuple[str, int]]) -> None:
    size = AdaptiveBatchSize(limit)
    for verb, events_sent in steps:
        getattr(size, verb)(min(events_sent, size.current))
        assert 1 <= size.current <= limit


def test_retries_are_due_at_their_time_in_the_order_of_the_log() -> None:
    queue = RetryQueue()
    queue.schedule([pending(5), pending(3)], due=2.0)
    queue.schedule([pending(9), pending(7)])
    assert queue.next_due == 0.0
    assert take(queue, 1.0) == [7, 9]
    assert queue.next_due == 2.0
    assert take(queue, 1.9) == []
    assert take(queue, 2.0) == [3, 5]
    assert len(queue) == 0


def test_a_batch_of_retries_is_bounded_by_count_and_bytes_but_never_empty() -> None:
    queue = RetryQueue()
    queue.schedule([pending(seq, size=400) for seq in range(1, 8)])
    assert take(queue, limit=2) == [1, 2]
    assert take(queue, max_bytes=1_200) == [3, 4, 5]
    assert take(queue, max_bytes=10) == [6]
    assert take(queue, limit=5) == [7]


def test_the_parts_of_a_split_batch_and_replays_share_no_batch_with_others() -> None:
    queue = RetryQueue()
    queue.schedule(
        [pending(1, replay=True), pending(2, max_batch=2), pending(3, max_batch=2), pending(4, max_batch=2), pending(5)]
    )
    assert [take(queue) for _ in range(4)] == [[1], [2, 3], [4], [5]]


def test_only_a_batch_of_plain_events_accepts_new_ones() -> None:
    assert accepts_new_events([])
    assert accepts_new_events([pending(1)])
    assert not accepts_new_events([pending(1, max_batch=4)])
    assert not accepts_new_events([pending(1, replay=True)])
