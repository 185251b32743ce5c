"""Creates, checks, migrates and opens the store's file.

The checks only read the file, and run before the first write. So the forwarder never changes a file that is not its
store, or that a newer version has written.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from forwarder import safe_files
from forwarder.core.errors import StoreError, StoreFormatError, StoreFullError, StoreVersionError
from forwarder.store.settings import folder_among_files, real_path
from forwarder.store.sqlite.lock import check_lock_file, check_rights
from forwarder.store.sqlite.migrations import STEPS
from forwarder.store.sqlite.open_files import OpenFiles

APPLICATION_ID = 0x4F6B4677
"""`OkFw` in ASCII. This number in the file's header distinguishes a store from SQLite files of other programs."""

PAGE_SIZE = 16384
"""The size of a page in bytes. Measured with bodies of 1.5 to 5 kB: with pages of 4 KiB, the file is 1.0 to 1.5 times
as large as all bodies; with 8 KiB, up to 1.65 times; with 16 KiB, 1.06 to 1.23 times. Larger pages save little space,
and make commits slower, because a commit writes whole pages."""

BUSY_TIMEOUT = 1000
"""The milliseconds for which a statement waits for SQLite's lock on the file if another process holds this lock."""

_MAGIC = b"SQLite format 3\x00"
_AUTOCHECKPOINT = 256  # pages (4 MiB), so that a checkpoint inside a commit takes about 3 ms
_AMBIGUOUS = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
}  # errors with many possible causes
_UNCHANGED = "The file is left as it is."

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT})
"""The error codes that mean that the store is damaged. The last two codes mean that another program changed the tables:
with the tables of `schema.sql`, no statement fails with these codes, except an insert of a known uuid, whose error
`Transaction` handles."""


def wal_path(path: Path) -> Path:
    """Return the path of the WAL of the store at `path`."""
    return path.with_name(path.name + "-wal")


def file_bytes(path: Path) -> int:
    """Return the size of the file `path` in bytes; 0 if it does not exist."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def version_of(steps: Sequence[str]) -> int:
    """Return the version that a store has after all migration `steps`."""
    return 1 + len(steps)


def open_store(path: Path) -> tuple[sqlite3.Connection, OpenFiles]:
    """Lock, open and migrate the store at `path`; create it if it does not exist.

    Return (a connection that writes, the locked files).

    Raises:
        StoreLockedError: another process has the store open.
        StoreError: the store cannot be opened; see `open_writer` for the kinds of this error.
    """
    with _store_errors(real_path(path)):
        _create_if_missing(real_path(path))
        files = OpenFiles(path)
    with ExitStack() as failed:
        failed.callback(files.close)
        db = open_writer(real_path(path))
        failed.callback(db.close)
        files.opened()
        failed.pop_all()
    return db, files


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise to_store_error(path, error) from error
    except OSError as error:
        raise StoreError(f"the store {path} cannot be opened: {safe_files.cannot_read(error)}") from error


def open_writer(path: Path, steps: Sequence[str] = STEPS) -> sqlite3.Connection:
    """Create the store `path` if it does not exist, migrate it by `steps`, and return a connection that writes.

    The caller must hold the lock of the store.

    Raises:
        StoreFormatError: the file is not a store, is damaged, or has a newer version. The file is not changed.
        StoreFullError: the disk is full.
        StoreError: the file cannot be opened for another reason.
    """
    with _store_errors(path):
        _create_if_missing(path)
        _check(path, version_of(steps))
        db = connect_writer(path)
        try:
            _migrate(db, path, steps)
        except BaseException:
            db.close()
            raise
    return db


def connect_writer(path: Path) -> sqlite3.Connection:
    """Return a connection that writes to the existing store `path`. Raise sqlite3.Error if it cannot be opened.

    This function does not check the file, so the caller must have checked the file before.
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
    """Return a connection that only reads, and never checkpoints. It works with and without a running forwarder.

    `live` is True if this process also writes to the store. The store must have the version `version_of(steps)`.

    Raises:
        StoreFormatError: the file is not a store, is damaged, or has another version.
        StoreError: the store does not exist, or cannot be read.
    """
    newest = version_of(steps)
    try:
        if not path.exists():
            raise StoreError(f"there is no store at {path}; start the forwarder once, or correct store.path")
        if not live:  # in the process that writes, closing the file would drop SQLite's locks (see `OpenFiles`)
            _check_header(path, newest)
        db = _connect_reader(path, live=live)
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise to_store_error(path, error) from error
    except OSError as error:
        denied = safe_files.rights_hint(path) or "run this command as the user that runs the forwarder"
        reason = safe_files.cannot_read(error, denied)
        raise StoreError(f"the store {path} cannot be read: {reason}") from error
    if version != newest:
        db.close()
        raise _wrong_version(path, version, newest)
    return db


