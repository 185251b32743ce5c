"""Alerts are events of the store that it counts apart."""

from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from forwarder.core.ports import Batch, Settlement
from forwarder.core.sighting import Sighting
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.prune import Pruner
from tests.fakes.alert import alert_event
from tests.fakes.clock import NOON
from tests.integration.store.helpers import commands, event, opened, prune, settle, view

DAY_MICROS = 86_400_000_000


async def test_alerts_are_counted_apart_and_the_ledger_balances(path: Path) -> None:
    async with opened(path, sinks=("siem",)) as store:
        first, second = alert_event(first="a"), alert_event(first="b")
        await store.append(Batch([event(), first], cursor=("rules", "1")), timeout=5)
        again = await store.append(Batch([first, second], cursor=("rules", "2")), timeout=5)
        assert again.duplicates == 1
        assert await store.cursor("rules") == "2"
        await settle(store, "siem", Settlement(2, delivered=2))
        ledger = await store.ledger()
        assert (ledger.stored, ledger.alerts, ledger.balanced) == (3, 2, True)
        assert ledger.as_json()["alerts"] == 2
        held = await view(store).read(0, limit=9, max_bytes=10**9)
        assert [one.event for one in held][1:] == [first, second]
    found = commands(path).ledger()
    assert (found.alerts, found.balanced) == (2, True)
    assert commands(path).gaps().count == 0


async def test_a_dropped_alert_stays_counted_and_leaves_no_row(path: Path) -> None:
    async with opened(path, sinks=(), retention="1s") as store:
        await store.append(Batch([alert_event(first="a", at=1)]), timeout=5)
        await prune(store)
        ledger = await store.ledger()
        assert (ledger.events, ledger.alerts) == (0, 1)
    with closing(schema.connect_reader(path)) as db:
        assert db.execute("SELECT COUNT(*) FROM alerts").fetchone() == (0,)


async def test_what_users_were_seen_with_is_stored_with_the_position(path: Path) -> None:
    first = Sighting("acme", "00u1", "device", "guo1", NOON, NOON + 1)
    later = replace(first, last=NOON + 2)
    other = Sighting("acme", "00u2", "places", "", NOON, NOON, b"[]")
    async with opened(path) as store:
        await store.commit_rules(Batch([alert_event()], cursor=("rules", "4")), [first, other])
        await store.commit_rules(Batch(cursor=("rules", "7")), [later])
        assert await store.sightings("acme", ["00u1", "nobody"]) == [later]
        assert await store.sightings("elsewhere", ["00u1"]) == []
    async with opened(path) as store:
        assert await store.cursor("rules") == "7"
        assert await store.sightings("acme", ["00u1", "00u2"]) == [later, other]


def test_old_sightings_are_dropped_though_the_clock_was_a_year_ahead_at_the_last_sweep(path: Path) -> None:
    with closing(schema.open_writer(path)) as db:
        pruner = Pruner(StoreSettings(path=path))
        while pruner.step(db, NOON + 365 * DAY_MICROS):
            pass
        row = (1, "00u1", "country", "NO", NOON - 40 * DAY_MICROS, NOON - 40 * DAY_MICROS, b"")
        db.execute("INSERT INTO sightings VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        while pruner.step(db, NOON):
            pass
        assert db.execute("SELECT COUNT(*) FROM sightings").fetchone() == (0,)


async def test_old_sightings_are_dropped_and_a_user_is_known_for_a_year(path: Path) -> None:
    rows = [
        Sighting("acme", f"00u{n}", kind, "", at, at)
        for n in range(400)
        for kind, at in (("country", NOON - 40 * DAY_MICROS), ("user", NOON - 40 * DAY_MICROS))
    ]
    async with opened(path) as store:
        await store.commit_rules(Batch(), rows)
        await prune(store)
        left = await store.sightings("acme", [f"00u{n}" for n in range(400)])
        assert {one.kind for one in left} == {"user"}
        assert len(left) == 400
