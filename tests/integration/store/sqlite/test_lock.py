import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError, StoreFullError, StoreLockedError
from forwarder.core.ports import Batch
from forwarder.store.sqlite.lock import FileLock
from forwarder.store.sqlite.schema import check_path
from tests.child_processes import child
from tests.integration.store.helpers import event, opened

_HOLD = """
import sys
from pathlib import Path
from forwarder.store.sqlite.lock import FileLock
FileLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.long
def test_a_second_holder_learns_the_pid_of_the_first(path: Path) -> None:
    with child([sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreLockedError, match=rf"pid {holder.pid};"):
            FileLock(path)
    FileLock(path).release()


def test_a_released_lock_can_be_taken_again(path: Path) -> None:
    first = FileLock(path)
    with pytest.raises(StoreLockedError, match=str(os.getpid())):
        FileLock(path)
    first.release()
    first.release()
    FileLock(path).release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_after_a_command_of_root_the_user_of_the_store_can_lock_it(path: Path) -> None:
    path.touch()
    os.chown(path, 65534, 65533)
    FileLock(path).release()
    status = path.with_name(path.name + ".lock").stat()
    assert (status.st_uid, status.st_gid) == (65534, 65533)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", ".lock"])
def test_a_file_of_the_store_that_belongs_to_another_user_is_named_before_the_start(
    path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    file = Path(f"{path}{suffix}")
    file.touch()
    check_path(path)
    monkeypatch.setattr(os, "access", lambda asked, _: Path(asked) != file)  # root may write everywhere
    with pytest.raises(StoreError, match=f"this user cannot write to {re.escape(str(file))};"):
        check_path(path)


def test_a_missing_directory_is_named(path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no folder .*nowhere; create it, and let"):
        FileLock(path.parent / "nowhere" / "store.db")


def test_a_full_disk_is_named_as_such(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", fail)
        with pytest.raises(StoreFullError, match=rf"{path} \(store.path\) is full; free some space"):
            FileLock(path)
    FileLock(path).release()


@pytest.mark.parametrize("kind", ["symlink", "hard link", "dangling", "pipe", "directory"])
def test_a_lock_file_that_is_a_link_or_no_file_is_refused_and_left_alone(path: Path, kind: str) -> None:
    victim, lock = path.with_name("victim"), path.with_name(path.name + ".lock")
    victim.write_text("important")
    if kind == "symlink":
        lock.symlink_to(victim)
    elif kind == "hard link":
        lock.hardlink_to(victim)
    elif kind == "dangling":
        lock.symlink_to(path.with_name("new"))
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(StoreError, match=re.escape(str(lock))):
        FileLock(path)
    assert victim.read_text() == "important"
    assert not path.with_name("new").exists()


def test_a_file_that_is_not_our_lock_is_not_overwritten(path: Path) -> None:
    lock = path.with_name(path.name + ".lock")
    lock.write_text("a letter to my aunt")
    with pytest.raises(StoreError, match="is not a lock file of the forwarder"):
        FileLock(path)
    assert lock.read_text() == "a letter to my aunt"


@pytest.mark.parametrize("content", [b"\0" * 5, b"12\0\0\0", b"\x00\x00345\n", b"123456\n"])
def test_a_power_cut_may_leave_any_part_of_the_pid_in_the_lock_file(path: Path, content: bytes) -> None:
    lock = path.with_name(path.name + ".lock")
    lock.write_bytes(content)
    FileLock(path).release()
    assert lock.read_text() == f"{os.getpid()}\n"


_WRITE = """
import sqlite3
import sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.long
async def test_another_program_that_locks_the_database_is_named(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch([event()]), timeout=5)
        with child([sys.executable, "-c", _WRITE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            with pytest.raises(StoreError, match=rf"the pid {other.pid} \(python.*\) has locked it; wait until"):
                await store.append(Batch([event()]), timeout=5)
        await store.append(Batch([event()]), timeout=5)
