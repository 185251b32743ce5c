"""The SQLite connections of a running forwarder: one connection that writes, and connections that only read."""

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

_CHECK_INTERVAL = 0.05
"""Seconds after a check of the files during which a new transaction begins without another check. A check releases the
GIL, and getting the GIL back from a busy event loop takes longer than the check."""

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
    """Return whether the cause of `error` is the disk or the file. If not, the cause is a value that could not be
    written."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_ERRORS


class WriteConnection:
    """The only connection of the forwarder that writes to the store. Only one thread at a time may use it.

    Attributes:
        wal: the path of the WAL.
        dirty: whether the WAL may hold commits that no checkpoint has copied into the main file yet.
        wal_in_use: whether a reader prevented the last checkpoint.
        checkpoint_error: the error of the last checkpoint; None if it had no error.
    """

    def __init__(self, db: sqlite3.Connection, files: OpenFiles, settings: StoreSettings, clock: Clock) -> None:
        """Create the object from `db` and `files`, which are the results of `schema.open_store`. The method `close`
        closes `db`, but does not unlock `files`."""
        self._db: sqlite3.Connection | None = db
        self._files = files
        self._path = real_path(settings.path)
        self._checked_at = 0.0
        # Whether a commit since the last checkpoint has raised SQLite's change counter.
        self._is_counted = False
        self.wal = files.wal
        self._max_size = settings.max_size
        self._clock = clock
        self.dirty = True
        self.wal_in_use = False
        self.checkpoint_error: sqlite3.Error | None = None

    def transact(self, operation: Operation[T]) -> tuple[T, int]:
        """Run `operation` in a transaction, and commit it. When this method returns, the commit is on disk (fsynced).

        Returns:
            The result of `operation`, and the number of events ever stored.

        Raises:
            StoreMovedError: the open files were moved or replaced, so the next start of the forwarder would not open
                them. The commit may be lost. The caller must call `abandon`.
            sqlite3.Error: nothing was committed. If `is_disk_error(error)`, the caller must call `recover`.
            Exception: `operation` raised this exception, and nothing was committed.
        """
        if self._db is None or time.monotonic() - self._checked_at > _CHECK_INTERVAL:
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
                # This statement writes the first page, so SQLite raises the change counter there. By this counter,
                # `OpenFiles` detects that the file was overwritten with an earlier copy of the store.
                db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            tx.commit()
        except BaseException as error:
            if db.in_transaction:  # SQLite may have rolled back already
                db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                self._files.check()  # if another program changed the files, report this as the cause
            raise
        # This check must follow the commit. If the files were changed before the commit, the commit may be lost, and
        # this raises. If the files are changed later, the commit was in the right files.
        self._files.check()
        self.dirty = self.dirty or db.total_changes != changes
        self._is_counted = self._is_counted or counts
        return result, tx.stored

    def check_files(self) -> None:
        """Raise StoreMovedError if the next start of the forwarder would open files other than the open files, or could
        not read and write the open files."""
        self._files.check_all()
        self._checked_at = time.monotonic()

    def abandon(self) -> None:
        """Close the connection, because the files were moved. If it is safe to checkpoint the WAL, checkpoint it before
        closing.

        After the checkpoint, the main file contains every event without the WAL. So an operator can put the main file
        back, or use it where it is.
        """
        if self._db is not None and self._files.may_checkpoint:
            self._checkpoint(self._db, timeout_ms=schema.BUSY_TIMEOUT)
        self.close()

    def recover(self, error: sqlite3.Error) -> None:
        """Close the connection because of `error`. The next transaction opens it again. If `error` says that the disk
        is full, do nothing."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
            had_wal = self.wal.exists()
            self.close()
            if had_wal:
                self._files.closed()

    def close(self) -> None:
        """Close the connection. Everything that was committed stays on disk, in the main file or in the WAL."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def checkpoint(self, *, timeout_ms: int) -> None:
        """Copy the WAL into the main file, and truncate the WAL.

        If a reader still uses the WAL after `timeout_ms` milliseconds, do not truncate the WAL, and set `wal_in_use`.
        If SQLite fails, set `checkpoint_error`; no commit is lost, because the WAL stays.

        Raises:
            StoreMovedError: the open files were moved or replaced, so the next start of the forwarder would not open
                them.
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
        except sqlite3.Error as error:  # no commit is lost, because the WAL stays
            self.checkpoint_error = error
        else:
            self.dirty = self.wal_in_use = bool(busy)
            if not busy:
                self._count_again(db)
        finally:
            db.execute(f"PRAGMA busy_timeout = {schema.BUSY_TIMEOUT}")

    def _count_again(self, db: sqlite3.Connection) -> None:
        """Make the next commit increase SQLite's change counter, because the WAL was checkpointed since the last
        increase."""
        self._files.was_checkpointed = False
        # SQLite would add 1 to the counter in its cached copy of the first page. So make SQLite drop its cache, and
        # read the page from the file.
        db.execute("PRAGMA shrink_memory")
        self._is_counted = False

    def _reconnect(self) -> sqlite3.Connection:
        """Open the connection again after it was closed, for example after an I/O error. Return the connection.

        After a failed commit, the WAL may contain frames that are not on disk. If a later commit were appended to these
        frames, a power cut could lose the later commit as well. So the method checkpoints and truncates the WAL before
        anything is written.
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
    """Runs queries one at a time. Each Reader has its own thread and its own connection. The connection never
    checkpoints the WAL."""

    def __init__(self, path: Path, files: OpenFiles, name: str) -> None:
        self._path = path
        self._files = files
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._db: sqlite3.Connection | None = None
        self._closed = False

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` on the committed data, and return its result. Raise StoreError if the store cannot be read."""
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
        """If the files were moved, close the new connection and raise StoreMovedError, because the connection may read
        another store."""
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
