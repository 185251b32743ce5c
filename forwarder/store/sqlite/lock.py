"""Ensures that one process at a time writes to a store: a lock on a file beside it, which the kernel releases."""

import fcntl
import os
import time
from pathlib import Path

from forwarder.core.errors import StoreError, StoreLockedError

_POLL_INTERVAL = 0.02  # seconds


class FileLock:
    """Holds `<store>.lock` until `release`, or until the process ends."""

    def __init__(self, store: Path, *, timeout: float = 0) -> None:
        """Lock the store, whether or not it exists.

        Args:
            store: its path.
            timeout: seconds to wait for another process.

        Raises:
            StoreLockedError: another process holds it; names its pid.
            StoreError: the directory is missing or not writable.
        """
        path = store.with_name(store.name + ".lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(
                f"the store {store} cannot be used: {path} cannot be written ({error.strerror}); "
                f"create the directory {store.parent} and let this user write to it"
            ) from error
        until = time.monotonic() + timeout
        while not self._try_lock():
            if time.monotonic() < until:
                time.sleep(_POLL_INTERVAL)
                continue
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise StoreLockedError(
                f"the store {store} is in use by the process with pid {holder}; "
                "stop it first, or give this forwarder a store.path of its own"
            )
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Release the lock. The file stays: without it, two processes could lock two files of the same name."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
