"""One forwarder on one store: a lock on a file beside it, which the kernel lets go of when the process ends."""

import fcntl
import os
import time
from pathlib import Path

from forwarder.core.errors import StoreError, StoreLockedError

_LOOK = 0.02  # seconds between two tries to take it


class FileLock:
    """Holds `<store>.lock` from its making to `release`."""

    def __init__(self, store: Path, *, patience: float = 0) -> None:
        """Take the lock.

        Args:
            store: what to lock.
            patience: seconds to wait for another process to let go.

        Raises:
            StoreLockedError: another process holds it; names its pid.
            StoreError: the directory is missing or may not be written.
        """
        path = store.with_name(store.name + ".lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(
                f"the store {store} cannot be used: {path} cannot be written ({error.strerror}); "
                f"make the directory {store.parent} and let this user write to it"
            ) from error
        until = time.monotonic() + patience
        while not self._taken():
            if time.monotonic() < until:
                time.sleep(_LOOK)
                continue
            holder = os.read(self._file, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise StoreLockedError(
                f"the store {store} is in use by the process with pid {holder}; "
                "stop it first, or give this forwarder a store.path of its own"
            )
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let go. The file stays: to remove it would let two processes lock two files of one name."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
