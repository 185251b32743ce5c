"""Computes how much of `store.max_size` events may use, and creates the error for an append that does not fit."""

import math
import sqlite3

from forwarder.core.errors import StoreFullError, StoreTooSmallError

_PAGE_OVERHEAD = 1.25
"""The number of bytes on disk for each stored byte. It is more than 1, because pages are not completely full."""

_WAL_BYTES = 8 * 1024 * 1024
"""The most bytes of `max_size` that are reserved for the WAL. If this is more than an eighth of (`max_size` - `_TINY`),
only this eighth is reserved."""

_TINY = 4 * 1024 * 1024  # bytes; a store with at most this `max_size` has no reserve for the WAL

_ACTION_BYTES = 8 * 1024 * 1024
"""The most bytes of `max_size` that are reserved for changes of stored actions. If this is more than a sixteenth of
`max_size`, only this sixteenth is reserved."""

_MAX_BATCH_SHARE = 0.5
"""The largest part of `room` that one batch may take. It is less than 1: uuids and dead letters take space too."""

_MIB = 1024 * 1024

USED = (
    "((SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count)) "
    "* (SELECT page_size FROM pragma_page_size)"
)
"""The SQL expression of `used_bytes`."""


def used_bytes(db: sqlite3.Connection) -> int:
    """Return the number of bytes in used pages. Free pages do not count, because SQLite reuses free pages before the
    file grows."""
    return int(db.execute(f"SELECT {USED}").fetchone()[0])


def on_disk(size: int) -> int:
    """Return the number of bytes on disk that `size` bytes of data take."""
    return int(size * _PAGE_OVERHEAD)


def reserve(max_size: int) -> int:
    """Return how many of the `max_size` bytes of a store are reserved for changes of stored actions."""
    return min(_ACTION_BYTES, max_size // 16)


def room(max_size: int) -> int:
    """Return the number of bytes that events may take: the part of `max_size` that is not reserved."""
    return max_size - min(_WAL_BYTES, max(0, max_size - _TINY) // 8) - reserve(max_size)


def full_error(need: int, max_size: int) -> StoreFullError:
    """Return the error to raise if `need` bytes on disk are needed, but the store has not enough space.

    The error is a StoreTooSmallError if the store would not have enough space even if all sinks had finished all
    events.
    """
    if need <= _MAX_BATCH_SHARE * room(max_size):
        return StoreFullError(
            f"the store is full: {max_size} bytes of events are not yet delivered (limit: store.max_size); repair the "
            "sinks, or raise store.max_size and restart"
        )
    needed_mib = math.ceil(need / _MIB)
    while need > _MAX_BATCH_SHARE * room(needed_mib * _MIB):
        needed_mib += 1
    return StoreTooSmallError(
        f"a batch of events that is stored at once needs {need} bytes, which do not fit into the store of {max_size} "
        f"bytes; raise store.max_size to at least {needed_mib}MiB"
    )
