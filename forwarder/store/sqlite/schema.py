"""The store's file: made whole or not at all, checked before anything is written to it, brought up to date.

Whatever is not our file in a version that we know is left alone, byte for byte: every check reads.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from forwarder.core.errors import StoreError, StoreFormatError, StoreFullError
from forwarder.files import sync_directory

APPLICATION_ID = 0x4F6B4677
"""`OkFw`: stands in the file's header and tells our files from other people's SQLite files."""

STEPS: Sequence[str] = (
    """
    CREATE TABLE awaited (
      org INTEGER NOT NULL,
      uuid BLOB NOT NULL,
      event_type TEXT NOT NULL,
      published INTEGER NOT NULL,
      since INTEGER NOT NULL,
      missed_at INTEGER,
      PRIMARY KEY (org, uuid)
    ) WITHOUT ROWID;
    CREATE INDEX awaited_by_since ON awaited (org, since) WHERE missed_at IS NULL;
    UPDATE dead_letters SET via = 'hook' WHERE sink = 'receiver'
    """,
)
"""Step n (from 1) turns version n into version n + 1. Each runs in one transaction; none is ever changed."""

PAGE_SIZE = 16384
"""Measured: 4 KiB pages hold 1.0 to 1.5 times the bytes of bodies of 1.5 to 5 kB, 8 KiB up to 1.65, these 1.06 to 1.23;
larger ones save little and slow a commit, which writes whole pages."""

BUSY_TIMEOUT = 1000
"""Milliseconds to wait for another process; only a reader that starts or an operator's look makes us wait at all."""

_MAGIC = b"SQLite format 3\x00"
_AUTOCHECKPOINT = 256  # pages, so 4 MiB: keeps the checkpoint inside a commit at about 3 ms
_LEFT_ALONE = "The file is left as it is."


def version_of(steps: Sequence[str]) -> int:
    """The version that `steps` lead to."""
    return 1 + len(steps)


def open_writer(path: Path, steps: Sequence[str] = STEPS) -> sqlite3.Connection:
    """The one connection that writes. The caller holds the lock. Makes the file where there is none.

    Raises:
        StoreFormatError: not ours, damaged, or newer; the file is untouched.
        StoreFullError: the disk is full.
        StoreError: it cannot be opened for another reason.
    """
    try:
        if not path.exists():
            _create(path)
        _check(path, version_of(steps))
        db = connect_writer(path)
        try:
            _migrate(db, path, steps)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise trouble(path, error) from error
    except OSError as error:
        raise StoreError(f"the store {path} cannot be opened: {error.strerror}") from error
    return db


def connect_writer(path: Path) -> sqlite3.Connection:
    """A connection that writes to an existing, checked file.

    Raises:
        sqlite3.Error: as SQLite says.
    """
    db = _connect(_uri(path, "rw"))
    try:
        db.execute("PRAGMA journal_mode = wal")
        db.execute("PRAGMA synchronous = full")  # in WAL mode: an fsync in every commit
        db.execute(f"PRAGMA wal_autocheckpoint = {_AUTOCHECKPOINT}")
        db.execute("PRAGMA cache_size = -4000")
    except BaseException:
        db.close()
        raise
    return db


def connect_reader(path: Path, *, live: bool = False, steps: Sequence[str] = STEPS) -> sqlite3.Connection:
    """A connection that only reads, beside a forwarder or without one. It never checkpoints.

    Args:
        path: of the store.
        live: it stays open while this process writes to the store.
        steps: to what version it must have come.

    Raises:
        StoreFormatError: no store of ours, damaged, or of another version.
        StoreError: there is none, or it cannot be read.
    """
    newest = version_of(steps)
    try:
        if not path.exists():
            raise StoreError(f"there is no store at {path}; start the forwarder once, or correct store.path")
        _check_header(path, newest)
        db = _connect_reader(path, live=live)
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise trouble(path, error) from error
    except OSError as error:
        raise StoreError(f"the store {path} cannot be read: {error.strerror}") from error
    if version != newest:
        db.close()
        raise _wrong_version(path, version, newest)
    return db


