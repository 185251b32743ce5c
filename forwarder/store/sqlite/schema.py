"""Creates, checks and migrates the store's file.

A file that is not ours, or has a newer version, is left as it is, byte for byte: the checks only read, and
come before any write.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from forwarder.core.errors import StoreError, StoreFormatError, StoreFullError
from forwarder.safe_files import can_create_in, cannot_write, is_full, sync_directory
from forwarder.store.settings import real_path, store_files
from forwarder.store.sqlite.lock import check_lock_file
from forwarder.store.sqlite.migrations import STEPS
from forwarder.store.sqlite.open_files import OpenFiles

APPLICATION_ID = 0x4F6B4677
"""`OkFw`, in the file's header: distinguishes our files from SQLite files of other programs."""

PAGE_SIZE = 16384
"""Measured with bodies of 1.5 to 5 kB: pages of 4 KiB take 1.0 to 1.5 times the bytes of the bodies, pages of
8 KiB up to 1.65 times, these 1.06 to 1.23 times. Larger pages save little and slow a commit, which writes
whole pages."""

BUSY_TIMEOUT = 1000
"""Milliseconds to wait for another process: for a reader that starts, or for a command."""

_MAGIC = b"SQLite format 3\x00"
_AUTOCHECKPOINT = 256  # pages, so 4 MiB: keeps the checkpoint inside a commit at about 3 ms
_MAYBE_FULL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
_UNCHANGED = "The file is left as it is."

_DAMAGE = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT}
)
"""The last two mean that another program changed the tables: our statements fit those of `schema.sql`."""


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
    """Return the version of a store that all migration `steps` were applied to."""
    return 1 + len(steps)


def open_store(path: Path) -> tuple[sqlite3.Connection, OpenFiles]:
    """Open the store at `path`; return the connection that writes (see `open_writer`), and the locked files.

    Raises:
        StoreLockedError: another process has the store open.
    """
    with _store_errors(real_path(path)):
        _create_if_missing(real_path(path))
        files = OpenFiles(path)
    try:
        db = open_writer(real_path(path))
        try:
            files.opened()
        except BaseException:
            db.close()
            raise
    except BaseException:
        files.close()
        raise
    return db, files


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise to_store_error(path, error) from error
    except OSError as error:
        raise StoreError(f"the store {path} cannot be opened: {error.strerror}") from error


