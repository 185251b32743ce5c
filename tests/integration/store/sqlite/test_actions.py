"""Actions of reactions in the store's file: through a kill, its age, its size, an upgrade and a backup."""

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from forwarder.core.action import ActionState
from forwarder.core.errors import StoreFormatError
from forwarder.core.event import Event, Source
from forwarder.core.ports import Batch
from forwarder.core.time import SECOND
from forwarder.store.sqlite import schema, user_addresses
from forwarder.store.sqlite.event_index import BLOCK
from forwarder.store.sqlite.migrations import STEPS
from tests.child_processes import child
from tests.fakes.action import action
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import DAY, commands, delivered, event, index, opened, prune, settle

DAY_MICROS = 86_400 * SECOND

_REACTOR = """
import asyncio, sys
from pathlib import Path
from msgspec.structs import replace
from forwarder.core.action import ActionState
from forwarder.core.event import Source
from forwarder.core.ports import Batch
from tests.fakes.action import action
from tests.integration.store.helpers import event, opened

async def main():
    async with opened(Path(sys.argv[1])) as store:
        number = int(await store.cursor("react") or 0)
        while True:
            number += 1
            one = action(alert=str(number), subject=bytes(3000))
            planned = event(f"{number}", source=Source.ACTION)
            await store.commit_actions(Batch([planned], cursor=("react", str(number))), [one])
            await store.commit_actions(Batch(), [replace(one, state=ActionState.CALLING)])
            print(number, flush=True)  # from here on the call may leave

asyncio.run(main())
"""


@pytest.mark.long
async def test_a_row_that_was_committed_survives_a_kill_with_its_event_and_the_cursor(path: Path) -> None:
    for lines in (1, 3, 50):
        with child([sys.executable, "-c", _REACTOR, str(path)], stdout=subprocess.PIPE) as reactor:
            assert reactor.stdout is not None
            called = [int(reactor.stdout.readline()) for _ in range(lines)]
            reactor.send_signal(signal.SIGKILL)
            called += [int(line) for line in reactor.stdout if line.endswith(b"\n")]
        async with opened(path) as store:
            last = int(await store.cursor("react") or 0)
            rows = await store.load_actions(0)
            ledger = await store.ledger()
        assert [int(row.alert) for row in rows] == list(range(1, last + 1))
        assert (ledger.stored, ledger.actions, ledger.balanced) == (last, last, True)
        states = {int(row.alert): row.state for row in rows}
        assert {states[number] for number in called} == {ActionState.CALLING}


async def test_events_of_actions_are_counted_apart_and_the_ledger_balances(path: Path) -> None:
    async with opened(path) as store:
        one = event("change", source=Source.ACTION)
        await store.append(Batch([event()]), timeout=5)
        await store.commit_actions(Batch([one, one]), [action()])
        await settle(store, "siem", delivered(2, 2))
        ledger = await store.ledger()
    assert (ledger.stored, ledger.actions, ledger.alerts, ledger.duplicates) == (2, 1, 0, 1)
    assert ledger.balanced
    assert ledger.as_json()["actions"] == 1


