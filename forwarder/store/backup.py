"""A backup of the store: the request, its progress and its result."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import msgspec

from forwarder.control_socket.messages import ControlRequest
from forwarder.core.errors import StoreError
from forwarder.safe_files import cannot_write, no_folder
from forwarder.store.settings import is_store_file


class BackupProgress(msgspec.Struct, frozen=True):
    """The progress of a running backup: the bytes copied so far, and the bytes to copy in total."""

    copied: int
    total: int


class Backup(msgspec.Struct, frozen=True):
    """A finished backup.

    Attributes:
        file: the path of the backup file.
        bytes: the size of the backup file in bytes.
        stored: the number of events ever stored until the moment whose state the backup contains.
        events: the number of events whose bodies are in the backup.
        waiting: the number of events that wait for each sink, by the name of the sink.
        imbalances: one text for each sink whose counts do not add up (`Ledger.imbalances`); empty if all counts add up.
            An imbalance of the backup is also an imbalance of the store, because the backup is an exact copy.
    """

    file: str
    bytes: int
    stored: int
    events: int
    waiting: dict[str, int]
    imbalances: list[str]


class BackupRequest(ControlRequest, frozen=True, tag="backup"):
    """A request to the running forwarder to back up its store.

    Attributes:
        target: the absolute path of the file to write, which must not exist.
    """

    returns: ClassVar[type] = Backup
    reports: ClassVar[type] = BackupProgress

    target: str


OnProgress = Callable[[BackupProgress], None]


def check_target(store: Path, target: Path) -> None:
    """Check that `target` can be the file of a new backup of `store`. Write nothing.

    Raises:
        StoreError: `target` exists, is a file of the store itself, or is in a folder that does not exist or is closed to
            this user.
    """
    for written in (target, part_path(target)):
        if is_store_file(store, written):
            raise StoreError(f"{written} is a file of the store itself; name another file")
    try:
        if target.is_symlink() or target.exists():
            raise StoreError(f"{target} exists, and a backup never overwrites a file; name another file")
        if not target.parent.is_dir():
            raise StoreError(no_folder(target.parent))
    except PermissionError:  # this user may not look into the folder
        raise StoreError(cannot_write(target)) from None


def part_path(target: Path) -> Path:
    """Return the path of the unfinished backup file, which is renamed to `target` when the backup is complete."""
    return Path(f"{target}.part")  # `with_name` would refuse an empty name
