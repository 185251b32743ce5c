import asyncio
import getpass
import json
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError, StoreFormatError
from forwarder.core.ports import Batch, Settlement
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import (
    commands,
    delivered,
    event,
    events,
    malformed_event,
    opened,
    rejections,
    settle,
)


async def test_the_ledger_of_a_command_is_that_of_the_running_store(path: Path) -> None:
    batch = events(5)
    async with opened(path, sinks=("siem", "archive")) as store:
        await store.append(Batch([*batch, batch[0]], [malformed_event()]), timeout=5)
        await settle(store, "siem", Settlement(3, delivered=1, dead=rejections(2), filtered=(1,)))
        inside = await store.ledger()
        assert await asyncio.to_thread(commands(path).ledger) == inside
    after = commands(path).ledger()
    assert (after.sinks, after.events) == (inside.sinks, inside.events)
    printed = json.loads(json.dumps(after.as_json()))
    assert printed | {"bytes": 0} == {
        "stored": 5,
        "alerts": 0,
        "actions": 0,
        "duplicates": 1,
        "rejected": 1,
        "sinks": {
            "archive": {"delivered": 0, "dead": 0, "discarded": 0, "skipped": 0, "filtered": 0, "waiting": 5},
            "siem": {"delivered": 1, "dead": 1, "discarded": 0, "skipped": 0, "filtered": 1, "waiting": 2},
        },
        "balanced": True,
        "events": 5,
        "bytes": 0,
    }
    assert printed["bytes"] == path.stat().st_size


async def test_the_ledger_of_an_empty_store_balances(path: Path) -> None:
    async with opened(path) as store:
        ledger = await store.ledger()
        assert (ledger.stored, ledger.events, ledger.sinks["siem"].oldest) == (0, 0, None)
        assert ledger.balanced


async def test_the_ledger_has_the_oldest_waiting_event_of_each_sink(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, sinks=("siem", "archive")) as store:
        await store.append(Batch([event(), event(received_at=NOON + 7)]), timeout=5)
        await settle(store, "siem", delivered(1, 1))
        sinks = (await store.ledger()).sinks
        assert (sinks["siem"].oldest, sinks["archive"].oldest) == (NOON + 7, NOON)
        await settle(store, "siem", delivered(2, 1))
        assert (await store.ledger()).sinks["siem"].oldest is None


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM events WHERE seq = 3",
        "DELETE FROM events WHERE seq = 5",
        "DELETE FROM events WHERE seq <= 3",
        "UPDATE positions SET seq = seq + 1",
        "UPDATE positions SET delivered = delivered - 1",
        "DELETE FROM dead_letters WHERE id = 1",
        "UPDATE counters SET stored = stored + 1",
    ],
)
async def test_a_lost_event_unbalances_the_ledger(path: Path, harm: str) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(5)), timeout=5)
        await settle(store, "siem", Settlement(2, delivered=1, dead=rejections(2)))
    with closing(sqlite3.connect(path)) as db:
        db.execute(harm)
        db.commit()
    ledger = commands(path).ledger()
    assert not ledger.balanced
    assert "siem" in ledger.imbalances[0]


def test_without_a_store_there_is_an_error(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        commands(path).ledger()
    path.write_text("no store")
    with pytest.raises(StoreFormatError, match="not a store of the forwarder"):
        commands(path).ledger()


def test_a_user_who_may_only_read_gets_the_ledger_of_a_store_at_rest() -> None:
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are closed to other users
        path = Path(directory) / "store.db"
        asyncio.run(_fill(path))
        path.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            stored = _as_nobody(path)
        finally:
            path.parent.chmod(0o755)
    assert stored == "2"


def test_a_user_who_may_not_read_the_store_is_told_to_be_another_user() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "store.db"
        asyncio.run(_fill(path))
        path.parent.chmod(0o755)
        path.chmod(0)
        answer = _as_nobody(path)
    owner = f"belongs to the user {getpass.getuser()} and has the mode 000; run this as {getpass.getuser()}, or"
    if os.geteuid() == 0:
        assert answer == (
            f"the store {path} cannot be read: Permission denied; {path} {owner} make nobody the owner: chown nobody {path}"
        )
    else:
        assert answer.endswith(f"{path} has the mode 000; correct it: chmod u+rwX {path}")


async def _fill(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(2)), timeout=5)


def _as_nobody(path: Path) -> str:
    """Return the number of stored events, or the error, as a child without rights gets it: root may do everything."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            os.write(writing, _stored(path).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        return answer.read()


def _stored(path: Path) -> str:
    try:
        return str(commands(path).ledger().stored)
    except StoreError as error:
        return str(error)
