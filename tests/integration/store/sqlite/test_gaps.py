import asyncio
from pathlib import Path

import msgspec
import pytest

from forwarder.core.errors import StoreError
from forwarder.core.event import Event
from forwarder.core.ports import Batch
from forwarder.store.gaps import Gap
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import DAY, commands, event, logged, opened, page, prune


def happened(one: Event, seconds: int, event_type: str = "user.session.start") -> Event:
    """`one`, so long after noon."""
    return msgspec.structs.replace(one, published=NOON + seconds * 1_000_000, event_type=event_type)


async def fill(store: SqliteStore) -> list[Event]:
    """Of acme three are missed and one is awaited, of other one is missed, of quiet nothing is."""
    uuid = "dc3c8e66-ea09-11ef-9cf1-ad97f4a9f2f5"
    acme = [happened(logged(uuid), 1), happened(logged("odd"), 2, "group.user_membership.add"), happened(logged(), 3)]
    other = [happened(logged(uuid, org="other"), 1)]
    young = happened(logged(), 9)
    await store.append(page(*acme, young, logged(), expected=[*acme, young]), timeout=5)
    await store.append(page(*other, expected=other), timeout=5)
    await store.append(page(logged(org="quiet")), timeout=5)
    assert await store.mark_missed("acme", NOON + 5_000_000) == 3
    assert await store.mark_missed("other", NOON + 5_000_000) == 1
    return [*acme, *other]


async def test_missed_events_are_counted_by_type_and_listed_newest_first(path: Path) -> None:
    clock = ManualClock(NOON + 77)
    async with opened(path, clock) as store:
        first, second, third, other = await fill(store)
        gaps = await asyncio.to_thread(commands(path).gaps)
    assert gaps.count == 4
    assert gaps.missed == {
        "acme": {"user.session.start": 2, "group.user_membership.add": 1},
        "other": {"user.session.start": 1},
        "quiet": {},
    }
    assert list(gaps.missed["acme"]) == ["user.session.start", "group.user_membership.add"]
    assert gaps.pending == {"acme": 1, "other": 0, "quiet": 0}
    assert gaps.events == [
        Gap(one.org, one.uuid, one.event_type, one.published, NOON, NOON + 77) for one in (third, second, first, other)
    ]
    assert commands(path).gaps() == gaps


async def test_gaps_are_filtered_by_org_and_time_and_limited(path: Path) -> None:
    async with opened(path) as store:
        _, second, third, other = await fill(store)
    acme = commands(path).gaps(org="acme", since=NOON + 2_000_000)
    assert [gap.uuid for gap in acme.events] == [third.uuid, second.uuid]
    assert (list(acme.missed), acme.count, acme.pending) == (["acme"], 2, {"acme": 1})
    assert [gap.uuid for gap in commands(path).gaps(org="other").events] == [other.uuid]
    assert (commands(path).gaps(org="unknown").count, commands(path).gaps(org="unknown").missed) == (0, {})
    assert commands(path).gaps(since=NOON + 10_000_000).pending["acme"] == 0
    few = commands(path).gaps(limit=1)
    assert (few.count, [gap.uuid for gap in few.events]) == (4, [third.uuid])


async def test_a_missed_event_that_the_hook_delivers_later_is_not_a_gap(path: Path) -> None:
    async with opened(path) as store:
        first, second, third, _ = await fill(store)
        await store.append(Batch([event(first.uuid), event(third.uuid)]), timeout=5)
    assert [gap.uuid for gap in commands(path).gaps(org="acme").events] == [second.uuid]


async def test_a_gap_is_forgotten_together_with_the_id_of_its_event(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, sinks=()) as store:
        await fill(store)
        await clock.advance(29 * DAY)
        young = logged("young", received_at=clock.now())
        await store.append(page(young, expected=[young]), timeout=5)
        await prune(store)
        assert (commands(path).gaps().count, commands(path).gaps().pending["acme"]) == (4, 2)
        await clock.advance(2 * DAY)
        await prune(store)
        assert (commands(path).gaps().count, commands(path).gaps().pending["acme"]) == (0, 1)
        await fill(store)  # all of them are new again, in every spelling
        assert commands(path).gaps().count == 4


@pytest.mark.long
async def test_pruning_in_many_steps_forgets_old_rows_and_keeps_young_ones(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, sinks=()) as store:
        batch = [logged() for _ in range(900)]
        old, young = batch[::2], batch[1::2]
        await store.append(page(*old, expected=old), timeout=5)
        await clock.advance(20 * DAY)
        young = [msgspec.structs.replace(one, received_at=clock.now()) for one in young]
        await store.append(page(*young, expected=young), timeout=5)
        await clock.advance(11 * DAY)
        await prune(store)
        assert commands(path).gaps().pending == {"acme": 450}
        await store.append(Batch([event(one.uuid) for one in young]), timeout=5)
        assert commands(path).gaps().pending == {"acme": 0}


def test_without_a_store_there_is_an_error(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        commands(path).gaps()
