"""Another program changes the tables of the store under the running forwarder."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest
import structlog

from forwarder.core.errors import StoreError, StoreFormatError
from forwarder.core.ports import Batch
from forwarder.store.sqlite import schema
from tests.integration.store.helpers import event, events, malformed_event, opened, page
from tests.waiting import until

_RUN = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.executescript(sys.argv[2]); db.close()"

CHANGES = [
    "DROP TABLE events",
    "DROP TABLE known",
    "DROP TABLE orgs",
    "DROP TABLE counters",
    "DELETE FROM counters",
    "UPDATE counters SET stored = 0",
    "ALTER TABLE events ADD COLUMN more",
    "CREATE UNIQUE INDEX one ON events (event_type)",
    "CREATE TRIGGER no BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END",
]


async def change(path: Path, script: str) -> None:
    """Run `script` on the store at `path` in another process."""
    command = [sys.executable, "-c", _RUN, str(path), script]
    await asyncio.to_thread(subprocess.run, command, check=True)


@pytest.mark.long
@pytest.mark.parametrize("script", CHANGES)
async def test_a_store_whose_tables_were_changed_is_not_ready_while_it_refuses_events_and_says_so_once(
    path: Path, script: str
) -> None:
    async with opened(path) as store:
        first = event()
        await store.append(Batch([first]), timeout=5)
        with structlog.testing.capture_logs() as lines:
            await change(path, script)
            for _ in range(3):
                with pytest.raises(StoreFormatError):
                    await store.append(Batch([event()]), timeout=5)
                assert f"the store {path} is damaged" in (store.not_ready_reason or "")
                for harmless in (Batch([], [malformed_event()]), page(first)):
                    await asyncio.gather(store.append(harmless, timeout=5), return_exceptions=True)
            await asyncio.sleep(1.5)  # a probe would be due
            assert "restore it from a backup" in (store.not_ready_reason or "")
        assert [line["action"] for line in lines].count("store_unready") == 1


@pytest.mark.long
async def test_a_store_whose_table_is_put_back_is_ready_with_the_next_event_that_it_stores(path: Path) -> None:
    async with opened(path) as store:
        await change(path, "ALTER TABLE events RENAME TO away")
        with pytest.raises(StoreError):
            await store.append(Batch([event()]), timeout=5)
        await change(path, "ALTER TABLE away RENAME TO events")
        await store.append(Batch([event()]), timeout=5)
        assert store.not_ready_reason is None


@pytest.mark.long
async def test_maintenance_that_lacks_a_table_says_so_once_and_refuses_no_event(path: Path) -> None:
    async with opened(path) as store:
        with structlog.testing.capture_logs() as lines:
            await change(path, "DROP TABLE event_index")
            await store.append(Batch(events(3)), timeout=5)
            await until(lambda: bool(lines), seconds=12)
            await asyncio.sleep(6)
        assert [line["action"] for line in lines].count("store_maintenance_failed") == 1
        assert "no such table" in lines[0]["error"]
        assert store.not_ready_reason is None


def _tables() -> list[str]:
    text = resources.files("forwarder.store.sqlite").joinpath("schema.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(text)
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [name for name in names if not name.startswith("sqlite_")]


@pytest.mark.parametrize("table", _tables())
def test_a_store_that_lacks_a_table_is_refused_at_the_start(path: Path, table: str) -> None:
    schema.open_writer(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"DROP TABLE {table}")
    with pytest.raises(StoreFormatError, match=f"is damaged: no such table: {table}"):
        schema.open_writer(path)
