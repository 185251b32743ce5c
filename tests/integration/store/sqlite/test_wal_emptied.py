"""Another process checkpoints the WAL under the running forwarder, or truncates it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from forwarder.core.errors import StoreError, StoreMovedError
from forwarder.core.ports import Batch
from forwarder.store.sqlite.schema import wal_path
from forwarder.store.sqlite.store import SqliteStore
from tests.integration.store.helpers import event, events, opened
from tests.integration.store.sqlite.test_full import held
from tests.integration.store.sqlite.test_moved import overwrite
from tests.waiting import until

_CHECKPOINT = (
    "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
    "print(db.execute(f'PRAGMA wal_checkpoint({sys.argv[2]})').fetchone()[0]); db.close()"
)


async def checkpoint(path: Path, mode: str) -> None:
    """Checkpoint the store at `path` in another process."""
    command = [sys.executable, "-c", _CHECKPOINT, str(path), mode]
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    assert done.stdout == b"0\n"  # it was not busy


@pytest.mark.long
@pytest.mark.parametrize("mode", ["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
async def test_a_checkpoint_by_another_process_stops_and_loses_nothing(path: Path, mode: str) -> None:
    acknowledged = []
    with structlog.testing.capture_logs() as lines:
        async with opened(path) as store:
            for _ in range(5):
                more = events(3)
                await store.append(Batch(more), timeout=5)
                await checkpoint(path, mode)
                await store.ledger()  # opens the files for reading
                more += [one := event(size=50_000)]
                await store.append(Batch([one]), timeout=5)
                acknowledged += more
            assert await held(store) == acknowledged
            await until(lambda: wal_path(path).stat().st_size == 0)
            assert store.not_ready_reason is None
    assert lines == []
    async with opened(path) as store:
        assert await held(store) == acknowledged


@pytest.mark.long
@pytest.mark.parametrize("mode", ["PASSIVE", "TRUNCATE"])
async def test_a_copy_made_after_a_checkpoint_by_another_process_is_an_earlier_copy_later(
    path: Path, mode: str
) -> None:
    wal = wal_path(path)
    async with opened(path) as store:
        await until(lambda: wal.stat().st_size == 0)
        await store.append(Batch([event()]), timeout=5)
        await checkpoint(path, mode)
        copy = path.read_bytes()
        await asyncio.sleep(0.1)  # until the files are checked again
        await store.append(Batch([event(size=100)]), timeout=5)
        await until(lambda: wal.stat().st_size == 0)
        await store._writer.submit(lambda _: None)  # the checkpoint has ended
        overwrite(path, copy)
        os.truncate(path, len(copy))
        await until(lambda: store.not_ready_reason is not None, seconds=2)
        assert "was overwritten by another program" in (store.not_ready_reason or "")


@pytest.mark.long
async def test_a_copy_made_between_two_checkpoints_inside_commits_is_an_earlier_copy_later(path: Path) -> None:
    async def commit_until_checkpointed(store: SqliteStore) -> None:
        written = path.stat().st_mtime_ns
        while path.stat().st_mtime_ns == written:
            await store.append(Batch([event(size=200_000)]), timeout=5)

    async with opened(path) as store:
        await commit_until_checkpointed(store)
        copy = path.read_bytes()
        await commit_until_checkpointed(store)
        await commit_until_checkpointed(store)
        with path.open("r+b") as file:
            file.write(copy)
        with pytest.raises(StoreError, match="overwritten by another program"):
            await store.append(Batch([event()]), timeout=5)


@pytest.mark.long
@pytest.mark.parametrize("kept", [0, 1000, 20_000], ids=["none", "a part of a frame", "a frame"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_wal_that_another_program_truncated_is_no_checkpoint(path: Path, kept: int, *, restarted: bool) -> None:
    async with opened(path) as store:
        for one in events(30):
            await store.append(Batch([one]), timeout=5)
        if restarted:  # the WAL begins again, and is longer than its frames
            await checkpoint(path, "RESTART")
            for one in events(3):
                await store.append(Batch([one]), timeout=5)
        os.truncate(wal_path(path), kept)
        if not restarted:  # else the next commit may be before the next check, and is found by its place
            await asyncio.sleep(0.1)
        for one in events(3):
            with pytest.raises(StoreMovedError, match=r"store\.db-wal was truncated"):
                await store.append(Batch([one]), timeout=5)
        await asyncio.sleep(1.5)  # a probe would be due
        assert "was truncated" in (store.not_ready_reason or "")
