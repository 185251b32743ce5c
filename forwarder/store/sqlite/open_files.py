"""Checks that the files that SQLite has open are still those that the next start would open.

SQLite does not notice when another program moves, removes, replaces or truncates them: it goes on writing to the open
files, and everything that it commits there is lost when the process ends.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from forwarder.core.errors import StoreLockedError, StoreMovedError
from forwarder.store.settings import real_path


class _Seen(NamedTuple):
    """The identity and the size, in bytes, of a file at the last check."""

    device: int
    inode: int
    size: int


class OpenFiles:
    """The open files of a store. The main file stays locked until `close`.

    The lock is on the inode, so it does not depend on the names of the store and of its lock file. No other code of
    this process may open and close the main file: POSIX then drops SQLite's own locks on it, and any other program
    that reads the store would remove its WAL.
    """

    def __init__(self, path: Path) -> None:
        """Lock the existing store at `path`, as configured. Create this before SQLite opens it.

        Raises:
            StoreLockedError: another process has the store open, by this or by another name.
            OSError: the file cannot be opened.
        """
        self._path = path
        real = real_path(path)
        self.wal = real.with_name(real.name + "-wal")
        self._shm = real.with_name(real.name + "-shm")
        self._descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StoreLockedError(
                f"the store {path} is in use by another process, maybe by another name; "
                "stop it first, or give this forwarder a store.path of its own"
            ) from None
        self._lock = threading.Lock()
        self._seen: dict[Path, _Seen] = {path: _seen(os.fstat(self._descriptor))}

    def close(self) -> None:
        """Unlock the store. Call it after SQLite has closed it. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def opened(self) -> None:
        """Remember the WAL and the `-shm` file, after SQLite has opened or created them."""
        for path in (self.wal, self._shm):
            if path not in self._seen:
                self._seen[path] = _seen(path.stat())

    def closed(self) -> None:
        """Forget the WAL and the `-shm` file if SQLite removed them, as it does when the last connection closes."""
        if not self.wal.exists():
            self._seen.pop(self.wal, None)
            self._seen.pop(self._shm, None)

    @contextmanager
    def truncating(self) -> Iterator[None]:
        """Allow the `with` block to truncate the WAL by a checkpoint. Other threads' checks wait until it ends.

        Otherwise the checks might report the truncation as the work of another program.
        """
        with self._lock:
            yield
            if self.wal in self._seen:
                self._seen[self.wal] = self._seen[self.wal]._replace(size=0)

    def check(self) -> None:
        """Check that the store and its WAL were not moved, replaced or truncated. Takes 10 µs.

        Raises:
            StoreMovedError: one of them was, so the next start would not find the newest commits.
        """
        with self._lock:
            self._check(self._path)
            self._check(self.wal)

    def check_all(self) -> None:
        """Do what `check` does, also for the `-shm` file, and check that this user may still use the files.

        Raises:
            StoreMovedError: a check failed.
        """
        self.check()
        self._check(self._shm)
        for path in self._seen:
            if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
                raise self._error(path, "can no longer be read and written by this user")

    @property
    def may_checkpoint(self) -> bool:
        """Whether the WAL may be checkpointed into the main file, wherever that is now.

        False if one of the two was truncated or replaced by another file: the next start would read the store with a
        WAL that does not belong to it. An empty new WAL is allowed.
        """
        store, wal = self._change(self._path), self._change(self.wal)
        new_wal_is_empty = wal is _Change.REPLACED and self.wal.stat().st_size == 0
        return store in (None, _Change.GONE) and (wal in (None, _Change.GONE) or new_wal_is_empty)

    def _check(self, path: Path) -> None:
        change = self._change(path)
        if change is not None:
            raise self._error(path, change.value)

    def _change(self, path: Path) -> "_Change | None":
        before = self._seen.get(path)
        if before is None:
            return None
        try:
            now = _seen(os.stat(path))  # noqa: PTH116  # 2 µs less
        except OSError:
            return _Change.GONE
        if now[:2] != before[:2]:
            return _Change.REPLACED
        if now.size < before.size and not (path == self._path and self._was_vacuumed(now.size)):
            return _Change.TRUNCATED
        self._seen[path] = now
        return None

    def _was_vacuumed(self, size: int) -> bool:
        """Whether SQLite itself made the store smaller, to `size` bytes: its header then has that size in pages."""
        header = os.pread(self._descriptor, 100, 0)
        page_size, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
        return len(header) == 100 and page_size * pages == size

    def _error(self, path: Path, what: str) -> StoreMovedError:
        return StoreMovedError(
            f"the store {self._path} (store.path) was changed under the running forwarder: {path} {what}; "
            "put the same files back, or restart the forwarder, which then opens the files that are there"
        )


class _Change(Enum):
    """What happened to a file that is open."""

    GONE = "is gone or out of reach"
    REPLACED = "is another file now"
    TRUNCATED = "was truncated"


def _seen(status: os.stat_result) -> _Seen:
    return _Seen(status.st_dev, status.st_ino, status.st_size)
