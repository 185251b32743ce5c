"""The size of the next batch, and which held events are in it."""

from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.event import StoredEvent
from forwarder.deliver.batching import BatchSize, Held, Pending, takes_new_events
from tests.unit.deliver.helpers import events


def pending(seq: int, *, size: int = 100, replay: bool = False, cap: int = 0) -> Pending:
    return Pending(StoredEvent(seq, events(1, seq, size)[0]), replay=replay, cap=cap)


def seqs(batch: list[Pending]) -> list[int]:
    return [event.seq for event in batch]


def take(held: Held, now: float = 0.0, *, limit: int = 10, max_bytes: int = 10_000) -> list[int]:
    return seqs(held.take(now, limit=limit, max_bytes=max_bytes))


def test_a_batch_too_large_halves_the_size_down_to_one() -> None:
    size = BatchSize(100)
    sizes = []
    for _ in range(8):
        size.too_large(size.now)
        sizes.append(size.now)
    assert sizes == [50, 25, 12, 6, 3, 1, 1, 1]


def test_after_too_large_the_size_grows_back_slowly() -> None:
    size = BatchSize(160)
    size.too_large(160)
    for successes in range(8):
        assert (size.now, successes) == (80, successes)
        size.succeeded(80)
    assert size.now == 90
    for _ in range(200):
        size.succeeded(size.now)
    assert size.now == 160


def test_after_a_timeout_the_size_doubles_with_each_success() -> None:
    size = BatchSize(100)
    for _ in range(3):
        size.timed_out(size.now)
    sizes = [size.now]
    for _ in range(4):
        size.succeeded(size.now)
        sizes.append(size.now)
    assert sizes == [12, 24, 48, 96, 100]


def test_a_batch_that_did_not_fill_the_size_says_nothing_about_it() -> None:
    size = BatchSize(100)
    size.timed_out(100)
    size.succeeded(3)
    assert size.now == 50


@given(
    st.integers(1, 5_000),
    st.lists(st.tuples(st.sampled_from(["too_large", "timed_out", "succeeded"]), st.integers(1, 5_000))),
)
def test_the_size_stays_between_one_and_the_limit(limit: int, steps: list[tuple[str, int]]) -> None:
    size = BatchSize(limit)
    for verb, events_sent in steps:
        getattr(size, verb)(min(events_sent, size.now))
        assert 1 <= size.now <= limit


def test_held_events_come_at_their_time_in_the_order_of_the_log() -> None:
    held = Held()
    held.hold([pending(5), pending(3)], due=2.0)
    held.hold([pending(9), pending(7)])
    assert held.next_due == 0.0
    assert take(held, 1.0) == [7, 9]
    assert held.next_due == 2.0
    assert take(held, 1.9) == []
    assert take(held, 2.0) == [3, 5]
    assert len(held) == 0


def test_a_batch_of_held_events_is_bounded_by_count_and_bytes_but_never_empty() -> None:
    held = Held()
    held.hold([pending(seq, size=400) for seq in range(1, 8)])
    assert take(held, limit=2) == [1, 2]
    assert take(held, max_bytes=1_200) == [3, 4, 5]
    assert take(held, max_bytes=10) == [6]
    assert take(held, limit=5) == [7]


def test_the_parts_of_a_split_batch_and_replays_go_by_themselves() -> None:
    held = Held()
    held.hold([pending(1, replay=True), pending(2, cap=2), pending(3, cap=2), pending(4, cap=2), pending(5)])
    assert [take(held) for _ in range(4)] == [[1], [2, 3], [4], [5]]


def test_only_a_batch_of_plain_events_takes_new_ones() -> None:
    assert takes_new_events([])
    assert takes_new_events([pending(1)])
    assert not takes_new_events([pending(1, cap=4)])
    assert not takes_new_events([pending(1, replay=True)])