def open_writer(path: Path, steps: Sequence[str] = STEPS) -> sqlite3.Connection:
    """Create the file if it does not exist, migrate it, and return a connection that writes.

    The caller must hold the lock of the store.

    Raises:
        StoreFormatError: the file is not ours, damaged, or of a newer version; it is left as it is.
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
    """Return a connection that writes to an existing, checked file. Raises sqlite3.Error."""
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
    """Return a connection that only reads and never checkpoints, whether or not a forwarder runs.

    Set `live` if this process also writes to the store. The store must have the version `version_of(steps)`.

    Raises:
        StoreFormatError: the file is not ours, damaged, or of another version.
        StoreError: the store does not exist, or cannot be read.
    """
    newest = version_of(steps)
    try:
        if not path.exists():
            raise StoreError(f"there is no store at {path}; start the forwarder once, or correct store.path")
        if not live:  # else closing the file would drop SQLite's locks on it, as `OpenFiles` says
            _check_header(path, newest)
        db = _connect_reader(path, live=live)
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise to_store_error(path, error) from error
    except OSError as error:
        raise StoreError(f"the store {path} cannot be read: {error.strerror}") from error
    if version != newest:
        db.close()
        raise _wrong_version(path, version, newest)
    return db


def to_store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Return the StoreError to raise for `error` of SQLite on the store at `path`."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # When SQLite cannot create or enlarge its WAL or `-shm` file, it does not say that the disk is full.
    if code == sqlite3.SQLITE_FULL or (code in _MAYBE_FULL and is_full(path.parent)):
        return StoreFullError(f"the disk of the store {path} is full ({error}); free some space")
    if code in _DAMAGE:
        return StoreFormatError(
            f"the store {path} is damaged ({error}); restore it from a backup, or move it away. {_UNCHANGED}"
        )
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return StoreError(
        f"the store {path} cannot be used: {error} ({name}); check the disk and the permissions"
    )


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def _connect_reader(path: Path, *, live: bool = False) -> sqlite3.Connection:
    db = _connect(_uri(path, "ro"))
    try:
        db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        # A cleanly closed store has no WAL. To read it, SQLite creates an empty one, which this user may not
        # be allowed to do. No process writes to the store while it has no WAL, so the file can be read as it
        # is.
        if live or wal_path(path).exists():
            raise
        db = _connect(_uri(path, "ro") + "&immutable=1")
    except BaseException:
        db.close()
        raise
    db.execute("PRAGMA cache_size = -2000")
    return db


# Without these two, sqlite3 asks each bytes object and each None that it binds for a method `__conform__`, which none has:
# that takes a tenth of an append.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), lambda none: none)


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT / 1000
    )


def _schema() -> str:
    return resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")


def _create_if_missing(path: Path) -> None:
    """Create an empty store if `path` does not exist.

    It is written under another name and then renamed, so that a crash leaves no incomplete store.
    """
    if path.exists():
        return
    if file_bytes(wal_path(path)):
        raise StoreFormatError(
            f"{path}-wal holds events, but its store {path} is missing; "
            "put the store back, or move the WAL away as well"
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
    sync_directory(path.parent)


def _check(path: Path, newest: int) -> None:
    _check_header(path, newest)
    with closing(_connect_reader(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > newest:  # a newer forwarder's change may still be only in the WAL
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
        raise StoreError(f"there is no folder {folder}; create it, and let the forwarder's user write to it")
    if not can_create_in(folder):
        raise StoreError(cannot_write(folder))
    if os.path.lexists(path):
        _check_header(path, version_of(STEPS))
    for file in sorted(store_files(path) - {real_path(path)}):
        if file.is_dir():
            raise StoreError(
                f"{file} is a folder, and the store needs a file there; remove it, or correct store.path"
            )
    check_lock_file(path)
    for suffix in ("", "-wal", "-shm", ".lock"):  # after a start by root, they may belong to root
        file = Path(f"{real_path(path)}{suffix}")
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            raise StoreError(cannot_write(file))


def _check_header(path: Path, newest: int) -> None:
    """Check the file's first 100 bytes without SQLite, which would create files beside a file that is not ours.

    Raises StoreFormatError if it is not our store, or of a version newer than `newest`.
    """
    if not path.is_file():  # opening a pipe would wait for its other end
        raise StoreFormatError(f"{path} is not a file; correct store.path")
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(_MAGIC):
        what = "is empty" if not header else "is not a store of the forwarder"
        raise StoreFormatError(f"{path} {what}; move it away, or correct store.path. {_UNCHANGED}")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreFormatError(
            f"{path} is an SQLite file of another program; correct store.path. {_UNCHANGED}"
        )
    version = int.from_bytes(header[60:64], "big")
    if version > newest:
        raise _wrong_version(path, version, newest)


def _check_content(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Read a row of the main tables, and look for the others; raise StoreFormatError or sqlite3.Error if that shows damage.

    To check the whole file would delay a restart for minutes.
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
            f"the store {path} is damaged: its newest event is number {last}, but it has counted only "
            f"{counters and counters[0]}; restore it from a backup. {_UNCHANGED}"
        )


def _wrong_version(path: Path, version: int, newest: int) -> StoreFormatError:
    advice = (
        "run the newer forwarder that wrote it, or give this one a store.path of its own"
        if version > newest
        else "start the forwarder once to migrate it"
    )
    return StoreFormatError(
        f"the store {path} has version {version}, this forwarder needs {newest}; {advice}. {_UNCHANGED}"
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
                f"the store {path} stays at version {version} of its schema: the step to {version + 1} failed: {error}"
            ) from error
        version += 1
    if version != before:
        # So that an older forwarder sees the version in the file's header.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
