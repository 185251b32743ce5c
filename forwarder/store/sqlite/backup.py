"""Copies a store to one file, and checks the copy. A forwarder can continue to write to the store meanwhile.

The store is read in one transaction, so the copy shows the store at one moment, however long the copying takes. During
this time, the WAL of the store cannot be truncated, so it grows with each stored event.
"""

import contextlib
import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from forwarder.core.errors import StoreError, StoreFormatError, StoreFullError
from forwarder.safe_files import lock_file, sync_directory
from forwarder.store.backup import Backup, BackupProgress, OnProgress, check_target, part_path
from forwarder.store.settings import lock_path
from forwarder.store.sqlite import queries, schema

_STEP = 4 * 1024 * 1024
"""The bytes that are copied in one step. After each step, the copy is fsynced. One fsync at the end would take so long
that it would delay the commits of a store on the same disk."""

_KEPT_FREE = 16 * 1024 * 1024
"""The bytes that must stay free on the disk of the backup, because the store may be on the same disk."""

_HEADER = b"SQLite format 3\0"
"""The first bytes of a copy. In an unfinished copy, they may be zeros, because SQLite may write the first page last."""

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"


def back_up(
    db: sqlite3.Connection, store: Path, target: Path, stop: threading.Event, on_progress: OnProgress
) -> Backup:
    """Copy the store to the new file `target`, check the copy, and return a description of the copy.

    `db` is a connection that reads the store at the path `store`. Another thread can set `stop` to stop the backup. If
    the backup is stopped or fails, its unfinished file is removed. `on_progress` is called after each 4 MiB.

    Raises:
        StoreFullError: there is not enough space on the disk of `target`.
        StoreError: the copy cannot be written for another reason, or `stop` was set.
        StoreFormatError: the store is damaged, so the copy is damaged too.
        sqlite3.Error: the store cannot be read.
    """
    check_target(store, target)
    with _new_file(target) as new, _write_errors(new):
        try:
            with _interrupted_by(stop, db), _transaction(db):
                _check_space(db, target)
                with closing(_open(new)) as copy:
                    _copy(db, copy, new, stop, on_progress)
                counts = _counts(db)
            with closing(_open(new)) as copy, _interrupted_by(stop, copy):
                backup = _verify(copy, new, target, counts)
        except sqlite3.OperationalError as error:
            if stop.is_set():
                raise StoreError(
                    "the backup was stopped, and its incomplete file was removed; run the command again"
                ) from error
            raise
        _sync(new)
        _publish(new, target)
        sync_directory(target.parent)
    return backup