def to_store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Return a StoreError that explains `error`, which SQLite raised for the store at `path`."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # If SQLite cannot create or enlarge its WAL or `-shm` file because the disk is full, it reports only an I/O error.
    if code == sqlite3.SQLITE_FULL or (code in _AMBIGUOUS and safe_files.is_full(path.parent)):
        return StoreFullError(f"the disk of the store {path} is full ({error}); free some space")
    if code in _DAMAGE:
        return StoreFormatError(
            f"the store {path} is damaged ({error}); restore it from a backup, or move it away. {_UNCHANGED}"
        )
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    reason = None
    if code in _AMBIGUOUS:
        reason = folder_among_files(path) or safe_files.why_no_write(path, wal_path(path))
    elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        reason = safe_files.why_locked(path, path.with_name(f"{path.name}-shm"))
    needed = ((path.parent, os.X_OK), (path, os.R_OK), (wal_path(path), os.R_OK))
    closed = [file for file, right in needed if os.path.lexists(file) and not os.access(file, right)]
    hint = (safe_files.rights_hint(closed[0]) if closed else "") or reason or "check the disk and the permissions"
    return StoreError(f"the store {path} cannot be used: {error} ({name}); {hint}")


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def _connect_reader(path: Path, *, live: bool = False) -> sqlite3.Connection:
    db = _connect(_uri(path, "ro"))
    try:
        db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        # A store that was closed in the normal way has no WAL. To read such a store, SQLite creates an empty WAL, but
        # this user may not be allowed to create files. No process writes to a store without a WAL, so it is safe to
        # read the file as immutable.
        if live or wal_path(path).exists():
            raise
        db = _connect(_uri(path, "ro") + "&immutable=1")
    except BaseException:
        db.close()
        raise
    db.execute("PRAGMA cache_size = -2000")
    return db


# Without these two adapters, sqlite3 looks for a method `__conform__` of each bytes object and each None that it binds.
# This takes a tenth of the time of an append.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), lambda none: none)


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT / 1000)


def _schema() -> str:
    return resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")


