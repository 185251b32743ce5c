"""A backup of a store that is in use: complete, checked, and never in anybody's way."""

import asyncio
import contextlib
import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError, StoreFormatError, StoreFullError
from forwarder.core.event import Event
from forwarder.core.ports import Batch, DeadLetterSelection, Settlement
from forwarder.store.backup import BackupProgress
from tests.integration.store.helpers import (
    answering,
    commands,
    delivered,
    event,
    events,
    logged,
    malformed_event,
    opened,
    page,
    rejections,
    settle,
    view,
)


def ignore(_: BackupProgress) -> None:
    """What to do about progress."""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "store.db"


def make_damage(file: Path) -> None:
    """Overwrite the second half of a closed store, but not its end."""
    with file.open("r+b") as opened_file:
        opened_file.seek(file.stat().st_size // 2)
        opened_file.write(b"\xff" * (file.stat().st_size // 4))


async def test_a_backup_of_a_running_store_holds_everything_and_can_be_used_as_a_store(
    path: Path, target: Path
) -> None:
    stored, missed = events(20), logged()
    async with opened(path, sinks=("siem", "archive")) as store:
        await store.append(Batch(stored, [malformed_event()]), timeout=5)
        await store.append(page(missed, expected=[missed], cursor="here"), timeout=5)
        await settle(store, "archive", Settlement(12, delivered=11, dead=rejections(5)))
        made = await store.backup(target, ignore)
        ledger = await store.ledger()
    assert (made.stored, made.events, made.waiting) == (21, 21, {"archive": 9, "siem": 21})
    assert made.imbalances == []
    assert made.bytes == target.stat().st_size
    assert [file.name for file in target.parent.iterdir()] == ["store.db"]
    assert target.stat().st_mode & 0o777 == 0o600
    async with opened(target, sinks=("siem", "archive")) as restored:
        assert (await restored.ledger()).sinks == ledger.sinks
        held = await view(restored).read(0, limit=100, max_bytes=10**9)
        assert [one.event for one in held] == [*stored, missed]
        assert await restored.cursor("log:acme") == "here"
        again = await restored.append(Batch([*stored, event()]), timeout=5)  # duplicates are still known
        assert (len(again.stored), again.duplicates) == (1, 20)
        assert await restored.replay(DeadLetterSelection(sink="archive")) == 1


@pytest.mark.long
async def test_while_events_are_stored_a_backup_ends_and_is_of_one_moment(path: Path, target: Path) -> None:
    done = asyncio.Event()
    acknowledged: list[Event] = []
    progress: list[BackupProgress] = []

    async def write() -> None:
        while not done.is_set():
            batch = events(5, size=4_000)
            await store.append(Batch(batch), timeout=5)
            await settle(store, "siem", delivered((await store.ledger()).stored, len(batch)))
            acknowledged.extend(batch)

    async with opened(path) as store:
        await store.append(Batch(first := events(2_000, size=20_000)), timeout=30)
        await settle(store, "siem", delivered(2_000, 2_000))
        writing = asyncio.create_task(write())
        try:
            while not acknowledged:
                await asyncio.sleep(0)
            before = [*first, *acknowledged]
            made = await asyncio.wait_for(store.backup(target, progress.append), 60)
        finally:
            done.set()
            await writing
    assert len(progress) >= 5
    assert [one.copied for one in progress] == sorted(one.copied for one in progress)  # it never began again
    assert made.imbalances == []
    async with opened(target) as restored:
        held = [one.event for one in await view(restored).read(0, limit=10**6, max_bytes=10**9)]
    assert held[: len(before)] == before  # nothing that was acknowledged before is missing
    assert len(held) == made.events
    assert len(held) % 5 == 0  # whole commits only


@pytest.mark.long
async def test_a_cancelled_backup_leaves_nothing_and_the_store_goes_on(path: Path, target: Path) -> None:
    begun = asyncio.Event()
    async with opened(path) as store:
        await store.append(Batch(events(1_000, size=40_000)), timeout=30)
        backup = asyncio.create_task(store.backup(target, lambda _: begun.set()))
        await asyncio.wait_for(begun.wait(), 20)
        backup.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await backup
        assert backup.cancelled()
        assert list(target.parent.iterdir()) == []
        await store.append(Batch(events(1)), timeout=5)
        assert (await store.backup(target, ignore)).events == 1_001


async def test_a_backup_asked_of_a_running_forwarder_is_made_by_it(path: Path, target: Path) -> None:
    async with answering(path) as store:
        await store.append(Batch(events(3)), timeout=5)
        made = await asyncio.to_thread(commands(path).backup, target, ignore)
    assert (made.events, made.file) == (3, str(target))


async def test_a_backup_needs_no_running_forwarder_and_changes_no_file_of_the_store(path: Path, target: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(3)), timeout=5)
    before = path.read_bytes()
    made = await asyncio.to_thread(commands(path).backup, target, ignore)
    assert made.waiting == {"siem": 3}
    assert path.read_bytes() == before


async def test_a_backup_overwrites_nothing(path: Path, target: Path) -> None:
    target.write_text("precious")
    link = target.with_name("link")
    link.symlink_to(target.with_name("elsewhere"))
    async with opened(path) as store:
        for taken in (target, link, Path(), Path("/")):
            with pytest.raises(StoreError, match="never overwrites a file"):
                await store.backup(taken, ignore)
        for own in (path, path.with_name("store.db-wal"), path.with_name("store.db.lock")):
            with pytest.raises(StoreError, match="of the store itself"):
                await store.backup(own, ignore)
        with pytest.raises(StoreError, match="there is no folder"):
            await store.backup(target.parent / "none" / "store.db", ignore)
        with pytest.raises(StoreError, match=f"^{target} is not a folder; correct the path$"):
            await store.backup(target / "store.db", ignore)
    assert target.read_text() == "precious"


async def test_no_name_of_a_backup_makes_it_write_over_a_store_or_a_file_of_somebody(tmp_path: Path) -> None:
    own, other = tmp_path / "own.part", tmp_path / "other.part"
    for store in (own, other):
        async with opened(store) as made:
            await made.append(Batch(events(3)), timeout=5)
    notes = tmp_path / "notes.part"
    notes.write_text("precious")
    before = {file: file.read_bytes() for file in (own, other, notes)}
    with pytest.raises(StoreError, match=r"own\.part is a file of the store itself"):
        commands(own).backup(tmp_path / "own", ignore)
    for name in ("other", "notes"):
        with pytest.raises(StoreError, match=rf"{name}\.part exists already, .* move it away"):
            commands(own).backup(tmp_path / name, ignore)
    assert {file: file.read_bytes() for file in before} == before


async def test_what_a_killed_backup_left_is_used_up(path: Path, target: Path) -> None:
    for left in (b"SQLite format 3\0" + b"half of a page" * 10_000, bytes(4096)):
        target.unlink(missing_ok=True)
        target.with_name("store.db.part").write_bytes(left)
        async with opened(path) as store:
            await store.backup(target, ignore)
    assert [file.name for file in target.parent.iterdir()] == ["store.db"]


async def test_a_disk_without_the_space_is_named_before_anything_is_written(path: Path, target: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(3)), timeout=5)
    free = shutil.disk_usage(target.parent).free
    pages = (free + 10**9) // 16_384
    with path.open("r+b") as file:  # a store larger than the disk: most of it is a hole
        file.seek(28)
        file.write(pages.to_bytes(4, "big"))
    os.truncate(path, pages * 16_384)
    with pytest.raises(StoreFullError, match=r"the backup needs .* MB free; free some space"):
        await asyncio.to_thread(commands(path).backup, target, ignore)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EIO, r"the backup .*\.part cannot be written: Input/output error; check its disk"),
        (
            errno.ENOSPC,
            "the disk of .* became full while the backup was written; free some space, then run the command again",
        ),
    ],
)
async def test_a_backup_whose_disk_fails_is_named_and_leaves_nothing(
    path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    async with opened(path) as store:
        await store.append(Batch(events(3)), timeout=5)
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fail)
            with pytest.raises(StoreError, match=says):
                await asyncio.to_thread(commands(path).backup, target, ignore)
    assert list(target.parent.iterdir()) == []


async def test_a_damaged_store_gives_no_backup(path: Path, target: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(300, size=2_000)), timeout=5)
    make_damage(path)
    with pytest.raises(StoreFormatError, match="damaged"):
        await asyncio.to_thread(commands(path).backup, target, ignore)
    assert list(target.parent.iterdir()) == []


async def test_a_ledger_that_does_not_add_up_is_said_and_backed_up(path: Path, target: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(3)), timeout=5)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE positions SET delivered = 2")
        db.commit()
    made = await asyncio.to_thread(commands(path).backup, target, ignore)
    assert made.imbalances == ["siem: 5 accounted for, 3 stored"]
    assert target.exists()


async def test_without_a_store_there_is_nothing_to_back_up(path: Path, target: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        await asyncio.to_thread(commands(path).backup, target, ignore)
    assert not path.exists()
