import errno
import os
import sqlite3
import stat
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError, StoreFormatError, StoreFullError
from forwarder.core.event import Source
from forwarder.core.ports import Batch, DeadLetterSelection
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.migrations import STEPS
from tests.fakes.clock import NOON
from tests.integration.store.helpers import event, events, opened, view

NEWEST = schema.version_of(STEPS)


def files(path: Path) -> dict[str, bytes]:
    """Everything in the directory of `path`, but for the lock and SQLite's shared memory."""
    return {
        file.name: file.read_bytes()
        for file in path.parent.iterdir()
        if not file.name.endswith((".lock", "-shm")) and file.stat().st_size
    }


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE events (x)")
        db.commit()


def text(path: Path) -> None:
    path.write_text("orgs: {}\n" * 100)


def empty(path: Path) -> None:
    path.touch()


def newer(path: Path) -> None:
    schema.open_writer(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {NEWEST + 1}")
        db.commit()


def cut(path: Path) -> None:
    schema.open_writer(path).close()
    path.write_bytes(path.read_bytes()[: 3 * schema.PAGE_SIZE])


def overwritten(path: Path) -> None:
    schema.open_writer(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))


def without_a_table(path: Path) -> None:
    with closing(schema.open_writer(path)) as db:
        db.execute("DROP TABLE positions")


