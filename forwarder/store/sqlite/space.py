"""Computes how much of `store.max_size` events may take, and builds the error when an append does not fit."""

import math

from forwarder.core.errors import StoreFullError, StoreTooSmallError

_PAGE_OVERHEAD = 1.25
"""The number of bytes on disk for each byte to store. It is more than 1, because a page is never quite full."""

_WAL_BYTES = 8 * 1024 * 1024
"""The most bytes of `max_size` that are reserved for the WAL. If an eighth of the bytes above `_TINY` is less, only this eighth
is reserved."""

_TINY = 4 * 1024 * 1024

_ACTION_BYTES = 8 * 1024 * 1024
"""The most bytes of `max_size` that are reserved for changes of stored actions. If a sixteenth of `max_size` is less, only this
sixteenth is reserved."""

_MOST = 0.5
"""The largest part of `room` that one batch may need. It is not 1, because uuids and dead letters take space too."""

_MIB = 1024 * 1024


def on_disk(size: int) -> int:
    """Return the number of bytes on disk that are needed to store `size` bytes."""
    return int(size * _PAGE_OVERHEAD)


def reserve(max_size: int) -> int:
    """Return the number of bytes of `max_size`, the limit of the store, that are reserved for changes of stored actions."""
    return min(_ACTION_BYTES, max_size // 16)


def room(max_size: int) -> int:
    """Return the number of bytes of `max_size` that are not reserved."""
    return max_size - min(_WAL_BYTES, max(0, max_size - _TINY) // 8) - reserve(max_size)


def full_error(need: int, max_size: int) -> StoreFullError:
    """Return the error to raise for a batch that needs `need` bytes on disk, and does not fit into the store."""
    if need <= _MOST * room(max_size):
        return StoreFullError(
            f"the store is full: sinks wait for {max_size} bytes of events (store.max_size); "
            "repair the sinks, or raise max_size"
        )
    least = math.ceil(need / _MIB)
    while need > _MOST * room(least * _MIB):
        least += 1
    return StoreTooSmallError(
        f"{need} bytes that must be stored at once do not fit into the store of {max_size} bytes; "
        f"raise store.max_size to at least {least}MiB"
    )
