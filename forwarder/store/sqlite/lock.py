"""Ensures that only one process writes to a store, by a lock on a file beside it."""

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from forwarder.core.errors import StoreError, StoreFullError, StoreLockedError
from forwarder.safe_files import give_to_owner, lock_file
from forwarder.store.settings import lock_path

_POLL_INTERVAL = 0.02  # seconds


def check_lock_file(store: Path) -> None:
    """Raise StoreError if the lock file of `store` is there, and cannot be one."""
    path = lock_path(store)
    with suppress(FileNotFoundError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise _explained(OSError(errno.EMLINK, ""), store, path)


class FileLock:
    """Holds `<store>.lock` until `release`, or until the process ends."""

    def __init__(self, store: Path, *, timeout: float = 0) -> None:
        """Lock `store`, whether or not it exists; wait up to `timeout` seconds if another process holds the lock.

        Raises:
            StoreLockedError: another process holds the lock; the message has its pid.
            StoreError: the directory is missing or not writable, or the lock file is not ours.
            StoreFullError: the disk is full.
        """
        path = lock_path(store)
        until = time.monotonic() + timeout
        self._descriptor = -1
        try:
            while (descriptor := lock_file(path)) is None:
                if time.monotonic() >= until:
                    pid = path.read_text(errors="replace").strip() or "unknown"
                    raise StoreLockedError(
                        f"the store {store} is in use by the process with pid {pid}; "
                        "stop it first, or give this forwarder a store.path of its own"
                    )
                time.sleep(_POLL_INTERVAL)
            self._descriptor = descriptor
            with suppress(FileNotFoundError):  # a new store is root's own, like its lock file
                give_to_owner(descriptor, store)
            self._write_pid(path)
        except OSError as error:
            self.release()
            raise _explained(error, store, path) from error
        except StoreError:
            self.release()
            raise

    def _write_pid(self, path: Path) -> None:
        # After a power cut, the file may have bytes of 0: its content is not fsynced.
        content = os.pread(self._descriptor, 32, 0).replace(b"\0", b"").strip()
        if content and not content.isdigit():
            raise StoreError(
                f"{path} is not a lock file of the forwarder; move it away, or correct store.path"
            )
        pid = f"{os.getpid()}\n".encode()
        os.pwrite(self._descriptor, pid, 0)  # before truncating it: on a full disk, only that needs no room
        os.ftruncate(self._descriptor, len(pid))

    def release(self) -> None:
        """Release the lock. Keep the lock file: else two processes could lock two files of the same name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _explained(error: OSError, store: Path, path: Path) -> StoreError:
    """Return the StoreError for an `error` at the lock file `path`."""
    if error.errno == errno.EMLINK:
        return StoreError(f"the lock file {path} is a link to another file, or not a file; remove it")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFullError(f"the disk of the store {store} (store.path) is full; free some space")
    return StoreError(
        f"the store {store} cannot be used: {path} cannot be written ({error.strerror}); "
        f"create the directory {store.parent} and let this user write to it"
    )
