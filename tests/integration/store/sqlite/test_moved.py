"""The store's files are moved, removed, replaced or truncated under the running forwarder."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
import structlog

from forwarder.core.errors import StoreError, StoreLockedError
from forwarder.core.event import Event
from forwarder.core.outcome import Rejection, RejectReason
from forwarder.core.ports import Batch, DeadLetterSelection, Settlement
from forwarder.store.settings import is_store_file, store_files
from forwarder.store.sqlite.open_files import OpenFiles
from forwarder.store.sqlite.store import SqliteStore
from tests.child_processes import child
from tests.integration.store.helpers import answering, event, events, opened, settle, view
from tests.integration.store.sqlite.test_full import held
from tests.waiting import until

ALL = ("", "-wal", "-shm", ".lock")


def _files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [file for file in (path.with_name(path.name + suffix) for suffix in suffixes) if file.exists()]


def remove_all(path: Path) -> None:
    for file in _files(path, ALL):
        file.unlink()


def remove_store(path: Path) -> None:
    path.unlink()


def move_store(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def move_all(path: Path) -> None:
    away = path.parent / "away"
    away.mkdir()
    for file in _files(path, ALL):
        file.rename(away / file.name)


def replace_by_copy(path: Path) -> None:
    copy = path.with_name("c")
    shutil.copy(path, copy)
    copy.rename(path)


def replace_wal_by_copy(path: Path) -> None:
    replace_by_copy(path.with_name(path.name + "-wal"))


def remove_wal_and_shm(path: Path) -> None:
    for file in _files(path, ("-wal", "-shm")):
        file.unlink()


def remove_wal(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def remove_shm(path: Path) -> None:
    path.with_name(path.name + "-shm").unlink()


def truncate_store(path: Path) -> None:
    os.truncate(path, 0)


def shorten_store(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def move_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def remove_directory(path: Path) -> None:
    shutil.rmtree(path.parent)


def another_directory(path: Path) -> None:
    move_directory(path)
    path.parent.mkdir()


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("real.db"))
    path.symlink_to("real.db")


def replace_by_link_to_hard_link(path: Path) -> None:
    away = path.parent / "away"
    away.mkdir()
    (away / path.name).hardlink_to(path)
    path.unlink()
    path.symlink_to(away / path.name)


def overwrite(path: Path, content: bytes) -> None:
    """Write `content` over the beginning of the file; again, until the clock of the file system shows it."""
    before = path.stat().st_mtime_ns
    while path.stat().st_mtime_ns == before:
        with path.open("r+b") as file:
            file.write(content)


def zero_first_page(path: Path) -> None:
    overwrite(path, bytes(4096))


def make_unreadable(path: Path) -> None:
    path.chmod(0)


NAMED_CHANGES = [remove_all, move_store, move_all, replace_by_copy, remove_wal_and_shm, move_directory]
CHANGES = [
    *NAMED_CHANGES,
    remove_store,
    replace_wal_by_copy,
    remove_wal,
    remove_shm,
    truncate_store,
    shorten_store,
    replace_by_link,
    replace_by_link_to_hard_link,
    zero_first_page,
    remove_directory,
    another_directory,
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "store.db"


async def append_some(store: SqliteStore, count: int = 5) -> tuple[list[Event], list[Event]]:
    """Try to append events one by one; return those that were acknowledged, and those that were not."""
    accepted, refused = [], []
    for one in events(count):
        try:
            await store.append(Batch([one]), timeout=5)
            accepted.append(one)
        except StoreError:
            refused.append(one)
    return accepted, refused


@pytest.mark.long
@pytest.mark.parametrize("idle", [False, True], ids=["at_once", "idle"])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_moved_removed_or_replaced_store_accepts_nothing_and_says_so_once(
    path: Path, change: Callable[[Path], None], *, idle: bool
) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(5)), timeout=5)
        if idle:
            await until(lambda: path.with_name(path.name + "-wal").stat().st_size == 0)
        with structlog.testing.capture_logs() as lines:
            change(path)
            if idle:
                await until(lambda: store.not_ready_reason is not None, seconds=2)
            accepted, refused = await append_some(store)
            if change is remove_shm and not idle:  # no event is in it, so only the next check of all files notices
                await until(lambda: store.not_ready_reason is not None, seconds=2)
                accepted, refused = await append_some(store)
        assert (len(accepted), len(refused)) == (0, 5)
        assert f"the store {path} (store.path)" in (store.not_ready_reason or "")
        assert "restart the forwarder" in (store.not_ready_reason or "")
        assert [line["action"] for line in lines] == ["store_unready"]
        assert lines[0]["reason"] == store.not_ready_reason


@pytest.mark.long
@pytest.mark.parametrize("change", [remove_wal_and_shm, remove_wal, remove_shm])
async def test_what_was_acknowledged_before_its_wal_was_removed_is_in_the_store_of_the_next_start(
    path: Path, change: Callable[[Path], None]
) -> None:
    acknowledged = events(5)
    async with opened(path) as store:
        await store.append(Batch(acknowledged), timeout=5)
        change(path)
        acknowledged += (await append_some(store))[0]
    async with opened(path) as store:
        assert (await held(store))[: len(acknowledged)] == acknowledged
        assert (await store.ledger()).balanced


@pytest.mark.long
@pytest.mark.parametrize("change", [replace_by_link, replace_by_link_to_hard_link])
async def test_what_was_acknowledged_before_a_link_replaced_the_store_is_in_the_store_of_the_next_start(
    path: Path, change: Callable[[Path], None]
) -> None:
    acknowledged = events(5)
    async with opened(path) as store:
        await store.append(Batch(acknowledged), timeout=5)
        change(path)
        assert (await append_some(store))[0] == []
    async with opened(path) as store:
        assert (await held(store))[:5] == acknowledged
        assert (await store.ledger()).balanced


@pytest.mark.long
async def test_a_store_that_was_moved_keeps_no_core_busy(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(1)), timeout=5)
        move_all(path)
        await until(lambda: store.not_ready_reason is not None)
        await asyncio.sleep(6)  # until a step of maintenance is due
        started = time.process_time()
        await asyncio.sleep(2)
        assert time.process_time() - started < 0.5


@pytest.mark.long
@pytest.mark.parametrize("kind", ["backup", "copy"])
@pytest.mark.parametrize("size", ["same", "smaller"])
async def test_a_store_that_was_overwritten_by_an_earlier_copy_accepts_nothing_and_says_so_once(
    path: Path, kind: str, size: str
) -> None:
    wal = path.with_name("store.db-wal")
    copy = path.with_name("copy.db")
    async with opened(path) as store:
        await store.append(Batch(events(5)), timeout=5)
        await until(lambda: wal.stat().st_size == 0)
        if kind == "backup":
            await store.backup(copy, lambda _: None)
        else:
            copy.write_bytes(path.read_bytes())
        await store.append(Batch([event(size=100 if size == "same" else 500_000)]), timeout=5)
        await until(lambda: wal.stat().st_size == 0)
        await store._writer.submit(lambda _: None)  # the checkpoint has ended
        assert (copy.stat().st_size == path.stat().st_size) == (size == "same")
        with structlog.testing.capture_logs() as lines:
            overwrite(path, copy.read_bytes())
            os.truncate(path, copy.stat().st_size)
            assert (await append_some(store))[0] == []
            await until(lambda: store.not_ready_reason is not None, seconds=2)
        assert f"{path} was overwritten by another program" in (store.not_ready_reason or "")
        assert [line["action"] for line in lines] == ["store_unready"]


async def test_a_store_that_was_touched_only_accepts_events(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch([event()]), timeout=5)
        path.touch()
        os.utime(path, (0, 0))
        assert len((await append_some(store))[0]) == 5


async def test_a_store_that_was_moved_alone_is_complete_and_the_next_start_begins_a_new_one(path: Path) -> None:
    acknowledged = events(5)
    async with opened(path) as store:
        await store.append(Batch(acknowledged), timeout=5)
        move_store(path)
        await append_some(store)
    async with opened(path) as store:
        assert await held(store) == []
        await store.append(Batch([event()]), timeout=5)
    async with opened(path.with_name("moved.db")) as store:
        assert (await held(store))[:5] == acknowledged


async def test_a_copy_that_replaced_the_store_holds_everything_after_the_next_start(path: Path) -> None:
    acknowledged = events(5)
    async with opened(path) as store:
        await store.append(Batch(acknowledged), timeout=5)
        replace_by_copy(path)
        await append_some(store)
    async with opened(path) as store:
        assert (await held(store))[:5] == acknowledged
        assert (await store.ledger()).balanced


@pytest.mark.long
async def test_a_store_whose_files_are_put_back_accepts_events_again(path: Path) -> None:
    acknowledged = events(5)
    async with opened(path) as store:
        await store.append(Batch(acknowledged), timeout=5)
        move_directory(path)
        assert (await append_some(store))[0] == []
        path.parent.with_name("elsewhere").rename(path.parent)
        await until(lambda: store.not_ready_reason is None)
        more = event()
        await store.append(Batch([more]), timeout=5)
        assert (await held(store))[-1] == more
    async with opened(path) as store:
        assert (await held(store))[:5] == acknowledged
        assert (await held(store))[-1] == more


@pytest.mark.long
async def test_a_settlement_that_was_committed_before_the_files_moved_counts_once(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(3)), timeout=5)
        await settle(store, "siem", Settlement(2, delivered=1, dead=[Rejection(2, RejectReason.MAPPING, "")]))
        await store.replay(DeadLetterSelection())
        log = view(store)
        wrong = Settlement(3, delivered=2)
        for _ in range(2):  # refused each time, because nothing was committed
            with pytest.raises(ValueError, match="siem"):
                await log.settle(wrong)
        for done in (Settlement(2, replayed=[2]), Settlement(3, delivered=1)):
            move_directory(path)
            with pytest.raises(StoreError):
                await log.settle(done)
            path.parent.with_name("elsewhere").rename(path.parent)
            await until(lambda: store.not_ready_reason is None)
            await log.settle(done)  # as the worker does, which cannot know that it was committed
        ledger = await store.ledger()
        assert (ledger.sinks["siem"].delivered, ledger.sinks["siem"].waiting) == (3, 0)
        assert ledger.balanced


async def test_a_moved_store_is_still_delivered_from(path: Path) -> None:
    acknowledged = events(5)
    async with opened(path) as store:
        await store.append(Batch(acknowledged), timeout=5)
        remove_all(path)
        await append_some(store)
        stored = await view(store).read(0, limit=9, max_bytes=10**9)
        assert [one.event for one in stored][:5] == acknowledged


async def test_a_link_that_leads_elsewhere_now_is_noticed(path: Path) -> None:
    real, other, link = (path.parent / name for name in ("real", "other", "link"))
    for directory in (real, other):
        directory.mkdir()
    link.symlink_to(real)
    async with opened(link / "store.db") as store:
        await store.append(Batch([event()]), timeout=5)
        link.unlink()
        link.symlink_to(other)
        assert (await append_some(store))[0] == []
        assert "link" in (store.not_ready_reason or "")


@pytest.mark.long
async def test_a_linked_store_file_has_its_wal_beside_the_real_file(path: Path) -> None:
    link = path.with_name("link.db")
    async with opened(path):
        pass
    link.symlink_to(path)
    async with opened(link) as store:
        await store.append(Batch([event()]), timeout=5)
        assert path.with_name("store.db-wal").stat().st_size
        await until(lambda: path.with_name("store.db-wal").stat().st_size == 0)
        assert store.not_ready_reason is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_store_that_this_user_may_not_read_any_more_is_noticed(path: Path) -> None:
    async with opened(path) as store:
        make_unreadable(path)
        await until(lambda: store.not_ready_reason is not None, seconds=2)


_READ = (
    "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM events').fetchall(); db.close()"
)


async def test_a_program_that_reads_the_live_store_does_not_remove_its_wal(path: Path) -> None:
    acknowledged = events(5)
    async with opened(path) as store:
        for reader in (store._log_reader, store._query_reader):
            await reader.run(lambda db: db.execute("SELECT 1").fetchone())
        await store.append(Batch(acknowledged), timeout=5)
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", _READ, str(path)], check=True)
        assert path.with_name("store.db-wal").exists()
        more = event()
        await store.append(Batch([more]), timeout=5)
        assert store.not_ready_reason is None
        assert await held(store) == [*acknowledged, more]


@contextlib.contextmanager
def _store_in_another_process(path: Path) -> Iterator[None]:
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom tests.integration.store.helpers import opened\n"
        "async def main():\n  async with opened(Path(sys.argv[1])):\n    print('held', flush=True)\n"
        "    await asyncio.to_thread(sys.stdin.read)\nasyncio.run(main())"
    )
    with child([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield


@pytest.mark.long
@pytest.mark.parametrize("name", ["the_same", "symlink", "hard_link", "directory"])
async def test_two_forwarders_never_share_a_store_by_another_name_or_without_its_lock_file(
    path: Path, name: str
) -> None:
    with _store_in_another_process(path):
        path.with_name("store.db.lock").unlink()
        other = path.with_name("other.db")
        if name == "symlink":
            other.symlink_to(path)
        elif name == "hard_link":
            other.hardlink_to(path)
        elif name == "directory":
            (path.parent / "link").symlink_to(path.parent)
            other = path.parent / "link" / path.name
        else:
            other = path
        with pytest.raises(StoreLockedError, match=f"another process uses the store {other}"):
            async with opened(other):
                pass


def test_what_is_not_a_store_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(StoreError, match=r"is not a regular file; correct store\.path"):
        asyncio.run(_open(path))


async def _open(path: Path) -> None:
    async with opened(path):
        pass


async def test_every_file_of_a_running_store_is_known_to_be_one_by_any_name(path: Path) -> None:
    async with answering(path) as store:
        await store.append(Batch([event()]), timeout=5)
        found = set(path.parent.iterdir())
        assert found <= store_files(path)
        assert len(found) == 5
        links = path.parent.with_name("links")
        links.symlink_to(path.parent)
        assert all(is_store_file(path, links / file.name) for file in found)
        (path.parent / "hard").hardlink_to(path)
        assert is_store_file(path, path.parent / "hard")
    assert not is_store_file(path, path.with_name("events.ndjson"))
    assert is_store_file(path, path.with_name("store.db-wal"))  # also while there is none


_VACUUM = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('VACUUM'); db.close()"


@pytest.mark.long
async def test_a_store_that_sqlite_made_smaller_is_still_the_same(path: Path) -> None:
    async with opened(path, retention="1s") as store:
        for _ in range(20):
            await store.append(Batch([event(size=100_000)]), timeout=5)
        await store._writer.submit(lambda tx: tx.db.execute("DELETE FROM events WHERE seq < 20"))
        await until(lambda: path.with_name("store.db-wal").stat().st_size == 0)
        before = path.stat().st_size
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", _VACUUM, str(path)], check=True)
        await store.append(Batch([event()]), timeout=5)
        await until(lambda: path.stat().st_size < before / 2)
        await store.append(Batch([event()]), timeout=5)
        await until(lambda: path.with_name("store.db-wal").stat().st_size == 0)
        assert store.not_ready_reason is None


def test_a_checkpoint_of_our_own_is_no_truncation_to_another_thread(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(b"some content")
    files = OpenFiles(path)
    files.opened()
    with ThreadPoolExecutor(1) as reader:
        with files.truncating():
            os.truncate(files.wal, 0)
            checked = reader.submit(files.check)
            wait([checked], timeout=0.2)  # long enough to check, were it not held up
        checked.result()
    files.close()
