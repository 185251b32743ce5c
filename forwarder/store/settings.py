"""Settings of the store."""

import os
from pathlib import Path

from pydantic import field_validator

from forwarder.config.types import Duration, NewFileStr, Section, Size
from forwarder.safe_files import identities

_MIN_SIZE = 1024 * 1024

_SUFFIXES = (
    "",
    "-wal",
    "-shm",
    "-journal",
    ".lock",
    ".control",
    ".new",
    ".new-wal",
    ".new-journal",
    ".zones",
    ".zones.lock",
    ".zones.new",
)

_MAX_NAME = 255 - max(map(len, _SUFFIXES))


def real_path(path: Path) -> Path:
    """Return `path` with links resolved: SQLite puts its other files beside the real file, not beside a link."""
    return Path(os.path.realpath(path))


def lock_path(path: Path) -> Path:
    """Return the lock file of the store at `path`: the process that writes to the store locks it."""
    real = real_path(path)
    return real.with_name(real.name + ".lock")


def store_files(path: Path) -> frozenset[Path]:
    """Return the real paths of all files of the store at `path`. No other part of the forwarder may write to them."""
    real = real_path(path)
    return frozenset(Path(f"{real}{suffix}") for suffix in _SUFFIXES)


def is_store_file(path: Path, file: Path) -> bool:
    """Whether `file` is one of the files of the store at `path`, perhaps by a link or another name."""
    return not identities(file).isdisjoint(identities(*store_files(path)))


class StoreSettings(Section):
    """The section `store` of the configuration.

    Attributes:
        path: the file of the store. Beside it are files with the same name and `-wal`, `-shm`, `.lock`,
            `.control` or `.zones` appended.
        max_size: the most that the store may hold. Events that a sink still waits for are never dropped to
            make space; when they alone fill the store, new events are refused (503). A sixteenth of the size,
            at most 8 MiB, is reserved for changes of actions, so that they are undone in time.
        retention: how long an event's body is kept after it was received; longer if a sink still waits for
            the event.
        dedup_window: how long an event's uuid is remembered.
    """

    path: NewFileStr = Path("/var/lib/forwarder/forwarder.db")
    max_size: Size = "10GiB"  # type: ignore[assignment]  # validated from text, as an operator writes it
    retention: Duration = "7d"  # type: ignore[assignment]  # as above
    dedup_window: Duration = "30d"  # type: ignore[assignment]  # as above

    @field_validator("path")
    @classmethod
    def _validate_path(cls, value: Path) -> Path:
        if len(os.fsencode(value.name)) > _MAX_NAME:
            raise ValueError(f"has too long a file name; write one of at most {_MAX_NAME} bytes")
        return value

    @field_validator("max_size")
    @classmethod
    def _validate_max_size(cls, value: int) -> int:
        if value < _MIN_SIZE:
            raise ValueError("must be at least 1MiB")
        return value
