"""Checks that the files that SQLite has open are still those that the next start would open.

SQLite does not notice when another program moves, removes, replaces, overwrites or truncates them: it goes on writing to
the open files, and everything that it commits there is lost when the process ends.
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
from forwarder.store.settings import real_path

_STORE, _WAL, _SHM = "", "-wal", "-shm"
_FRAME_HEADER = 24  # bytes, before the page of each frame of the WAL


class _Seen(NamedTuple):
    """A file at the last check: its identity, its size in bytes, and when it was written (nanoseconds)."""

    device: int
    inode: int
    size: int
    written: int


class OpenFiles:
    """The open files of a store. The main file stays locked until `close`.

    Attributes:
        was_checkpointed: whether a check found that the WAL was checkpointed: inside a commit, or by another process.
            The reader resets it.

    The lock is on the inode, so it does not depend on the names of the store and of its lock file. No other code of
    this process may open and close the main file or the `-shm` file: POSIX then drops SQLite's own locks on it, and
    any other program that reads the store would remove its WAL.
    """

    def __init__(self, path: Path) -> None:
        """Lock the existing store at `path`, as configured. Create this before SQLite opens it.

        Raises:
            StoreLockedError: another process has the store open, by this or by another name.
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
                f"the store {path} is in use by another process, maybe by another name; "
                "stop it first, or give this forwarder a store.path of its own"
            ) from None
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {_STORE: _seen(os.fstat(self._descriptor))}
        self._header = b""

    def close(self) -> None:
        """Unlock the store. Call it after SQLite has closed it. Safe to call twice."""
        for descriptor in (self._descriptor, self._shm):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._shm = -1

    def opened(self) -> None:
        """Remember the WAL and the `-shm` file, after SQLite has opened or created them."""
        for suffix in (_WAL, _SHM):
            if suffix not in self._seen:
                self._seen[suffix] = _seen(_beside(self._real, suffix).stat())
                if suffix == _SHM:
                    self._open_shm()
        self._header = self._header or self._read_header()

    def _open_shm(self) -> None:
        before, self._shm = self._shm, os.open(_beside(self._real, _SHM), os.O_RDONLY | os.O_CLOEXEC)
        if before >= 0:  # of a file that SQLite has removed
            os.close(before)

    def closed(self) -> None:
        """Forget the WAL and the `-shm` file if SQLite removed them, as it does when the last connection closes."""
        if not self.wal.exists():
            self._seen.pop(_WAL, None)
            self._seen.pop(_SHM, None)

    @contextmanager
    def truncating(self) -> Iterator[None]:
        """Allow the `with` block to truncate the WAL by a checkpoint. Other threads' checks wait until it ends.

        Otherwise the checks might report the truncation as the work of another program.
        """
        with self._lock:
            yield
            if _WAL in self._seen:
                self._seen[_WAL] = self._seen[_WAL]._replace(size=0)
            self._change(self._next_path(), _STORE)  # remembers what the checkpoint wrote

    def check(self) -> None:
        """Check that the store and its WAL were not moved, replaced, overwritten or truncated. Takes 10 µs.

        Raises:
            StoreMovedError: one of them was, so the next start would not find the newest commits.
        """
        with self._lock:
            real = self._next_path()
            self._check(real, _STORE)
            self._check(real, _WAL)

    def check_all(self) -> None:
        """Do what `check` does, also for the `-shm` file, and check that this user may still use the files.

        Raises:
            StoreMovedError: a check failed.
        """
        self.check()
        real = self._next_path()
        self._check(real, _SHM)
        for suffix in self._seen:
            if not os.access(f"{real}{suffix}", os.R_OK | os.W_OK, effective_ids=True):
                raise self._error(_beside(real, suffix), "can no longer be read and written by this user")

    @property
    def may_checkpoint(self) -> bool:
        """Whether the WAL may be checkpointed into the main file, wherever that is now.

        False if one of the two was truncated, overwritten or replaced by another file: the next start would read the
        store with a WAL that does not belong to it. An empty new WAL is allowed.
        """
        real = self._next_path()
        store, wal = self._change(real, _STORE), self._change(real, _WAL)
        new_wal_is_empty = wal is _Change.REPLACED and _beside(real, _WAL).stat().st_size == 0
        return store in (None, _Change.GONE, _Change.LINKED) and (
            wal in (None, _Change.GONE) or new_wal_is_empty
        )

    def _next_path(self) -> Path:
        """Return where the next start finds the store, and its WAL beside it, unless a link is there then."""
        return real_path(self._path) if self._has_links else self._real

    def _check(self, real: Path, suffix: str) -> None:
        change = self._change(real, suffix)
        if change is not None:
            raise self._error(_beside(real, suffix), change.value)

    def _change(self, real: Path, suffix: str) -> "_Change | None":
        before = self._seen.get(suffix)
        if before is None:
            return None
        path = f"{real}{suffix}"
        try:
            now = _seen(os.lstat(path))  # 2 µs less than `Path.lstat`
            if now[:2] != before[:2]:
                return _Change.LINKED if _seen(os.stat(path))[:2] == before[:2] else _Change.REPLACED  # noqa: PTH116
        except OSError:
            return _Change.GONE
        change = self._rewritten(before, now) if suffix == _STORE else None
        if suffix != _STORE and now.size < before.size:
            if suffix == _WAL and self._is_whole(path):
                self.was_checkpointed = True
            else:
                change = _Change.TRUNCATED
        if change is None:
            self._seen[suffix] = now
        return change

    def _is_whole(self, wal: str) -> bool:
        """Whether the WAL, which is shorter now, has every frame that SQLite counts in its `-shm` file.

        It has if another process, such as `sqlite3` with `PRAGMA wal_checkpoint(TRUNCATE)`, copied all frames into the
        main file: SQLite then counts none. The formats: https://sqlite.org/walformat.html
        """
        index = os.pread(self._shm, 48, 0) if self._shm >= 0 else b""
        frames, salt = int.from_bytes(index[16:20], sys.byteorder), index[32:40]
        if len(index) < 48 or not index[12]:  # is not initialized
            return False
        if not frames:
            return True
        with open(wal, "rb", buffering=0) as file:  # noqa: PTH123  # SQLite has no locks on it
            header = file.read(32)
            size = _FRAME_HEADER + int.from_bytes(header[8:12], "big")  # of a frame with its page
            salts = [header[16:24], *(os.pread(file.fileno(), 8, 40 + n * size) for n in range(frames))]
            return set(salts) == {salt} and os.fstat(file.fileno()).st_size >= 32 + frames * size

    def _rewritten(self, before: _Seen, now: _Seen) -> "_Change | None":
        """Return what another program than SQLite did to the content of the main file."""
        if now == before:
            return None
        header = self._read_header()
        page_size, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
        if now.size < before.size and now.size != page_size * pages:  # else SQLite did it, by a VACUUM
            return _Change.TRUNCATED
        # SQLite counts the changes of the first page, modulo 2**32. `connection.py` makes it count between two
        # checkpoints, so an earlier copy of the store has a lower count.
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
            f"the store {self._path} (store.path) was changed under the running forwarder: {path} {what}; "
            "put the same files back, or restart the forwarder, which then opens the files that are there"
        )


_CONSTANT = (slice(0, 16), slice(68, 72))
"""Where the header of the main file says that it is one of SQLite, and of ours."""


class _Change(Enum):
    """What happened to a file that is open."""

    GONE = "is gone or out of reach"
    REPLACED = "is another file now"
    LINKED = "is a link now, so that the WAL would be searched beside another file"
    OVERWRITTEN = "was overwritten by another program"
    TRUNCATED = "was truncated"


def _seen(status: os.stat_result) -> _Seen:
    return _Seen(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _beside(real: Path, suffix: str) -> Path:
    return real.with_name(real.name + suffix)


def _change_counter(header: bytes) -> int:
    return int.from_bytes(header[24:28], "big")
