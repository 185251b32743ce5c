"""A backup of the store: the request, its progress and its result."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from forwarder.control_socket import ControlRequest
from forwarder.core.errors import StoreError
from forwarder.store.settings import is_store_file


class BackupRequest(ControlRequest, frozen=True, tag="backup"):
    """Asks the running forwarder for a backup of its store.

    Attributes:
        target: the file to write, as an absolute path; it must not exist.
    """

    target: str


class BackupProgress(msgspec.Struct, frozen=True):
    """How far a backup has come: `copied` of `total` bytes."""

    copied: int
    total: int


class Backup(msgspec.Struct, frozen=True):
    """A finished backup.

    Attributes:
        file: the path of the backup.
        bytes: the size of the file.
        stored: events that the store had ever stored when the backup was made.
        events: events whose bodies the backup holds.
        waiting: by sink, how many events wait for it.
        imbalances: as `Ledger.imbalances`; the store has the same, because the backup is an exact copy.
    """

    file: str
    bytes: int
    stored: int
    events: int
    waiting: dict[str, int]
    imbalances: list[str]


OnProgress = Callable[[BackupProgress], None]


def check_target(store: Path, target: Path) -> None:
    """Raise StoreError if `target` exists, is a file of `store` itself, or has no folder. Writes nothing."""
    for written in (target, part_path(target)):
        if is_store_file(store, written):
            raise StoreError(f"{written} is a file of the store itself; name another file")
    if target.is_symlink() or target.exists():
        raise StoreError(f"{target} exists, and a backup overwrites nothing; name another file")
    if not target.parent.is_dir():
        raise StoreError(f"there is no folder {target.parent}; create it")


def part_path(target: Path) -> Path:
    """Return the file that holds the backup to `target` until it is complete."""
    return Path(f"{target}.part")  # `with_name` would refuse an empty name
