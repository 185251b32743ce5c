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

_MAX_NAME = 80  # bytes; the control socket's name is longer, and the kernel allows 107 with `/proc/self/fd/9999/`


def real_path(path: Path) -> Path:
    """Return `path` with all links resolved. SQLite creates the WAL and the `-shm` file beside the real file, not
    beside a link."""
    return Path(os.path.realpath(path))


def lock_path(path: Path) -> Path:
    """Return the path of the lock file of the store at `path`. The process that writes to the store locks this file."""
    real = real_path(path)
    return real.with_name(real.name + ".lock")


def store_files(path: Path) -> frozenset[Path]:
    """Return the real paths of the store at `path` and of all files that the forwarder writes beside it.

    No other configured file may have one of the returned paths.
    """
    real = real_path(path)
    return frozenset(Path(f"{real}{suffix}") for suffix in _SUFFIXES)


def folder_among_files(path: Path) -> str | None:
    """Return the problem that a folder has the name of a file of the store at `path`; None if there is no such
    folder."""
    folders = [file for file in store_files(path) if os.path.isdir(file)]  # noqa: PTH112  # a method of `file` may raise
    if not folders:
        return None
    return f"{folders[0]} is a folder, and the store needs a file there; remove it, or correct store.path"


def is_store_file(path: Path, file: Path) -> bool:
    """Return whether `file` is a file of the store at `path`, or is a link to a file of the store, or is another name
    of a file of the store."""
    return not identities(file).isdisjoint(identities(*store_files(path)))


class StoreSettings(Section):
    """The section `store` of the configuration.

    Attributes:
        path: the file of the store. Beside it are files with the same name and `-wal`, `-shm`, `.lock`,
            `.control` or `.zones` appended.
        max_size: the largest size of the store. Events that a sink has not finished are never dropped to make
            space. When they alone fill the store, the forwarder refuses new events (HTTP 503). A sixteenth of
            this size, at most 8 MiB, is reserved for changes of the state of actions, so that actions can be
            undone in time even if the store is full.
        retention: how long the store keeps an event's body after the event was received. A body is kept longer
            if a sink has not finished the event.
        dedup_window: how long the store remembers an event's uuid, in order to recognize a later copy.
    """

    path: NewFileStr = Path("/var/lib/forwarder/forwarder.db")
    max_size: Size = "10GiB"  # type: ignore[assignment]  # validated from text, as an operator writes it
    retention: Duration = "7d"  # type: ignore[assignment]  # as above
    dedup_window: Duration = "30d"  # type: ignore[assignment]  # as above

    @field_validator("path")
    @classmethod
    def _validate_path(cls, value: Path) -> Path:
        if value.name.startswith(":memory:"):
            raise ValueError("is not a file, and a store in memory would lose events; write a path on the disk")
        if len(os.fsencode(value.name)) > _MAX_NAME:
            raise ValueError(f"has a file name that is too long; write one of at most {_MAX_NAME} bytes")
        return value

    @field_validator("max_size")
    @classmethod
    def _validate_max_size(cls, value: int) -> int:
        if value < _MIN_SIZE:
            raise ValueError("must be at least 1MiB")
        return value
