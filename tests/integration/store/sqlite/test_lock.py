import os
import subprocess
import sys
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError, StoreLockedError
from forwarder.store.sqlite.lock import FileLock

_HOLD = """
import sys
from pathlib import Path
from forwarder.store.sqlite.lock import FileLock
FileLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_learns_the_pid_of_the_first(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreLockedError, match=rf"pid {holder.pid};"):
            FileLock(path)
        holder.kill()
    FileLock(path).release()


def test_a_released_lock_can_be_taken_again(path: Path) -> None:
    first = FileLock(path)
    with pytest.raises(StoreLockedError, match=str(os.getpid())):
        FileLock(path)
    first.release()
    first.release()
    FileLock(path).release()


def test_a_missing_directory_is_named(path: Path) -> None:
    with pytest.raises(StoreError, match=r"No such file or directory.*create the directory .*nowhere"):
        FileLock(path.parent / "nowhere" / "store.db")
