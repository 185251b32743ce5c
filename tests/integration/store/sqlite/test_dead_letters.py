from pathlib import Path

import pytest

from forwarder.core.event import MalformedEvent
from forwarder.core.outcome import Rejection, RejectReason
from forwarder.core.ports import Batch, DeadLetterSelection, Settlement
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import (
    commands,
    event,
    events,
    malformed_event,
    opened,
    prune,
    rejections,
    settle,
    view,
)

ALL = DeadLetterSelection()
LATE_EVENT = b'{"uuid":"late","eventType":"user.session.start","published":"2026-01-01T12:00:00.000Z","new":true}'


async def three_dead(store: SqliteStore) -> None:
    """Events 1 to 4, of which siem refused 2 (mapping), 3 (too large) and 4 (mapping)."""
    await store.append(Batch(events(4)), timeout=5)
    large = Rejection(3, RejectReason.TOO_LARGE, "413")
    await settle(store, "siem", Settlement(4, delivered=1, dead=(*rejections(2), large, *rejections(4))))


async def test_a_dead_letter_has_its_sink_event_and_reason(path: Path) -> None:
    one = event(org="other")
    async with opened(path) as store:
        await store.append(Batch([one]), timeout=5)
        await settle(store, "siem", Settlement(1, dead=rejections(1)))
        (letter,) = commands(path).dead_letters(ALL)
        assert (letter.sink, letter.seq, letter.state, letter.count) == ("siem", 1, "dead", 1)
        assert (letter.reason, letter.detail, letter.at) == ("mapping", "field of 1 is no number", NOON)
        assert (letter.org, letter.uuid, letter.event_type) == ("other", one.uuid, one.event_type)
        assert letter.body is None
        shown = commands(path).dead_letter(letter.id)
        assert shown is not None
        assert shown.body == one.body
        assert commands(path).dead_letter(letter.id + 1) is None


async def test_a_list_is_newest_first_and_filtered_by_sink_reason_and_id(path: Path) -> None:
    async with opened(path) as store:
        await three_dead(store)
        await store.append(Batch([], [malformed_event()]), timeout=5)

        def ids(limit: int = 100, **which: object) -> list[int]:
            wanted = DeadLetterSelection(**which)  # type: ignore[arg-type]  # keywords of the class
            return [letter.id for letter in commands(path).dead_letters(wanted, limit=limit)]

        assert ids() == [4, 3, 2, 1]
        assert ids(limit=2) == [4, 3]
        assert ids(sink="siem") == [3, 2, 1]
        assert ids(sink="receiver") == [4]
        assert ids(reason="mapping") == [3, 1]
        assert ids(ids=(1, 4, 9)) == [4, 1]
        assert ids(ids=(1, 4), sink="siem") == [1]


async def test_a_replay_that_is_delivered_leaves_no_dead_letter(path: Path) -> None:
    async with opened(path) as store:
        await three_dead(store)
        assert await store.replay(DeadLetterSelection(reason="mapping")) == 2
        sink = (await store.ledger()).sinks["siem"]
        assert (sink.delivered, sink.dead, sink.waiting) == (1, 1, 2)
        await settle(store, "siem", Settlement(4, replayed=(2, 4)))
        sink = (await store.ledger()).sinks["siem"]
        assert (sink.delivered, sink.dead, sink.waiting) == (3, 1, 0)
        assert [letter.seq for letter in commands(path).dead_letters(ALL)] == [3]


async def test_a_replay_that_is_rejected_again_is_dead_for_the_new_reason(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        await three_dead(store)
        await store.replay(DeadLetterSelection(ids=(1,)))
        assert commands(path).dead_letters(DeadLetterSelection(ids=(1,)))[0].state == "replaying"
        await clock.advance(60)
        again = Rejection(2, RejectReason.MALFORMED, "still no")
        await settle(store, "siem", Settlement(4, dead_again=(again,)))
        (letter,) = commands(path).dead_letters(DeadLetterSelection(ids=(1,)))
        assert (letter.state, letter.reason, letter.detail) == ("dead", "malformed", "still no")
        assert letter.at == NOON + 60_000_000
        assert (await store.ledger()).balanced


async def test_a_replaying_dead_letter_is_neither_replayed_twice_nor_discarded(path: Path) -> None:
    async with opened(path) as store:
        await three_dead(store)
        assert await store.replay(ALL) == 3
        assert await store.replay(ALL) == 0
        assert await store.discard(ALL) == 0
        assert len(await view(store).replays(limit=9)) == 3


async def test_a_discarded_dead_letter_is_gone_and_counted(path: Path) -> None:
    async with opened(path) as store:
        await three_dead(store)
        await store.append(Batch([], [malformed_event()]), timeout=5)
        assert await store.discard(DeadLetterSelection(ids=(1, 2))) == 2
        ledger = await store.ledger()
        assert (ledger.sinks["siem"].dead, ledger.sinks["siem"].discarded) == (1, 2)
        assert ledger.balanced
        assert await store.discard(ALL) == 2
        assert commands(path).dead_letters(ALL) == []
        assert (await store.ledger()).rejected == 1


async def test_unattributed_rejections_count_as_dead_and_can_only_be_discarded(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(5)), timeout=5)
        await settle(store, "siem", Settlement(5, delivered=5, unattributed=2, unattributed_detail="2 too old"))
        ledger = await store.ledger()
        assert (ledger.sinks["siem"].delivered, ledger.sinks["siem"].dead) == (3, 2)
        (letter,) = commands(path).dead_letters(ALL)
        assert (letter.count, letter.seq, letter.detail, letter.unattributed) == (2, None, "2 too old", True)
        assert letter.reason == RejectReason.PARTIAL_SUCCESS
        assert await store.replay(ALL) == 0
        assert await store.discard(ALL) == 2
        ledger = await store.ledger()
        assert (ledger.sinks["siem"].dead, ledger.sinks["siem"].discarded) == (0, 2)
        assert ledger.balanced


