"""Ensures that only one process writes to a store, by a lock on a file beside it."""

import errno
import os
import time
from pathlib import Path

from forwarder.core.errors import StoreError, StoreLockedError
from forwarder.files import lock_file
from forwarder.store.settings import lock_path

_POLL_INTERVAL = 0.02  # seconds


class FileLock:
    """Holds `<store>.lock` until `release`, or until the process ends."""

    def __init__(self, store: Path, *, timeout: float = 0) -> None:
        """Lock `store`, whether or not it exists; wait up to `timeout` seconds if another process holds the lock.

        Raises:
            StoreLockedError: another process holds the lock; the message has its pid.
            StoreError: the directory is missing or not writable, or the lock file is not ours.
        """
        path = lock_path(store)
        until = time.monotonic() + timeout
        try:
            while (descriptor := lock_file(path)) is None:
                if time.monotonic() >= until:
                    pid = path.read_text(errors="replace").strip() or "unknown"
                    raise StoreLockedError(
                        f"the store {store} is in use by the process with pid {pid}; "
                        "stop it first, or give this forwarder a store.path of its own"
                    )
                time.sleep(_POLL_INTERVAL)
        except OSError as error:
            if error.errno == errno.EMLINK:
                raise StoreError(
                    f"the lock file {path} is a link to another file, or not a file; remove it"
                ) from error
            raise StoreError(
                f"the store {store} cannot be used: {path} cannot be written ({error.strerror}); "
                f"create the directory {store.parent} and let this user write to it"
            ) from error
        self._descriptor = descriptor
        content = os.pread(descriptor, 32, 0)
        if content.strip() and not content.strip().isdigit():
            self.release()
            raise StoreError(
                f"{path} is not a lock file of the forwarder; move it away, or correct store.path"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock. Keep the lock file: else two processes could lock two files of the same name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