def _create_if_missing(path: Path) -> None:
    """Create an empty store if the file `path` does not exist.

    The store is written to another file, which is then renamed. So a crash never leaves an incomplete store at `path`.
    """
    if path.exists():
        return
    if file_bytes(wal_path(path)):
        raise StoreFormatError(
            f"the store {path} is missing, but {path}-wal holds events of it; put the store back, or, to start "
            f"with an empty store, move {path}-wal away"
        )
    new = path.with_name(path.name + ".new")
    for leftover in (new, wal_path(new), new.with_name(new.name + "-journal")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # only our user may read events
    with closing(_connect(_uri(new, "rw"))) as db:
        db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.executescript(f"BEGIN; {_schema()} PRAGMA user_version = {version_of(STEPS)}; COMMIT;")
        db.execute("PRAGMA journal_mode = wal")
    new.rename(path)
    safe_files.sync_directory(path.parent)


def _check(path: Path, newest: int) -> None:
    _check_header(path, newest)
    with closing(_connect_reader(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > newest:  # a newer forwarder may have written its version only to the WAL so far
            raise _wrong_version(path, version, newest)
        try:
            _check_content(db, path, version)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
                raise
            raise StoreFormatError(f"the store {path} is damaged: {error}. {_UNCHANGED}") from error


def check_path(path: Path) -> None:
    """See `store.interface.check_path`."""
    folder = real_path(path).parent
    if not folder.is_dir():
        raise StoreError(safe_files.no_folder(folder))
    if not safe_files.can_create_in(folder):
        raise StoreError(safe_files.cannot_write(folder))
    if os.path.lexists(path):
        _check_header(path, version_of(STEPS))
    if folder_there := folder_among_files(path):
        raise StoreError(folder_there)
    check_lock_file(path)
    check_rights(path)


def _check_header(path: Path, newest: int) -> None:
    """Check the header of the file, which is its first 100 bytes. Raise StoreFormatError if the file is not a store, or
    has a version newer than `newest`.

    This does not use SQLite, because SQLite could create files beside the file of another program.
    """
    if not path.is_file():  # opening a pipe would block until another program opens its other end
        raise StoreFormatError(f"{path} is not a regular file; correct store.path")
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(_MAGIC):
        what = "is empty" if not header else "is not a store of the forwarder"
        raise StoreFormatError(f"{path} {what}; move it away, or correct store.path. {_UNCHANGED}")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreFormatError(f"{path} is an SQLite file of another program; correct store.path. {_UNCHANGED}")
    version = int.from_bytes(header[60:64], "big")
    if version > newest:
        raise _wrong_version(path, version, newest)


def _check_content(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Read a row of each main table, and check that the other tables exist.

    A check of all rows would delay the start of the forwarder for minutes.

    Raises:
        StoreFormatError: the newest event and the counter of events contradict each other, so the store is damaged.
        sqlite3.Error: a row cannot be read, or a table does not exist.
    """
    counters = db.execute("SELECT stored FROM counters WHERE id = 1").fetchone()
    last = db.execute("SELECT MAX(seq) FROM events").fetchone()[0]
    db.execute("SELECT MIN(seq) FROM events").fetchone()
    db.execute("SELECT COUNT(*) FROM positions, orgs").fetchone()
    db.execute("SELECT MAX(id) FROM dead_letters").fetchone()
    db.execute("SELECT uuid FROM known LIMIT 1").fetchone()
    if version > 1:
        db.execute("SELECT uuid FROM awaited LIMIT 1").fetchone()
    if version == version_of(STEPS):
        for table in re.findall(r"^CREATE TABLE (\w+)", _schema(), re.MULTILINE):
            db.execute(f"SELECT 1 FROM {table} LIMIT 0")  # noqa: S608 - a constant
    if counters is None or (last is not None and last > counters[0]):
        raise StoreFormatError(
            f"the store {path} is damaged: its newest event has the number {last}, but the store counted only "
            f"{counters and counters[0]}; restore it from a backup. {_UNCHANGED}"
        )


def _wrong_version(path: Path, version: int, newest: int) -> StoreVersionError:
    return StoreVersionError(
        f"the store {path} has version {version}, this forwarder needs {newest}",
        "run the newer forwarder that wrote it, or give this one a store.path of its own"
        if version > newest
        else "start the forwarder once to migrate it",
    )


def _migrate(db: sqlite3.Connection, path: Path, steps: Sequence[str]) -> None:
    before = version = db.execute("PRAGMA user_version").fetchone()[0]
    while version <= len(steps):
        try:
            db.executescript(f"BEGIN IMMEDIATE; {steps[version - 1]}; PRAGMA user_version = {version + 1}; COMMIT;")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            cause = to_store_error(path, error)
            raise type(cause)(
                f"the store stays at version {version} of its schema, because its migration failed: {cause}"
            ) from error
        version += 1
    if version != before:
        # This writes the new version to the header of the file, so that an older forwarder refuses to open the file.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