@contextlib.contextmanager
def _write_errors(new: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full_error(new) from error
        raise StoreError(
            f"the backup {new} cannot be written: {error.strerror}; check its disk, or name a file on another one"
        ) from error


def _full_error(new: Path) -> StoreFullError:
    return StoreFullError(
        f"the disk of {new.parent} became full while the backup was written; free some space, then run the command "
        "again"
    )


@contextlib.contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Create and lock the file of the unfinished backup, beside `target`. Only our user can read the file.

    At the end of the `with` block, remove the file unless it was renamed to `target`.
    """
    new = part_path(target)
    try:
        descriptor = lock_file(new)  # so that two backups never write to the same file
        if descriptor is None:
            raise StoreError(f"another backup to {target} is running; wait until it ends")
    except OSError as error:
        raise StoreError(
            f"the backup {new} cannot be written: {error.strerror}; name a file in a folder that the forwarder may "
            "write to, such as that of the store"
        ) from error
    if not _is_unfinished_backup(new, os.pread(descriptor, len(_HEADER), 0)):
        os.close(descriptor)
        raise StoreError(
            f"{new} exists already, and is not from a backup that was killed; move it away, or name another file"
        )
    try:
        os.ftruncate(descriptor, 0)
        yield new
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def _is_unfinished_backup(new: Path, head: bytes) -> bool:
    """Return whether the file `new` may be overwritten, because it is the unfinished file of a backup that was killed.

    `head` has the first bytes of the file. If a lock file is beside `new`, then `new` is a store, which must not be
    overwritten.
    """
    return (head == _HEADER or not head.strip(b"\0")) and not lock_path(new).exists()


@contextlib.contextmanager
def _interrupted_by(stop: threading.Event, db: sqlite3.Connection) -> Iterator[None]:
    """As soon as `stop` is set, interrupt the query of `db` that runs in the `with` block. The query then raises an
    OperationalError."""
    db.set_progress_handler(stop.is_set, 10_000)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run the `with` block in one read transaction. Otherwise SQLite would start the copy again after each commit."""
    db.execute("BEGIN")
    try:
        db.execute("SELECT stored FROM counters").fetchone()  # the first query begins the transaction
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _open(new: Path) -> sqlite3.Connection:
    db = sqlite3.connect(new, isolation_level=None)
    # SQLite does not have to protect the copy from a crash: the copy is checked and fsynced at the end, or removed.
    db.execute("PRAGMA journal_mode = off")
    db.execute("PRAGMA synchronous = off")
    return db


def _check_space(db: sqlite3.Connection, target: Path) -> None:
    pages, page_size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    needed, free = pages * page_size, shutil.disk_usage(target.parent).free
    if free < needed + _KEPT_FREE:
        raise StoreFullError(
            f"the backup needs {needed / 1e6:,.0f} MB, and {target.parent} has {free / 1e6:,.0f} MB free; "
            "free some space, or name a file on another disk"
        )


def _copy(
    db: sqlite3.Connection, copy: sqlite3.Connection, new: Path, stop: threading.Event, on_progress: OnProgress
) -> None:
    page_size = db.execute("PRAGMA page_size").fetchone()[0]

    def step(_status: int, remaining: int, total: int) -> None:
        if stop.is_set():
            raise sqlite3.OperationalError("stopped")
        _sync(new)
        on_progress(BackupProgress((total - remaining) * page_size, total * page_size))

    try:
        db.backup(copy, pages=_STEP // page_size, progress=step, sleep=0)
    except sqlite3.Error as error:
        if not stop.is_set() and isinstance(schema.to_store_error(new, error), StoreFullError):
            raise _full_error(new) from error
        raise
    # The copy gets no WAL, so that the backup is one file.
    copy.execute("PRAGMA journal_mode = delete")


def _counts(db: sqlite3.Connection) -> dict[str, int]:
    """Return a dict with the number of rows of each table of `db`, by the name of the table."""
    tables = [name for (name,) in db.execute(_TABLES).fetchall()]
    return {name: db.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0] for name in tables}  # noqa: S608


def _verify(copy: sqlite3.Connection, new: Path, target: Path, counts: dict[str, int]) -> Backup:
    found = [line for (line,) in copy.execute("PRAGMA integrity_check(10)")]
    if found != ["ok"]:
        raise StoreFormatError(f"the store is damaged: {found[0]}. The backup was damaged too, and was deleted")
    if (copied := _counts(copy)) != counts:
        raise StoreError(
            f"the backup was not complete, and was deleted; run the command again (rows of each table in the backup: {copied}, "
            f"in the store: {counts})"
        )
    ledger = queries.ledger(copy, new, exact=True)
    waiting = {name: sink.waiting for name, sink in ledger.sinks.items()}
    size = schema.file_bytes(new)
    return Backup(str(target), size, ledger.stored, ledger.events, waiting, ledger.imbalances)


def _sync(new: Path) -> None:
    descriptor = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(new: Path, target: Path) -> None:
    """Give the finished file `new` the name `target`. Raise StoreError if a file `target` was created meanwhile."""
    try:
        os.link(new, target)
    except FileExistsError:
        raise StoreError(
            f"another process created {target} during the backup, and a backup never overwrites a file; name "
            "another file"
        ) from None
    except OSError:  # a file system without links
        check_target(new, target)
        new.rename(target)
