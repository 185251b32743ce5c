"""The connections to the store's file: one connection that writes, and connections that only read."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from forwarder.core.errors import StoreError, StoreMovedError
from forwarder.core.ports import Clock
from forwarder.store.settings import StoreSettings, real_path
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.open_files import OpenFiles
from forwarder.store.sqlite.transaction import Transaction

T = TypeVar("T")

Operation = Callable[[Transaction], T]

_UNCHECKED = 0.05
"""For this number of seconds after a check of the files, transactions begin without another check. A check releases the GIL,
and getting the GIL back from a busy event loop costs more than the check."""

_DISK_ERRORS = frozenset(
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


class _WalInUseError(sqlite3.OperationalError):
    """The WAL cannot be checkpointed yet, because a reader still needs it."""

    sqlite_errorcode = sqlite3.SQLITE_BUSY
    sqlite_errorname = "SQLITE_BUSY"


def is_disk_error(error: sqlite3.Error) -> bool:
    """Whether the cause of `error` is the disk or the file. If not, the cause is a value to write."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_ERRORS


class WriteConnection:
    """The connection that writes. One thread at a time may use it.

    Attributes:
        wal: the path of the WAL.
        dirty: whether the WAL may hold changes that were not copied into the main file yet.
        wal_in_use: whether a reader prevented the last checkpoint.
        checkpoint_error: the error of the last checkpoint; None if it had none.
    """

    def __init__(self, db: sqlite3.Connection, files: OpenFiles, settings: StoreSettings, clock: Clock) -> None:
        """Take over the results `db` and `files` of `schema.open_store`. `close` closes `db`, and leaves `files` locked."""
        self._db: sqlite3.Connection | None = db
        self._files = files
        self._path = real_path(settings.path)
        self._checked_at = 0.0
        # Whether a commit has raised SQLite's change counter since the last checkpoint.
        self._is_counted = False
        self.wal = files.wal
        self._max_size = settings.max_size
        self._clock = clock
        self.dirty = True
        self.wal_in_use = False
        self.checkpoint_error: sqlite3.Error | None = None

    def transact(self, operation: Operation[T]) -> tuple[T, int]:
        """Run `operation` in one transaction, and commit it. When this returns, the commit is on disk (fsynced).

        Returns:
            The result of the operation, and the number of events ever stored.

        Raises:
            StoreMovedError: the next start would not open the files that are open here, because they were moved or
                replaced. What was committed here may be lost then. The caller must call `abandon`.
            sqlite3.Error: nothing was committed. If `is_disk_error` is true for it, the caller must call `recover`.
            Exception: the operation raised this exception, and nothing was committed.
        """
        if self._db is None or time.monotonic() - self._checked_at > _UNCHECKED:
            self.check_files()
        db = self._db = self._db or self._reconnect()
        if self._files.was_checkpointed:
            self._count_again(db)
        changes = db.total_changes
        try:
            tx = Transaction(db, self._clock.now(), self._max_size)
            result = operation(tx)
            counts = not self._is_counted and db.total_changes != changes
            if counts:
                # This writes the first page, so SQLite raises its change counter. By this counter, `OpenFiles`
                # recognizes that an earlier copy has replaced the content of the file.
                db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            tx.commit()
        except BaseException as error:
            if db.in_transaction:  # SQLite may have rolled back already
                db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                self._files.check()  # if another program changed the files, report this as the cause
            raise
        # The files are checked after the commit. If they were changed before the commit, the commit is lost, and this
        # raises. If they are changed later, the commit is on the disk already.
        self._files.check()
        self.dirty = self.dirty or db.total_changes != changes
        self._is_counted = self._is_counted or counts
        return result, tx.stored

    def check_files(self) -> None:
        """Raise StoreMovedError if the next start would open other files than these, or could not write to these."""
        self._files.check_all()
        self._checked_at = time.monotonic()

    def abandon(self) -> None:
        """Close a store whose files were moved. Before that, checkpoint the WAL if that is safe.

        After the checkpoint, the main file alone has every event. So an operator can put it back, or use it where it is.
        """
        if self._db is not None and self._files.may_checkpoint:
            self._checkpoint(self._db, timeout_ms=schema.BUSY_TIMEOUT)
        self.close()

    def recover(self, error: sqlite3.Error) -> None:
        """Close the file after `error`, so that the next transaction opens it again. If the disk is full, do nothing."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
            had_wal = self.wal.exists()
            self.close()
            if had_wal:
                self._files.closed()

    def close(self) -> None:
        """Close the file. Everything that was committed is on disk, in the file or in its WAL."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def checkpoint(self, *, timeout_ms: int) -> None:
        """Copy the WAL into the main file, and truncate the WAL. If a reader still uses the WAL after `timeout_ms`, leave the
        WAL as it is.

        Raises:
            StoreMovedError: for the same reason as in `transact`.
        """
        self.wal_in_use, self.checkpoint_error = False, None
        if self._db is not None:
            self.check_files()
            self._checkpoint(self._db, timeout_ms)

    def _checkpoint(self, db: sqlite3.Connection, timeout_ms: int) -> None:
        try:
            db.execute(f"PRAGMA busy_timeout = {timeout_ms}")
            with self._files.truncating():
                busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:  # the WAL stays, in which the data is as safe
            self.checkpoint_error = error
        else:
            self.dirty = self.wal_in_use = bool(busy)
            if not busy:
                self._count_again(db)
        finally:
            db.execute(f"PRAGMA busy_timeout = {schema.BUSY_TIMEOUT}")

    def _count_again(self, db: sqlite3.Connection) -> None:
        """Make the next commit raise SQLite's change counter, because the WAL was checkpointed."""
        self._files.was_checkpointed = False
        # SQLite adds 1 to the counter in its cached copy of the first page. Make SQLite read the page again.
        db.execute("PRAGMA shrink_memory")
        self._is_counted = False

    def _reconnect(self) -> sqlite3.Connection:
        """Open the file again after an I/O error.

        The WAL may contain frames of the failed commit that are not on the disk. If a later commit were appended after
        them, a power cut would lose this later commit too. So the WAL is checkpointed and truncated first.
        """
        self._is_counted = False
        db = schema.connect_writer(self._path)
        try:
            with self._files.truncating():
                busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self._files.opened()
        except BaseException:
            db.close()
            raise
        if busy:
            db.close()
            raise _WalInUseError("another process reads the store, so the WAL of the store cannot be emptied")
        return db


class Reader:
    """Runs queries one after the other, on a thread and a connection of its own. The connection never checkpoints."""

    def __init__(self, path: Path, files: OpenFiles, name: str) -> None:
        self._path = path
        self._files = files
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._db: sqlite3.Connection | None = None
        self._closed = False

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` on the committed data, and return its result. Raises StoreError if the store cannot be read."""
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, query)

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if self._db is None:
            self._db = schema.connect_reader(self._path, live=True)
            self._check_files()
        try:
            return query(self._db)
        except sqlite3.Error as error:
            self._close()
            raise schema.to_store_error(self._path, error) from error

    def _check_files(self) -> None:
        """Close the new connection, and raise StoreMovedError, if it reads another file than the one that we write."""
        try:
            self._files.check()
        except StoreMovedError:
            self._close()
            raise

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    async def close(self) -> None:
        """Close the connection and end the thread. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)