async def test_a_replayed_malformed_event_that_is_valid_by_now_is_stored(path: Path) -> None:
    late = MalformedEvent("acme", NOON - 5, "envelope-9", "an older forwarder could not read it", LATE_EVENT)
    async with opened(path) as store:
        await store.append(Batch([], [malformed_event(b"[]"), late]), timeout=5)
        assert await store.replay(DeadLetterSelection(sink="receiver")) == 1
        (stored,) = await view(store).read(0, limit=9, max_bytes=10**6)
        assert (stored.event.uuid, stored.event.body) == ("late", LATE_EVENT)
        assert (stored.event.envelope_id, stored.event.received_at) == ("envelope-9", NOON - 5)
        ledger = await store.ledger()
        assert (ledger.stored, ledger.rejected, ledger.sinks["siem"].waiting) == (1, 1, 1)
        (left,) = commands(path).dead_letters(ALL)
        assert left.detail.startswith("Expected `object`")


async def test_a_replayed_malformed_event_that_is_known_by_now_is_a_duplicate(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch([event("late")], [MalformedEvent("acme", NOON, "", "?", LATE_EVENT)]), timeout=5)
        assert await store.replay(ALL) == 1
        ledger = await store.ledger()
        assert (ledger.stored, ledger.duplicates, ledger.rejected) == (1, 1, 0)


async def test_a_dead_letter_keeps_its_event_when_the_store_no_longer_does(path: Path) -> None:
    clock = ManualClock()
    batch = events(2)
    async with opened(path, clock, retention="1h") as store:
        await store.append(Batch(batch), timeout=5)
        await settle(store, "siem", Settlement(2, delivered=1, dead=rejections(1)))
        await clock.advance(7200)
        await prune(store)
        assert await view(store).read(0, limit=9, max_bytes=10**6) == []
        await store.replay(ALL)
        (stored,) = await view(store).replays(limit=9)
        assert (stored.seq, stored.event) == (1, batch[0])


@pytest.mark.long
async def test_many_dead_letters_are_replayed_and_discarded_in_one_go(path: Path) -> None:
    async with opened(path, sinks=("siem", "archive")) as store:
        await store.append(Batch(events(350)), timeout=5)
        every = rejections(*range(1, 351))
        await settle(store, "siem", Settlement(350, dead=every))
        await settle(store, "archive", Settlement(350, dead=every))
        assert await store.replay(DeadLetterSelection(sink="siem")) == 350
        assert await store.discard(DeadLetterSelection(sink="archive")) == 350
        ledger = await store.ledger()
        assert ledger.sinks["siem"].waiting == 350
        assert ledger.sinks["archive"].discarded == 350
        assert ledger.balanced


def test_without_a_store_there_is_an_error_and_none_is_created(path: Path) -> None:
    for ask in (
        lambda: commands(path).dead_letters(ALL),
        lambda: commands(path).dead_letter(1),
        lambda: commands(path).replay(ALL),
    ):
        with pytest.raises(Exception, match="there is no store"):
            ask()
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("huge", [2**63, 10**30, -(10**30)])
async def test_a_number_too_large_for_the_store_names_nothing_in_it(path: Path, huge: int) -> None:
    async with opened(path) as store:
        await three_dead(store)
        many = abs(huge)
        assert commands(path).dead_letter(huge) is None
        assert commands(path).dead_letters(DeadLetterSelection(ids=(huge,))) == []
        assert len(commands(path).dead_letters(ALL, limit=many)) == 3
        assert commands(path).gaps(limit=many).count == 0
        assert await store.discard(DeadLetterSelection(ids=(huge,))) == 0
        assert commands(path).events(many, limit=1, max_bytes=1) == []
