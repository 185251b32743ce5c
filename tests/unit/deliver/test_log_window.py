"""The position moves only over finished events, and the settlements add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason
from forwarder.deliver.batching import Pending
from forwarder.deliver.log_window import Window
from tests.unit.deliver.helpers import events


def stored(first: int, count: int) -> list[StoredEvent]:
    return [StoredEvent(first + n, event) for n, event in enumerate(events(count, first))]


def delivered(*batch: Pending) -> BatchResult:
    return BatchResult([one.seq for one in batch])


def rejected(*batch: Pending) -> BatchResult:
    return BatchResult(rejected=[Rejection(one.seq, RejectReason.MAPPING, "no") for one in batch])


def test_nothing_moves_before_the_first_event_is_finished() -> None:
    window = Window(10)
    eleven, twelve, thirteen = window.add(stored(11, 3))
    window.finish(delivered(twelve, thirteen))
    assert (window.settlement(), window.events) == (None, 3)
    window.finish(rejected(eleven))
    settlement = window.settlement()
    assert settlement is not None
    assert (settlement.position, settlement.delivered) == (13, 2)
    assert [rejection.seq for rejection in settlement.dead] == [11]


def test_the_bytes_are_those_of_unfinished_events() -> None:
    window = Window(0)
    batch = window.add(stored(1, 3))
    replays = window.add_replays([])
    assert (window.bytes, replays) == (300, [])
    window.finish(delivered(*batch[1:]))
    assert window.bytes == 100


def test_a_settlement_is_offered_unchanged_until_the_store_has_taken_it() -> None:
    window = Window(0)
    one, two = window.add(stored(1, 2))
    window.finish(delivered(one))
    first = window.settlement()
    window.finish(delivered(two))
    assert window.settlement() is first
    assert window.position == 0
    window.settled()
    assert window.position == 1
    second = window.settlement()
    assert second is not None
    assert (second.position, second.delivered) == (2, 1)


def test_unattributed_rejections_are_settled_when_the_position_passes_them() -> None:
    window = Window(0)
    one, _, _ = window.add(stored(1, 3))
    window.finish(BatchResult([2, 3], unattributed=1, detail="one is bad"))
    assert window.settlement() is None
    window.finish(delivered(one))
    settlement = window.settlement()
    assert settlement is not None
    assert (settlement.position, settlement.delivered, settlement.dead) == (3, 3, [])
    assert (settlement.unattributed, settlement.unattributed_detail) == (1, "one is bad")


def test_replays_do_not_move_the_position() -> None:
    window = Window(50)
    one, two = window.add_replays(stored(3, 2))
    assert window.add_replays(stored(3, 2)) == []
    window.finish(delivered(one))
    window.finish(rejected(two))
    settlement = window.settlement()
    assert settlement is not None
    assert (settlement.position, settlement.delivered, settlement.replayed) == (50, 0, [3])
    assert [rejection.seq for rejection in settlement.dead_again] == [4]
    assert window.replaying == {3, 4}
    window.settled()
    assert window.replaying == set()


@pytest.mark.long
@given(order=st.permutations(range(1, 13)), dead=st.sets(st.integers(1, 12)), settle_after=st.sets(st.integers(0, 11)))
def test_in_any_order_of_outcomes_the_settlements_add_up(
    order: list[int], dead: set[int], settle_after: set[int]
) -> None:
    window = Window(0)
    batch = {pending.seq: pending for pending in window.add(stored(1, 12))}
    position, settled_dead, finished = 0, [], set()
    for step, seq in enumerate(order):
        window.finish(rejected(batch[seq]) if seq in dead else delivered(batch[seq]))
        finished.add(seq)
        if step in settle_after or step == 11:
            while (settlement := window.settlement()) is not None:
                assert settlement.position - position == settlement.delivered + len(settlement.dead)
                assert set(range(1, settlement.position + 1)) <= finished
                position = settlement.position
                settled_dead += [rejection.seq for rejection in settlement.dead]
                window.settled()
    assert (position, settled_dead, window.bytes) == (12, sorted(dead), 0)
