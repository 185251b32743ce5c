"""The one connection that writes: its transactions, its repair after an error, and its log (SQLite's WAL)."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from forwarder.core.errors import StoreFullError
from forwarder.core.ports import Clock
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.transaction import Transaction

T = TypeVar("T")
Work = Callable[[Transaction], T]

_DISK = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
    }
)


class _StillReadError(sqlite3.OperationalError):
    """Somebody still reads the log, so it cannot be emptied yet."""

    sqlite_errorcode = sqlite3.SQLITE_BUSY
    sqlite_errorname = "SQLITE_BUSY"


def is_disk_fault(error: sqlite3.Error) -> bool:
    """Whether the disk or the file is at fault, rather than what was to be written."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK


class Connection:
    """Used by one thread at a time.

    Attributes:
        dirty: the log may hold something that is not yet in the file.
    """

    def __init__(self, db: sqlite3.Connection, settings: StoreSettings, clock: Clock) -> None:
        self._db: sqlite3.Connection | None = db
        self._path: Path = settings.path
        self._max_size = settings.max_size
        self._clock = clock
        self.dirty = True

    def transact(self, work: Work[T]) -> tuple[T, int]:
        """Do `work` in one transaction; when it returns, an fsync has returned after it.

        Returns:
            Its result, and how many events were ever stored.

        Raises:
            sqlite3.Error: nothing of it stays; call `recover` with it where `is_disk_fault`.
            Exception: what `work` raised; nothing of it stays.
        """
        db = self._db = self._db or self._reconnect()
        changes = db.total_changes
        try:
            tx = Transaction(db, self._clock.now(), self._max_size)
            result = work(tx)
            tx.commit()
        except BaseException:
            if db.in_transaction:  # SQLite may have rolled back already
                db.execute("ROLLBACK")
            raise
        self.dirty = self.dirty or db.total_changes != changes
        return result, tx.stored

    def recover(self, error: sqlite3.Error) -> None:
        """Let go of the file, so that the next transaction opens it anew; a full disk alone does no harm."""
        if not isinstance(schema.trouble(self._path, error), StoreFullError):
            self.close()

    def close(self) -> None:
        """Let go of the file. Whatever is committed is safe, in it or in its log."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def log_bytes(self) -> int:
        """Size of the log."""
        try:
            return self._path.with_name(self._path.name + "-wal").stat().st_size
        except OSError:
            return 0

    def empty_log(self, *, patience: int) -> None:
        """Bring the log into the file and cut it to nothing.

        Args:
            patience: milliseconds for readers to get out of it; where they do not, it stays as it is.
        """
        if self._db is None:
            return
        with contextlib.suppress(sqlite3.Error):  # then it stays, and is as safe as the file
            self._db.execute(f"PRAGMA busy_timeout = {patience}")
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self.dirty = bool(busy)
            self._db.execute(f"PRAGMA busy_timeout = {schema.BUSY_TIMEOUT}")

    def _reconnect(self) -> sqlite3.Connection:
        """Open the file again after an I/O error.

        What the failed commit wrote may stand in the log without being on the disk. If later commits were
        appended to it, a power cut would take them along. So the log is brought into the file and cut first.
        """
        db = schema.connect_writer(self._path)
        try:
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except BaseException:
            db.close()
            raise
        if busy:
            db.close()
            raise _StillReadError("somebody reads it, so its log cannot be emptied")
        return db