def counting_less_than_it_holds(path: Path) -> None:
    with closing(schema.open_writer(path)) as db:
        db.execute("INSERT INTO events VALUES (5, 1, 'x', 't', 0, 0, 'hook', '', '{}')")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (foreign, "another program"),
        (text, "not a store of the forwarder"),
        (empty, "is empty"),
        (newer, f"has version {NEWEST + 1}, this forwarder needs {NEWEST}; run the newer forwarder"),
        (cut, "damaged"),
        (overwritten, "damaged"),
        (without_a_table, "damaged: no such table: positions"),
        (counting_less_than_it_holds, "newest event has the number 5, but the store counted only 0"),
    ],
)
async def test_a_file_that_is_not_a_sound_store_of_ours_is_named_and_left_as_it_is(
    path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(path)
    before = files(path)
    with pytest.raises(StoreFormatError, match=says) as caught:
        async with opened(path):
            pass
    assert str(path) in str(caught.value)
    assert "left as it is" in str(caught.value)
    assert files(path) == before


async def test_a_newer_version_that_is_only_in_the_wal_is_left_as_it_is(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "store.db"
    copy.parent.mkdir()
    with closing(schema.open_writer(path)) as db:
        db.execute(f"PRAGMA user_version = {NEWEST + 1}")
        for end in ("", "-wal"):
            copy.with_name(copy.name + end).write_bytes(path.with_name(path.name + end).read_bytes())
    before = files(copy)
    with pytest.raises(StoreFormatError, match=f"version {NEWEST + 1}"):
        schema.open_writer(copy)
    assert files(copy) == before


async def test_a_wal_without_its_store_is_not_mixed_into_a_new_one(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    log.write_bytes(b"events")
    with pytest.raises(StoreFormatError, match=r"is missing, but .*-wal holds events of it"):
        schema.open_writer(path)
    assert log.read_bytes() == b"events"
    assert not path.exists()


def test_a_missing_directory_is_named(path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        schema.open_writer(path.parent / "nowhere" / "store.db")


def test_a_folder_without_a_free_inode_is_on_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    no_inode = os.statvfs_result((4096, 4096, 1000, 900, 900, 6, 0, 0, 0, 255))
    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    monkeypatch.setattr(os, "statvfs", lambda _: no_inode)
    with pytest.raises(StoreError, match=f"the disk of {path.parent} is full"):
        schema.check_path(path)


def test_half_a_store_left_by_a_crash_is_replaced(path: Path) -> None:
    path.with_name(path.name + ".new").write_bytes(b"SQLite format 3\x00 half")
    schema.open_writer(path).close()
    schema.open_writer(path).close()


def test_a_new_store_is_private_and_durable(path: Path) -> None:
    with closing(schema.open_writer(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (NEWEST,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def made_by_version_1(path: Path) -> None:
    """A store as version 1 of the schema made it and left it: with events, dead letters and a cursor."""
    text = Path(__file__).with_name("version1.sql").read_text(encoding="utf-8")
    uuid = bytes.fromhex("11efea09dc3c8e669cf1ad97f4a9f2f5")
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA page_size = {schema.PAGE_SIZE}")
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.executescript(f"BEGIN; {text} PRAGMA user_version = 1; COMMIT;")
        db.execute("PRAGMA journal_mode = wal")
        db.execute("INSERT INTO orgs VALUES (1, 'acme')")
        row = (1, 1, uuid, "user.session.start", NOON, NOON, "hook", "", b'{"x": 1}')
        db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.execute("INSERT INTO known VALUES (1, ?, ?)", (uuid, NOON // 1_000_000))
        db.execute("UPDATE counters SET stored = 1, rejected = 1")
        db.execute("INSERT INTO positions VALUES ('siem', 0, 0, 0, 0, 1)")
        db.execute("INSERT INTO cursors VALUES ('acme', 'there')")
        db.execute(
            "INSERT INTO dead_letters (sink, state, count, reason, detail, at, org, uuid, event_type, received_at, "
            "via, envelope_id, body) VALUES ('receiver', 'dead', 1, 'not_an_event', '', 0, 'acme', '', '', 5, '', '', ?)",
            (event("late").body,),
        )
        db.commit()


def shape(db: sqlite3.Connection) -> dict[str, object]:
    """Every table and every index, column by column."""
    names = [
        (kind, name)
        for kind, name in db.execute("SELECT type, name FROM sqlite_master ORDER BY name")
        if not name.startswith("sqlite_")
    ]
    return {
        name: (
            db.execute(f"PRAGMA {kind}_xinfo({name})").fetchall(),
            db.execute(f"PRAGMA index_list({name})").fetchall(),
            db.execute("SELECT wr FROM pragma_table_list(?)", (name,)).fetchall(),
        )
        for kind, name in names
    }


async def test_a_store_of_version_1_is_migrated_with_everything_in_it(path: Path) -> None:
    made_by_version_1(path)
    with pytest.raises(StoreFormatError, match="start the forwarder once to migrate it"):
        schema.connect_reader(path)
    async with opened(path) as store:
        (held,) = await view(store).read(0, limit=9, max_bytes=9)
        assert (held.event.org, held.event.uuid) == ("acme", "dc3c8e66-ea09-11ef-9cf1-ad97f4a9f2f5")
        assert held.event.body == b'{"x": 1}'
        assert await store.cursor("acme") == "there"
        assert await store.replay(DeadLetterSelection()) == 1
        *_, late = await view(store).read(1, limit=9, max_bytes=9)
        assert (late.event.uuid, late.event.source, late.event.received_at) == ("late", Source.HOOK, 5)
        ledger = await store.ledger()
        assert (ledger.stored, ledger.rejected, ledger.balanced) == (2, 0, True)
    assert path.read_bytes()[60:64] == NEWEST.to_bytes(4, "big")


def test_a_migrated_store_has_the_shape_of_a_new_one(path: Path, tmp_path: Path) -> None:
    made_by_version_1(path)
    with closing(schema.open_writer(path)) as migrated, closing(schema.open_writer(tmp_path / "new.db")) as new:
        assert shape(migrated) == shape(new)


async def test_every_step_runs_once_and_in_its_order(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch([event("one")]), timeout=5)
    steps = (
        *STEPS,
        "ALTER TABLE events ADD COLUMN colour TEXT",
        "UPDATE events SET colour = IFNULL(colour, '') || 'blue'",
    )
    for _ in range(2):
        with closing(schema.open_writer(path, steps)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (NEWEST + 2,)
            assert db.execute("SELECT uuid, colour FROM events").fetchall() == [("one", "blue")]
    assert path.read_bytes()[60:64] == (NEWEST + 2).to_bytes(4, "big")


async def test_a_failed_step_leaves_the_version_before_it(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch([event("one")]), timeout=5)
    first = "ALTER TABLE events ADD COLUMN colour TEXT"
    steps = (*STEPS, first, "UPDATE events SET colour = 'blue'; UPDATE nowhere SET x = 1")
    after = NEWEST + 1
    with pytest.raises(
        StoreError, match=f"stays at version {after} of its schema, because its migration failed: .*no such"
    ):
        schema.open_writer(path, steps)
    with closing(schema.open_writer(path, steps[:-1])) as db:
        assert db.execute("SELECT uuid, colour FROM events").fetchall() == [("one", None)]


def test_a_full_disk_during_a_migration_is_named_with_what_to_do(path: Path) -> None:
    schema.open_writer(path).close()
    fill = "PRAGMA max_page_count = 1; CREATE TABLE more (x); INSERT INTO more VALUES (zeroblob(1000000))"
    with pytest.raises(StoreFullError, match=f"stays at version {NEWEST} .* is full .*; free some space$"):
        schema.open_writer(path, (*STEPS, fill))


def test_reading_a_missing_store_says_so_and_creates_none(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        schema.connect_reader(path)
    assert not path.exists()


def test_a_folder_in_the_place_of_the_wal_is_named_to_a_reader_too(path: Path) -> None:
    schema.open_writer(path).close()
    Path(f"{path}-wal").mkdir()
    with pytest.raises(StoreError, match=f"{path}-wal is a folder, and the store needs a file there; remove it"):
        schema.connect_reader(path)


async def test_a_reader_sees_events_that_are_only_in_the_wal(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(3)), timeout=5)
        with closing(schema.connect_reader(path)) as db:
            assert db.execute("SELECT COUNT(*) FROM events").fetchone() == (3,)
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                db.execute("DELETE FROM events")