def trouble(path: Path, error: sqlite3.Error) -> StoreError:
    """What an operator is told about an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(f"the disk of the store {path} is full ({error}); make room on it")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreFormatError(
            f"the store {path} is damaged ({error}); restore it from a backup, or move it away. {_LEFT_ALONE}"
        )
    return StoreError(
        f"the store {path} cannot be used: {error} ({_name(error)}); check the disk and its rights"
    )


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def _connect_reader(path: Path, *, live: bool = False) -> sqlite3.Connection:
    db = _connect(_uri(path, "ro"))
    try:
        db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        # A cleanly closed store has no log; to read it, SQLite makes an empty one, which this user may not do.
        # Nobody writes to it while there is none, so the file may be taken as it is.
        if live or path.with_name(path.name + "-wal").exists():
            raise
        db = _connect(_uri(path, "ro") + "&immutable=1")
    except BaseException:
        db.close()
        raise
    db.execute("PRAGMA cache_size = -2000")
    return db


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT / 1000
    )


def _create(path: Path) -> None:
    """Make an empty store beside its place, then move it there: a crash leaves none rather than half of one."""
    if path.with_name(path.name + "-wal").exists():
        raise StoreFormatError(
            f"{path}-wal holds events, but the store {path} that it belongs to is gone; "
            "put it back, or move the log away as well"
        )
    new = path.with_name(path.name + ".new")
    for leftover in (new, new.with_name(new.name + "-wal"), new.with_name(new.name + "-journal")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # events are nobody else's business
    schema = resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
    with closing(_connect(_uri(new, "rw"))) as db:
        db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.executescript(f"BEGIN; {schema} PRAGMA user_version = {version_of(STEPS)}; COMMIT;")
        db.execute("PRAGMA journal_mode = wal")
    new.rename(path)
    sync_directory(path.parent)


def _check(path: Path, newest: int) -> None:
    _check_header(path, newest)
    with closing(_connect_reader(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > newest:  # a newer forwarder's change may still be in the log only
            raise _wrong_version(path, version, newest)
        try:
            _check_content(db, path, version)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
                raise
            raise StoreFormatError(f"the store {path} is damaged: {error}. {_LEFT_ALONE}") from error


def _check_header(path: Path, newest: int) -> None:
    """Look at the file's first bytes without SQLite, which would already make files beside a stranger's."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(_MAGIC):
        what = "is empty" if not header else "is no store of the forwarder"
        raise StoreFormatError(f"{path} {what}; move it away, or correct store.path. {_LEFT_ALONE}")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreFormatError(
            f"{path} is an SQLite file of another program; correct store.path. {_LEFT_ALONE}"
        )
    version = int.from_bytes(header[60:64], "big")
    if version > newest:
        raise _wrong_version(path, version, newest)


def _check_content(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Touch every table at its ends; a whole check of gigabytes would hold up a restart for minutes."""
    counters = db.execute("SELECT stored FROM counters WHERE id = 1").fetchone()
    last = db.execute("SELECT MAX(seq) FROM events").fetchone()[0]
    db.execute("SELECT MIN(seq) FROM events").fetchone()
    db.execute("SELECT COUNT(*) FROM positions, orgs").fetchone()
    db.execute("SELECT MAX(id) FROM dead_letters").fetchone()
    db.execute("SELECT uuid FROM known LIMIT 1").fetchone()
    if version > 1:
        db.execute("SELECT uuid FROM awaited LIMIT 1").fetchone()
    if counters is None or (last is not None and last > counters[0]):
        raise StoreFormatError(
            f"the store {path} is damaged: it holds event {last}, but counts {counters and counters[0]}; "
            f"restore it from a backup. {_LEFT_ALONE}"
        )


def _wrong_version(path: Path, version: int, newest: int) -> StoreFormatError:
    advice = (
        "run the newer forwarder that wrote it, or give this one a store.path of its own"
        if version > newest
        else "start the forwarder once to bring it up to date"
    )
    return StoreFormatError(
        f"the store {path} has version {version}, this forwarder works with {newest}; {advice}. {_LEFT_ALONE}"
    )


def _migrate(db: sqlite3.Connection, path: Path, steps: Sequence[str]) -> None:
    before = version = db.execute("PRAGMA user_version").fetchone()[0]
    while version <= len(steps):
        try:
            db.executescript(
                f"BEGIN IMMEDIATE; {steps[version - 1]}; PRAGMA user_version = {version + 1}; COMMIT;"
            )
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise StoreError(
                f"the store {path} stays at version {version}: the step to {version + 1} failed: {error}"
            ) from error
        version += 1
    if version != before:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # an older forwarder shall see it in the file's header
