import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError, StoreFormatError
from forwarder.store import schema
from tests.unit.store.samples import event, events, opened


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
        db.execute("PRAGMA user_version = 7")
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
        (text, "no store of the forwarder"),
        (empty, "is empty"),
        (newer, "has version 7, this forwarder works with 1; run the newer forwarder"),
        (cut, "damaged"),
        (overwritten, "damaged"),
        (without_a_table, "damaged: no such table: positions"),
        (counting_less_than_it_holds, "holds event 5, but counts 0"),
    ],
)
async def test_what_is_no_sound_store_of_ours_is_named_and_left_as_it_is(
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


async def test_a_newer_version_that_is_only_in_the_log_yet_is_left_as_it_is(
    path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy" / "store.db"
    copy.parent.mkdir()
    with closing(schema.open_writer(path)) as db:
        db.execute("PRAGMA user_version = 7")
        for end in ("", "-wal"):
            copy.with_name(copy.name + end).write_bytes(path.with_name(path.name + end).read_bytes())
    before = files(copy)
    with pytest.raises(StoreFormatError, match="version 7"):
        schema.open_writer(copy)
    assert files(copy) == before


async def test_a_log_without_its_store_is_not_mixed_into_a_new_one(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    log.write_bytes(b"events")
    with pytest.raises(StoreFormatError, match="holds events, but the store"):
        schema.open_writer(path)
    assert log.read_bytes() == b"events"
    assert not path.exists()


def test_a_missing_directory_is_named(path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory"):
        schema.open_writer(path.parent / "nowhere" / "store.db")


def test_half_a_store_left_by_a_crash_is_made_anew(path: Path) -> None:
    path.with_name(path.name + ".new").write_bytes(b"SQLite format 3\x00 half")
    schema.open_writer(path).close()
    schema.open_writer(path).close()


def test_a_new_store_is_its_owners_alone_and_durable(path: Path) -> None:
    with closing(schema.open_writer(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (schema.version_of(schema.STEPS),)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_an_older_store_is_brought_up_to_date_with_its_events(path: Path) -> None:
    async with opened(path) as store:
        await store.append([event("one")], timeout=5)
    steps = ("ALTER TABLE events ADD COLUMN colour TEXT", "UPDATE events SET colour = 'blue'")
    with closing(schema.open_writer(path, steps)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
        assert db.execute("SELECT uuid, colour FROM events").fetchall() == [("one", "blue")]
    assert path.read_bytes()[60:64] == (3).to_bytes(4, "big")
    with closing(schema.open_writer(path, steps)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)


async def test_a_step_that_fails_leaves_the_version_before_it(path: Path) -> None:
    async with opened(path) as store:
        await store.append([event("one")], timeout=5)
    steps = (
        "ALTER TABLE events ADD COLUMN colour TEXT",
        "UPDATE events SET colour = 'blue'; UPDATE nowhere SET x = 1",
    )
    with pytest.raises(StoreError, match="stays at version 2: the step to 3 failed: no such table"):
        schema.open_writer(path, steps)
    with closing(schema.open_writer(path, steps[:1])) as db:
        assert db.execute("SELECT uuid, colour FROM events").fetchall() == [("one", None)]


def test_reading_an_older_store_asks_for_a_start_of_the_forwarder(path: Path) -> None:
    schema.open_writer(path).close()
    with pytest.raises(StoreFormatError, match="start the forwarder once"):
        schema.connect_reader(path, steps=("SELECT 1",))


def test_reading_where_there_is_no_store_says_so_and_makes_none(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        schema.connect_reader(path)
    assert not path.exists()


async def test_a_reader_sees_what_is_only_in_the_log(path: Path) -> None:
    async with opened(path) as store:
        await store.append(events(3), timeout=5)
        with closing(schema.connect_reader(path)) as db:
            assert db.execute("SELECT COUNT(*) FROM events").fetchone() == (3,)
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                db.execute("DELETE FROM events")
