import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from forwarder.core.ports import Batch
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.prune import Pruner
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import DAY, attach, delivered, event, events, opened, prune, settle, view


async def held(store: SqliteStore) -> list[int]:
    return [stored.seq for stored in await view(store).read(0, limit=10_000, max_bytes=10**9)]


async def append_at(store: SqliteStore, clock: ManualClock, count: int) -> None:
    await store.append(Batch([event(received_at=clock.now()) for _ in range(count)]), timeout=5)


async def at_rest(store: SqliteStore, path: Path) -> None:
    """Return when the log has been emptied into the file."""
    log = path.with_name(path.name + "-wal")
    while log.stat().st_size:
        await view(store).read(0, limit=1, max_bytes=1)


async def test_settled_bodies_are_dropped_after_the_retention_and_not_before(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        await append_at(store, clock, 2)
        await clock.advance(DAY)
        await append_at(store, clock, 2)
        await settle(store, "siem", delivered(4, 4))
        await clock.advance(6 * DAY - 1)
        await prune(store)
        assert await held(store) == [1, 2, 3, 4]
        await clock.advance(2)
        await prune(store)
        assert await held(store) == [3, 4]
        assert (await store.ledger()).balanced


async def test_room_that_dropped_bodies_have_left_is_not_that_of_waiting_events(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        await store.append(Batch(events(50, size=50_000)), timeout=5)
        assert (await store.ledger()).waiting_bytes > 2_000_000
        await settle(store, "siem", delivered(50, 50))
        await clock.advance(8 * DAY)
        await prune(store)
        await append_at(store, clock, 1)
        ledger = await store.ledger()
        assert (ledger.events, ledger.sinks["siem"].waiting) == (1, 1)
        assert ledger.bytes > 2_000_000
        assert ledger.waiting_bytes < 1_000_000


async def test_bodies_are_dropped_after_the_retention_though_the_clock_was_a_year_ahead_before(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        await append_at(store, clock, 2)
        await clock.advance(365 * DAY)
        await append_at(store, clock, 250)
        await clock.advance(-365 * DAY)
        await append_at(store, clock, 2)
        await clock.advance(DAY)
        await append_at(store, clock, 2)
        await settle(store, "siem", delivered(256, 256))
        await clock.advance(6 * DAY - 1)
        await prune(store)
        assert len(await held(store)) == 256
        await clock.advance(2)
        await prune(store)
        assert await held(store) == [255, 256]


async def test_a_body_of_a_time_ahead_stays_while_nothing_after_it_has_expired(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        await clock.advance(365 * DAY)
        await append_at(store, clock, 2)
        await settle(store, "siem", delivered(2, 2))
        await clock.advance(-300 * DAY)
        await prune(store)
        assert await held(store) == [1, 2]


async def test_an_event_that_a_sink_waits_for_stays_however_old(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, sinks=("siem", "archive")) as store:
        await append_at(store, clock, 4)
        await settle(store, "siem", delivered(4, 4))
        await settle(store, "archive", delivered(1, 1))
        await clock.advance(100 * DAY)
        await prune(store)
        assert await held(store) == [2, 3, 4]


async def test_a_detached_sink_holds_nothing_back_and_skips_dropped_events_when_it_returns(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, sinks=("siem", "archive")) as store:
        await append_at(store, clock, 4)
        await settle(store, "siem", delivered(3, 3))
        await settle(store, "archive", delivered(1, 1))
        await attach(store, {"siem": "oldest"})
        await clock.advance(8 * DAY)
        await prune(store)
        assert await held(store) == [4]
        assert list((await store.ledger()).sinks) == ["siem"]
        assert await attach(store, {"siem": "oldest", "archive": "oldest"}) == {"siem": 3, "archive": 3}
        archive = (await store.ledger()).sinks["archive"]
        assert (archive.delivered, archive.skipped, archive.waiting) == (1, 2, 1)


async def test_a_new_sink_skips_dropped_events(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        await append_at(store, clock, 3)
        await settle(store, "siem", delivered(2, 2))
        await clock.advance(8 * DAY)
        await prune(store)
        assert (await attach(store, {"siem": "oldest", "new": "oldest"}))["new"] == 2
        ledger = await store.ledger()
        assert (ledger.sinks["new"].skipped, ledger.sinks["new"].waiting) == (2, 1)
        assert ledger.balanced


async def test_without_any_sink_bodies_are_dropped_after_the_retention(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, sinks=()) as store:
        await append_at(store, clock, 3)
        await clock.advance(6 * DAY)
        await prune(store)
        assert await held(store) == [1, 2, 3]
        await clock.advance(2 * DAY)
        await prune(store)
        assert await held(store) == []
        await append_at(store, clock, 1)
        assert await held(store) == [4]


async def test_a_late_copy_is_a_duplicate_until_the_dedup_window_ends(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        one = event(received_at=clock.now())
        await store.append(Batch([one]), timeout=5)
        await settle(store, "siem", delivered(1, 1))
        await clock.advance(29 * DAY)
        await prune(store)
        assert await held(store) == []
        assert (await store.append(Batch([one]), timeout=5)).duplicates == 1
        await clock.advance(2 * DAY)
        await prune(store)
        assert (await store.append(Batch([one]), timeout=5)).duplicates == 0


async def test_the_uuid_of_an_event_that_is_held_is_never_forgotten(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, dedup_window="1h") as store:
        one = event(received_at=clock.now())
        await store.append(Batch([one]), timeout=5)
        await clock.advance(50 * DAY)
        await prune(store)
        assert (await store.append(Batch([one]), timeout=5)).duplicates == 1


@pytest.mark.long
async def test_uuids_of_all_orgs_and_spellings_are_forgotten(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, sinks=()) as store:
        old = [event(name, org=org) for org in ("a", "b") for name in (None, "odd", "ODD", "")]
        old += events(1200)
        await store.append(Batch(old), timeout=5)
        await clock.advance(20 * DAY)
        young = [event(received_at=clock.now()), event("young", received_at=clock.now())]
        await store.append(Batch(young), timeout=5)
        await clock.advance(15 * DAY)
        await prune(store)
        assert (await store.append(Batch(young), timeout=5)).duplicates == 2
        assert (await store.append(Batch(old), timeout=5)).duplicates == 0


@pytest.mark.long
async def test_the_store_prunes_by_itself(path: Path) -> None:
    clock = ManualClock(NOON)
    async with opened(path, clock) as store:
        await append_at(store, clock, 300)
        await settle(store, "siem", delivered(300, 300))
    await clock.advance(8 * DAY)
    async with opened(path, clock) as store:
        while await held(store):
            await store.append(Batch([]), timeout=5)
        assert (await store.ledger()).balanced


@pytest.mark.long
async def test_freed_space_is_used_again(path: Path) -> None:
    clock = ManualClock()
    sizes = []
    async with opened(path, clock) as store:
        for day in range(6):
            await store.append(Batch([event(size=4000, received_at=clock.now()) for _ in range(500)]), timeout=5)
            if not day:
                await at_rest(store, path)
                sizes.append(path.stat().st_size)
            await settle(store, "siem", delivered(500 * (day + 1), 500))
            await clock.advance(8 * DAY)
            await prune(store)
        await store.close()
        sizes.append(path.stat().st_size)
    assert sizes[-1] < 1.2 * sizes[0]


@pytest.mark.long
async def test_a_drained_store_at_rest_is_at_most_1_4_times_its_bodies(path: Path) -> None:
    async with opened(path) as store:
        batch = [event(size=1300 + number % 3500) for number in range(1000)]
        for first in range(0, 1000, 20):
            await store.append(Batch(batch[first : first + 20]), timeout=5)
        await settle(store, "siem", delivered(1000, 1000))
    raw = sum(len(one.body) for one in batch)
    assert path.stat().st_size < 1.4 * raw
    with closing(schema.connect_reader(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.long
async def test_an_idle_store_checkpoints_its_wal(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    async with opened(path) as store:
        await store.append(Batch(events(20, size=2000)), timeout=5)
        assert log.stat().st_size > 0
        await at_rest(store, path)
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as db:
            assert db.execute("SELECT COUNT(*) FROM events").fetchone() == (20,)


@pytest.mark.long
async def test_a_step_of_maintenance_that_fails_is_not_repeated_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []

    def fail(*_: object) -> bool:
        steps.append(1)
        raise OverflowError("too large")

    monkeypatch.setattr(Pruner, "step", fail)
    async with opened(path) as store:
        with structlog.testing.capture_logs() as lines:
            for _ in range(20):
                await store.append(Batch([event()]), timeout=5)
        assert len(steps) <= 2
        assert {line["action"] for line in lines} <= {"store_maintenance_failed"}
