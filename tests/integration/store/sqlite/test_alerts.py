"""Alerts are events of the store that it counts apart."""

from contextlib import closing
from pathlib import Path

from forwarder.core.ports import Batch, Settlement
from forwarder.store.sqlite import schema
from tests.fakes.alert import alert_event
from tests.integration.store.helpers import commands, event, opened, prune, settle, view


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
