"""Detects when another program moves, removes, replaces, overwrites or truncates the open files of the store.

SQLite does not notice when another program changes the files, and continues to write to the files that it has open. But
the next start of the forwarder opens the files that are then at the configured path, so it would not find what SQLite
wrote after the change.
"""

import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from forwarder.core.errors import StoreLockedError, StoreMovedError
from forwarder.safe_files import cannot_write
from forwarder.store.settings import real_path

_STORE, _WAL, _SHM = "", "-wal", "-shm"
_FRAME_HEADER = 24  # bytes of the header of a frame in the WAL; a page follows the header


class _FileState(NamedTuple):
    """The state of a file at the last check. `size` is in bytes, `mtime_ns` is the time of the last write."""

    device: int
    inode: int
    size: int
    mtime_ns: int


class OpenFiles:
    """The open files of a store. The main file stays locked until `close`.

    Attributes:
        was_checkpointed: whether a check found that a commit or another process has checkpointed the WAL. The caller
            handles the checkpoint, and then sets the attribute to False.
        wal: the path of the WAL.

    The lock is on the inode of the main file. So it also works if two processes open the store under different names,
    and therefore use different lock files.

    No other code of this process may open and close the main file or the `-shm` file. When a process closes a file,
    POSIX drops all locks of the process on the file, including the locks of SQLite. Without the locks of SQLite,
    another program that reads the store would remove the WAL although this process still writes to the WAL, and later
    commits would be lost.
    """

    def __init__(self, path: Path) -> None:
        """Lock the existing store at the configured `path`. Do this before SQLite opens the store.

        Raises:
            StoreLockedError: another process has the store open, under this name or another one.
            OSError: the file cannot be opened.
        """
        self.was_checkpointed = False
        self._path = path
        self._real = real_path(path)
        self._has_links = self._real != Path(os.path.abspath(path))  # noqa: PTH100  # `absolute` keeps `..`
        self.wal = _beside(self._real, _WAL)
        self._shm = -1  # a descriptor of the `-shm` file
        self._descriptor = os.open(self._real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StoreLockedError(
                f"another process uses the store {path}, perhaps under another path of the same file; "
                "stop that process first, or give this forwarder a store.path of its own"
            ) from None
        self._lock = threading.Lock()
        self._states: dict[str, _FileState] = {_STORE: _file_state(os.fstat(self._descriptor))}
        self._header = b""

    def close(self) -> None:
        """Unlock the store. Call this after SQLite has closed the store. Safe to call twice."""
        for descriptor in (self._descriptor, self._shm):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._shm = -1

    def opened(self) -> None:
        """Record the state of the WAL and the `-shm` file. Call this after SQLite has opened or created them."""
        for suffix in (_WAL, _SHM):
            if suffix not in self._states:
                self._states[suffix] = _file_state(_beside(self._real, suffix).stat())
                if suffix == _SHM:
                    self._open_shm()
        self._header = self._header or self._read_header()

    def _open_shm(self) -> None:
        before, self._shm = self._shm, os.open(_beside(self._real, _SHM), os.O_RDONLY | os.O_CLOEXEC)
        if before >= 0:  # the descriptor of an earlier `-shm` file, which SQLite has removed
            os.close(before)

    def closed(self) -> None:
        """Forget the state of the WAL and the `-shm` file if SQLite removed the two files when its last connection was
        closed."""
        if not self.wal.exists():
            self._states.pop(_WAL, None)
            self._states.pop(_SHM, None)

    @contextmanager
    def truncating(self) -> Iterator[None]:
        """Allow the `with` block to checkpoint and truncate the WAL.

        Checks in other threads wait until the block ends. Otherwise the checks could report that another program
        truncated the WAL.
        """
        with self._lock:
            yield
            if _WAL in self._states:
                self._states[_WAL] = self._states[_WAL]._replace(size=0)
            self._change(self._next_path(), _STORE)  # records the state of the main file, which the checkpoint changed

    def check(self) -> None:
        """Check that no other program moved, replaced, overwrote or truncated the main file or the WAL. Takes 10 µs.

        Raises:
            StoreMovedError: another program changed one of the files. The next start of the forwarder would not find
                the newest commits.
        """
        with self._lock:
            real = self._next_path()
            self._check(real, _STORE)
            self._check(real, _WAL)

    def check_all(self) -> None:
        """Check the main file, the WAL and the `-shm` file as `check` does. Also check that this user may read and
        write all three files.

        Raises:
            StoreMovedError: a check failed.
        """
        self.check()
        real = self._next_path()
        self._check(real, _SHM)
        for suffix in self._states:
            if not os.access(f"{real}{suffix}", os.R_OK | os.W_OK, effective_ids=True):
                raise StoreMovedError(
                    f"the running forwarder can no longer use its store (store.path): {cannot_write(_beside(real, suffix))}"
                )

    @property
    def may_checkpoint(self) -> bool:
        """Whether it is safe to checkpoint the open WAL into the open main file. It stays safe if the two files were
        moved.

        It is not safe if one of the two files was truncated, overwritten or replaced by another file: the next start
        might then combine the main file with a WAL that belongs to another file. Exception: it is safe if the WAL was
        replaced by an empty file.
        """
        real = self._next_path()
        store, wal = self._change(real, _STORE), self._change(real, _WAL)
        new_wal_is_empty = wal is _Change.REPLACED and _beside(real, _WAL).stat().st_size == 0
        return store in (None, _Change.GONE, _Change.LINKED) and (wal in (None, _Change.GONE) or new_wal_is_empty)

    def _next_path(self) -> Path:
        """Return the path of the main file that the next start of the forwarder would open. Its WAL is beside it."""
        return real_path(self._path) if self._has_links else self._real

    def _check(self, real: Path, suffix: str) -> None:
        change = self._change(real, suffix)
        if change is not None:
            raise self._error(_beside(real, suffix), change.value)

    def _change(self, real: Path, suffix: str) -> "_Change | None":
        before = self._states.get(suffix)
        if before is None:
            return None
        path = f"{real}{suffix}"
        try:
            now = _file_state(os.lstat(path))  # 2 µs less than `Path.lstat`
            if now[:2] != before[:2]:
                return _Change.LINKED if _file_state(os.stat(path))[:2] == before[:2] else _Change.REPLACED  # noqa: PTH116
        except OSError:
            return _Change.GONE
        change = self._rewritten(before, now) if suffix == _STORE else None
        if suffix != _STORE and now.size < before.size:
            if suffix == _WAL and self._has_all_frames(path):
                self.was_checkpointed = True
            else:
                change = _Change.TRUNCATED
        if change is None:
            self._states[suffix] = now
        return change

    def _has_all_frames(self, wal: str) -> bool:
        """Return whether `wal`, a WAL that became shorter, still has all frames that the header of the `-shm` file
        counts.

        If so, no commit was lost: another process has checkpointed the WAL. The program `sqlite3` does this by `PRAGMA
        wal_checkpoint(TRUNCATE)`, for example. After a checkpoint that truncates, the header counts no frames.

        The formats of both files: https://sqlite.org/walformat.html
        """
        index = os.pread(self._shm, 48, 0) if self._shm >= 0 else b""
        frames, salt = int.from_bytes(index[16:20], sys.byteorder), index[32:40]
        if len(index) < 48 or not index[12]:  # SQLite has not initialized the `-shm` file
            return False
        if not frames:
            return True
        with open(wal, "rb", buffering=0) as file:  # noqa: PTH123  # closing it is safe: SQLite has no locks on the WAL
            header = file.read(32)
            size = _FRAME_HEADER + int.from_bytes(header[8:12], "big")  # bytes of a frame with its page
            salts = [header[16:24], *(os.pread(file.fileno(), 8, 40 + n * size) for n in range(frames))]
            return set(salts) == {salt} and os.fstat(file.fileno()).st_size >= 32 + frames * size

    def _rewritten(self, before: _FileState, now: _FileState) -> "_Change | None":
        """Return how a program other than SQLite changed the content of the main file; None if only SQLite changed it."""
        if now == before:
            return None
        header = self._read_header()
        page_size, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
        if now.size < before.size and now.size != page_size * pages:  # if equal, a VACUUM of SQLite did it
            return _Change.TRUNCATED
        # SQLite raises the change counter in the header when it writes the first page, modulo 2**32. `connection.py`
        # makes SQLite write this page between two checkpoints, so an earlier copy of the store has a lower counter.
        steps = (_change_counter(header) - _change_counter(self._header)) % 2**32
        if steps >= 2**31 or any(header[part] != self._header[part] for part in _CONSTANT):
            return _Change.OVERWRITTEN
        self._header = header
        self.was_checkpointed = True
        return None

    def _read_header(self) -> bytes:
        return os.pread(self._descriptor, 100, 0)

    def _error(self, path: Path, what: str) -> StoreMovedError:
        return StoreMovedError(
            f"another program changed the store {self._path} (store.path) of the running forwarder: {path} {what}; "
            "put the same files back, or restart the forwarder, which then opens the files that are there"
        )


_CONSTANT = (slice(0, 16), slice(68, 72))
"""The parts of the main file's header that never change: they say that it is an SQLite file and a store of the
forwarder."""


class _Change(Enum):
    """How another program changed an open file. Each value completes an error message that begins with the file's
    path."""

    GONE = "is gone, or cannot be reached"
    REPLACED = "is another file now"
    LINKED = "is a link now, so SQLite would look for the WAL beside another file"
    OVERWRITTEN = "was overwritten by another program"
    TRUNCATED = "was truncated"


def _file_state(status: os.stat_result) -> _FileState:
    return _FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _beside(real: Path, suffix: str) -> Path:
    return real.with_name(real.name + suffix)


def _change_counter(header: bytes) -> int:
    return int.from_bytes(header[24:28], "big")
