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
    """The progress of a running backup: the number of bytes copied so far, and the number to copy in total."""

    copied: int
    total: int


class Backup(msgspec.Struct, frozen=True):
    """A finished backup.

    Attributes:
        file: the path of the backup.
        bytes: the size of the file.
        stored: the number of events that were ever stored, up to the moment of the backup.
        events: the number of events whose bodies the backup holds.
        waiting: for each sink, by its name, the number of events that still wait for the sink.
        imbalances: the `Ledger.imbalances` of the backup. The store has the same imbalances, because the backup is
            an exact copy.
    """

    file: str
    bytes: int
    stored: int
    events: int
    waiting: dict[str, int]
    imbalances: list[str]


OnProgress = Callable[[BackupProgress], None]


def check_target(store: Path, target: Path) -> None:
    """Raise StoreError if no backup of `store` can be written to the new file `target`. Writes nothing.

    That is so if `target` exists, is a file of the store itself, or is in a folder that does not exist.
    """
    for written in (target, part_path(target)):
        if is_store_file(store, written):
            raise StoreError(f"{written} is a file of the store itself; name another file")
    if target.is_symlink() or target.exists():
        raise StoreError(f"{target} exists, and a backup never overwrites a file; name another file")
    if not target.parent.is_dir():
        raise StoreError(f"there is no folder {target.parent}; create it")


def part_path(target: Path) -> Path:
    """Return the path of the file to which the backup is written; when it is complete, it is renamed to `target`."""
    return Path(f"{target}.part")  # `with_name` would refuse an empty name
