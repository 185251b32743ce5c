"""The lock file beside a store. Only the process that has locked this file may write to the store."""

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from forwarder.core.errors import StoreError, StoreFullError, StoreLockedError
from forwarder.safe_files import WRITE_HINTS, cannot_write, give_to_owner, lock_file, no_folder
from forwarder.store.settings import lock_path, real_path

_POLL_INTERVAL = 0.02  # seconds


def check_lock_file(store: Path) -> None:
    """Raise StoreError if the lock file of `store` exists, but is a link or not a regular file."""
    path = lock_path(store)
    with suppress(FileNotFoundError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise _store_error(OSError(errno.EMLINK, ""), store, path)


def check_rights(store: Path) -> None:
    """Raise StoreError if this user may not read and write the files of `store`.

    They may belong to root, if root started the forwarder.
    """
    for suffix in ("", "-wal", "-shm", ".lock"):
        file = Path(f"{real_path(store)}{suffix}")
        try:
            is_allowed = not file.exists() or os.access(file, os.R_OK | os.W_OK)
        except PermissionError:  # this user may not look into the folder
            is_allowed = False
        if not is_allowed:
            raise StoreError(cannot_write(file))


class FileLock:
    """The lock on the file `<store>.lock`. It is held until `release` is called, or until the process ends."""

    def __init__(self, store: Path, *, timeout: float = 0) -> None:
        """Lock `store`, which need not exist yet. If another process holds the lock, wait up to `timeout` seconds.

        Raises:
            StoreLockedError: another process still holds the lock. The message contains its pid.
            StoreError: the directory is missing, this user may not write to it or to a file of the store, or the file is
                not a lock file of the forwarder.
            StoreFullError: the disk is full.
        """
        check_rights(store)
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
            # If root starts the forwarder, the lock file gets the same owner as the store, so that this owner can lock
            # it later. If the store does not exist yet, root becomes the owner of both.
            with suppress(FileNotFoundError):
                give_to_owner(descriptor, store)
            self._write_pid(path)
        except OSError as error:
            self.release()
            raise _store_error(error, store, path) from error
        except StoreError:
            self.release()
            raise

    def _write_pid(self, path: Path) -> None:
        # After a power cut, the file may contain zero bytes, because its content is not fsynced.
        content = os.pread(self._descriptor, 32, 0).replace(b"\0", b"").strip()
        if content and not content.isdigit():
            raise StoreError(f"{path} is not a lock file of the forwarder; move it away, or correct store.path")
        pid = f"{os.getpid()}\n".encode()
        # The old content is overwritten first and truncated after that, because this also works on a full disk.
        os.pwrite(self._descriptor, pid, 0)
        os.ftruncate(self._descriptor, len(pid))

    def release(self) -> None:
        """Release the lock. The lock file is not removed. If it were removed, two processes could each lock a different
        file with this name."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _store_error(error: OSError, store: Path, path: Path) -> StoreError:
    """Return a StoreError which says that `error` prevents the use of the lock file `path` of `store`."""
    if error.errno == errno.EMLINK:
        return StoreError(f"the lock file {path} is a link to another file, or not a file; remove it")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFullError(f"the disk of the store {store} (store.path) is full; free some space")
    if not path.parent.is_dir():
        return StoreError(f"the store {store} cannot be used: {no_folder(path.parent)}")
    if isinstance(error, PermissionError):
        return StoreError(f"the store {store} cannot be used: {cannot_write(path.parent)}")
    hint = WRITE_HINTS.get(error.errno or 0, "let this user write to it")
    return StoreError(f"the store {store} cannot be used: {path} cannot be written ({error.strerror}); {hint}")
