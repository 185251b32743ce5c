"""A backup of the store: what is asked for, and what is said about it."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from forwarder.control import Request
from forwarder.core.errors import StoreError
from forwarder.store.settings import is_store_file


class BackupRequest(Request, frozen=True, tag="backup"):
    """Asks the running forwarder for a backup of its store.

    Attributes:
        target: the file to write, as an absolute path; it must not exist.
    """

    target: str


class BackupProgress(msgspec.Struct, frozen=True):
    """How many bytes of how many are copied."""

    copied: int
    total: int


class Backup(msgspec.Struct, frozen=True):
    """A finished backup.

    Attributes:
        file: where it is.
        bytes: its size.
        stored: events ever stored, when it was made.
        events: those of them whose bodies it holds.
        waiting: those of them that each sink waits for.
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
    """Raise StoreError if a backup of `store` cannot be written to `target`, as far as is known before."""
    for written in (target, part_path(target)):
        if is_store_file(store, written):
            raise StoreError(f"{written} is a file of the store itself; name another file")
    if target.is_symlink() or target.exists():
        raise StoreError(f"{target} exists, and a backup overwrites nothing; name another file")
    if not target.parent.is_dir():
        raise StoreError(f"there is no folder {target.parent}; create it")


def part_path(target: Path) -> Path:
    """Return the file that a backup to `target` writes until it is complete."""
    return Path(f"{target}.part")  # an empty name is one too