async def test_ended_actions_are_dropped_30_days_after_their_end_and_open_ones_never(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        many = [action(alert=f"ended {number}", state=ActionState.ENDED) for number in range(250)]
        live = action(alert="live", state=ActionState.LIVE)
        late = action(alert="ends late", state=ActionState.LIVE)
        await store.commit_actions(Batch(), [*many, live, late])
        await clock.advance(29 * DAY)
        await store.commit_actions(Batch(), [replace(late, state=ActionState.ENDED)])
        await prune(store)
        assert len(await store.load_actions(0)) == 252
        await clock.advance(DAY + 1)
        await prune(store)
        assert [one.alert for one in await store.load_actions(0)] == ["live", "ends late"]
        await clock.advance(30 * DAY)
        await prune(store)
        assert [one.alert for one in await store.load_actions(0)] == ["live"]


async def test_ended_actions_are_kept_as_long_as_the_uuids_of_their_events(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, dedup_window="60d") as store:
        await store.commit_actions(Batch(), [action(state=ActionState.ENDED)])
        await clock.advance(59 * DAY)
        await prune(store)
        assert len(await store.load_actions(0)) == 1
        await clock.advance(2 * DAY)
        await prune(store)
        assert await store.load_actions(0) == []


async def test_old_ended_actions_make_room_for_events_before_events_are_refused(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, max_size="1MiB") as store:
        old = [action(alert=f"{number}", state=ActionState.ENDED, detail=20_000 * "x") for number in range(25)]
        for one in (action(alert="live", state=ActionState.LIVE), *old):
            await store.commit_actions(Batch(), [one])
        await clock.advance(3 * DAY)
        await store.commit_actions(Batch(), [action(alert="new", state=ActionState.ENDED)])
        for _ in range(25):
            await store.append(Batch([event(size=20_000, received_at=clock.now())]), timeout=5)
        left = [one.alert for one in await store.load_actions(0)]
        assert {"live", "new"} <= set(left)
        assert len(left) < 12
        assert (await store.ledger()).events == 25
    assert path.stat().st_size <= 1.1 * 1024 * 1024


async def test_a_row_that_cannot_be_read_is_named(path: Path) -> None:
    async with opened(path) as store:
        await store.commit_actions(Batch(), [action()])
    with closing(schema.connect_writer(path)) as db:
        db.execute("UPDATE actions SET action = json_set(CAST(action AS TEXT), '$.kind', 'new')")
    async with opened(path) as store:
        with pytest.raises(StoreFormatError, match=f"the action {action().id} of the store cannot be read"):
            await store.load_actions(0)


async def test_a_backup_holds_the_actions(path: Path, tmp_path: Path) -> None:
    one = action(state=ActionState.LIVE, undo_due=NOON + 5)
    async with opened(path) as store:
        await store.commit_actions(Batch(cursor=("react", "3")), [one])
        await store.backup(tmp_path / "copy.db", lambda _: None)
    async with opened(tmp_path / "copy.db") as restored:
        assert await restored.load_actions(NOON + 1) == [one]
        assert await restored.cursor("react") == "3"
    assert commands(tmp_path / "copy.db").damage(10) == []


def came(number: int, at: int) -> Event:
    one = event()
    body = {
        "uuid": one.uuid,
        "eventType": one.event_type,
        "published": "2026-01-01T12:00:00Z",
        "actor": {"id": f"00u{number}", "type": "User"},
        "client": {"ipAddress": "203.0.113.9"},
        "outcome": {"result": "SUCCESS"},
    }
    return Event("acme", one.uuid, one.event_type, at, at, Source.HOOK, "", msgspec.json.encode(body))


@pytest.mark.long
async def test_a_store_of_an_older_version_knows_the_addresses_of_the_events_that_it_holds(path: Path) -> None:
    """The step reads the real clock."""
    (step,) = (step for step in STEPS if "CREATE TABLE addresses" in step)
    with closing(schema.open_writer(path)) as db:
        (now,) = db.execute("SELECT strftime('%s', 'now') * 1000000").fetchone()
    clock = ManualClock(now)
    async with opened(path, clock) as store:
        old, recent = now - 9 * DAY_MICROS, now - 6 * DAY_MICROS
        for at in (old, recent, recent):
            await store.append(Batch([came(number, at) for number in range(BLOCK)]), timeout=30)
        await index(store)
    with closing(schema.connect_writer(path)) as db:
        for table in ("actions", "addresses"):
            db.execute(f"DROP TABLE {table}")
        db.execute("ALTER TABLE counters DROP COLUMN actions")
        db.executescript(step)
        assert db.execute("SELECT block FROM event_index").fetchall() == [(0,)]
    async with opened(path, clock) as store:
        await index(store)
        assert await store.users_at("acme", "203.0.113.9", now - 7 * DAY_MICROS) == BLOCK
    with closing(schema.connect_reader(path)) as db:
        assert db.execute("SELECT block FROM event_index").fetchall() == [(0,), (1,), (2,)]


@pytest.mark.long
async def test_addresses_are_dropped_after_eight_days_and_one_in_use_stays(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, sinks=()) as store:
        await store.append(Batch([came(number, NOON) for number in range(600)]), timeout=5)
        await index(store)
        await clock.advance(5 * DAY)
        await store.append(Batch([came(1, clock.now())]), timeout=5)
        await index(store)
        await prune(store)
        assert await store.users_at("acme", "203.0.113.9", 0) == 600
        await clock.advance(3 * DAY + 1)
        await prune(store)
        assert await store.users_at("acme", "203.0.113.9", 0) == 1


def test_addresses_are_dropped_though_the_clock_was_a_year_ahead_at_the_last_sweep(path: Path) -> None:
    with closing(schema.open_writer(path)) as db:
        sweep = user_addresses.Sweep()
        sweep.step(db, NOON + 365 * DAY_MICROS)
        db.execute("INSERT INTO addresses VALUES (1, '192.0.2.1', '00u1', ?)", (NOON - 9 * DAY_MICROS,))
        sweep.step(db, NOON)
        assert db.execute("SELECT COUNT(*) FROM addresses").fetchone() == (0,)


@pytest.mark.long
def test_with_very_many_addresses_rows_are_kept_for_less_long(path: Path) -> None:
    with closing(schema.open_writer(path)) as db:
        day = 8 * DAY_MICROS // 10
        rows = [(1, f"192.0.2.{number}", "00u1", NOON - number * day // 60) for number in range(600)]
        db.executemany("INSERT INTO addresses VALUES (?, ?, ?, ?)", rows)
        sweep = user_addresses.Sweep(most_rows=300)
        for hour in range(20):
            while sweep.step(db, NOON + hour * 3600 * SECOND):
                pass
        (left, oldest) = db.execute("SELECT COUNT(*), MIN(last) FROM addresses").fetchone()
        assert 150 < left <= 300
        assert oldest > NOON - 8 * DAY_MICROS // 2
