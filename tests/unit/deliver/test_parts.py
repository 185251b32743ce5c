"""A batch taken apart by its outcome, and the limit of rejections in a row."""

from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason
from forwarder.deliver.batching import Pending
from forwarder.deliver.parts import DeadLetterLimit, Parts, take_apart
from tests.unit.deliver.helpers import events

SEQS = st.lists(st.integers(0, 12))


def batch_of(*seqs: int, replay: bool = False) -> list[Pending]:
    return [Pending(StoredEvent(seq, events(1, seq)[0]), replay=replay) for seq in seqs]


def rejections(*seqs: int) -> list[Rejection]:
    return [Rejection(seq, RejectReason.MAPPING, f"no to {seq}") for seq in seqs]


def places(parts: Parts) -> tuple[list[int], list[int], list[int]]:
    return (
        [pending.seq for pending in parts.delivered],
        [pending.seq for pending, _ in parts.rejected],
        [pending.seq for pending in parts.retry],
    )


def test_each_event_goes_where_the_outcome_says() -> None:
    parts = take_apart(batch_of(1, 2, 3), BatchResult(delivered=[2], retry=[3], rejected=rejections(1)))
    assert places(parts) == ([2], [1], [3])
    assert (parts.words, parts.taken, parts.faults) == ("no to 1", True, 0)


@given(delivered=SEQS, retry=SEQS, rejected=SEQS, unattributed=st.integers(0, 20))
def test_whatever_a_sink_says_each_event_is_in_one_place(
    delivered: list[int], retry: list[int], rejected: list[int], unattributed: int
) -> None:
    batch = batch_of(*range(1, 9))
    parts = take_apart(batch, BatchResult(delivered, retry, rejections(*rejected), unattributed=unattributed))
    assert sorted(seq for place in places(parts) for seq in place) == list(range(1, 9))
    assert set(places(parts)[0]) | set(places(parts)[1]) <= {*delivered, *rejected}
    assert set(parts.unattributed) <= set(places(parts)[0])


def test_what_is_in_doubt_is_sent_again() -> None:
    parts = take_apart(batch_of(1, 2, 3), BatchResult(delivered=[1, 1, 2, 7], rejected=rejections(2)))
    assert places(parts) == ([], [], [1, 2, 3])
    assert parts.faults == 4


def test_unattributed_refusals_are_counted_not_guessed() -> None:
    parts = take_apart(batch_of(1, 2, 3), BatchResult([1, 2, 3], unattributed=2, detail="2 are bad"))
    assert (len(parts.unattributed), parts.words) == (2, "2 are bad")


def test_where_all_were_refused_each_is_rejected() -> None:
    parts = take_apart(batch_of(1, 2), BatchResult([1, 2], unattributed=2, detail="bad"))
    assert places(parts) == ([], [1, 2], [])
    assert {rejection.reason for _, rejection in parts.rejected} == {RejectReason.PARTIAL_SUCCESS}


def rejected(*batch: Pending) -> Parts:
    return take_apart(batch, BatchResult(rejected=rejections(*(pending.seq for pending in batch))))


def delivered(*batch: Pending) -> Parts:
    return take_apart(batch, BatchResult([pending.seq for pending in batch]))


def test_the_events_beyond_the_limit_are_given_back() -> None:
    limit = DeadLetterLimit(3)
    first = rejected(*batch_of(1, 2))
    assert (limit.apply(first), limit.reached) == ([], False)
    second = rejected(*batch_of(3, 4, 5))
    assert [pending.seq for pending in limit.apply(second)] == [4, 5]
    assert (places(second)[1], limit.reached) == ([3], True)


def test_a_delivery_begins_the_count_anew() -> None:
    limit = DeadLetterLimit(2)
    limit.apply(rejected(*batch_of(1, 2, 3)))
    limit.apply(delivered(*batch_of(3)))
    assert not limit.reached
    assert limit.apply(rejected(*batch_of(4, 5))) == []


def test_deliveries_and_rejections_of_one_batch_count_in_the_order_of_the_log() -> None:
    limit = DeadLetterLimit(1)
    parts = take_apart(batch_of(1, 2, 3, 4), BatchResult([3], rejected=rejections(1, 2, 4)))
    assert [pending.seq for pending in limit.apply(parts)] == [2]
    assert (places(parts), limit.reached) == (([3], [1, 4], []), False)


def test_replays_that_are_rejected_do_not_count() -> None:
    limit = DeadLetterLimit(1)
    assert limit.apply(rejected(*batch_of(1, 2, 3, replay=True))) == []
    assert not limit.reached
