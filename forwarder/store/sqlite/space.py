"""How much of `store.max_size` events may take, and what is said when they do not fit."""

import math

from forwarder.core.errors import StoreFullError, StoreTooSmallError

_PAGE_OVERHEAD = 1.25
"""Bytes on disk per byte to store: a page is never quite full."""

_WAL_BYTES = 8 * 1024 * 1024
"""Bytes of `max_size` that are reserved for the WAL, but at most an eighth of the bytes above `_TINY`."""

_TINY = 4 * 1024 * 1024

_ACTION_BYTES = 8 * 1024 * 1024
"""Bytes of `max_size` that are reserved for changes of earlier actions, but at most a sixteenth of it."""

_MOST = 0.5
"""The share of the room that one batch may need at most: uuids and dead letters take room too."""

_MIB = 1024 * 1024


def on_disk(size: int) -> int:
    """Return how many bytes on disk `size` bytes to store take."""
    return int(size * _PAGE_OVERHEAD)


def reserve(max_size: int) -> int:
    """Return how many bytes of `max_size`, the limit of the store, are kept free for updates of stored actions."""
    return min(_ACTION_BYTES, max_size // 16)


def room(max_size: int) -> int:
    """Return the bytes of `max_size` that are not reserved."""
    return max_size - min(_WAL_BYTES, max(0, max_size - _TINY) // 8) - reserve(max_size)


def full_error(need: int, max_size: int) -> StoreFullError:
    """Return the error of a batch that needs `need` bytes on disk and does not fit."""
    if need <= _MOST * room(max_size):
        return StoreFullError(
            f"the store is full: sinks wait for {max_size} bytes of events (store.max_size); "
            "repair the sinks, or raise max_size"
        )
    least = math.ceil(need / _MIB)
    while need > _MOST * room(least * _MIB):
        least += 1
    return StoreTooSmallError(
        f"{need} bytes that belong together do not fit into the store of {max_size} bytes; "
        f"raise store.max_size to at least {least}MiB"
    )
