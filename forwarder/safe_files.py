"""Reads small files, locks files, finds out what can be written, and calls fsync on folders. All functions block."""

import errno
import fcntl
import os
import pwd
import resource
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from forwarder.system_limits import FEW_FILES, MORE_FILES, free_files

_NO_FILE = "it is a FIFO, a device or a socket"
_LINK = "it is a link to another file, or not a regular file; remove it"
DISK_ERRORS = (errno.EIO, errno.EBADMSG, errno.EUCLEAN)
"""The `errno` values that a broken disk or file system causes."""
CHECK_DISK = "check the disk: the log of the kernel has its errors"
"""The hint after an error with one of `DISK_ERRORS`."""

LARGER_FILES = "raise the largest size of a file (`ulimit -f`; systemd: LimitFSIZE)"
"""The hint if a file has reached the largest size that this process may write."""
WRITE_HINTS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space or inodes on the disk, or raise the quota"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "let the forwarder's user write to that path"),
    errno.EROFS: "mount the file system for writing; after an error of the disk, the kernel makes it read-only",
    errno.EFBIG: LARGER_FILES,
    **dict.fromkeys(DISK_ERRORS, CHECK_DISK),
}
"""The hints after a failed write, by the `errno` of the error."""

_SMALL = 4 << 20
_TINY = 64 << 10


def read_small(path: Path, max_bytes: int = _SMALL) -> bytes:
    """Return the content of the regular file at `path`. The largest allowed size is `max_bytes`, a multiple of 1 MiB.

    Raises:
        OSError: the file cannot be read, is too large, or is a FIFO or a device, whose content may never come or never
            end, or a socket. The field `strerror` says why.
        ValueError: `path` has a character that no path can have.
    """
    # Without O_NONBLOCK, opening a FIFO waits for a writer.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or the terminal of a process that has none
            raise OSError(errno.ENXIO, _NO_FILE) from None
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(max_bytes + 1) if stat.S_ISREG(mode) else None
        if content is None:  # also if a file of the kernel, such as /proc/kmsg, has no content yet
            raise OSError(errno.ENXIO, _NO_FILE)
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes >> 20} MiB")
    return content


def cannot_read(error: OSError, denied: str = "let the forwarder's user read it") -> str:
    """Return why a file cannot be read, and what to do.

    `denied` says what to do if this user has no right to read the file.
    """
    hint = "name a regular file"
    if isinstance(error, FileNotFoundError):
        hint = "create it, or correct the path"
    elif isinstance(error, PermissionError):
        hint = denied
    elif error.errno in DISK_ERRORS:
        hint = CHECK_DISK
    elif error.errno in (errno.EMFILE, errno.ENFILE):
        hint = MORE_FILES
    elif error.errno == errno.EFBIG:
        hint = "name another file"
    elif error.errno == errno.ENXIO:
        hint = "copy its content into a regular file, and name that file"
    return f"{error.strerror}; {hint}"


FileIdentity = Path | tuple[int, int] | tuple[int, int, str]
"""The identity of a file: its real path, its device and inode, or the device and inode of its folder with its name."""


def identities(*paths: Path) -> set[FileIdentity]:
    """Return the identities of the files at `paths`. Two paths to the same file have an identity in common.

    This is also true if one path is a link, or if the file does not exist yet and its folder is mounted in two places.
    """
    found: set[FileIdentity] = set()
    for path in paths:
        real = Path(os.path.realpath(path))
        found.add(real)
        with suppress(OSError):
            folder = real.parent.stat()
            found.add((folder.st_dev, folder.st_ino, real.name))
            status = real.stat()
            found.add((status.st_dev, status.st_ino))
    return found


def lock_file(path: Path, mode: int = 0o600) -> int | None:
    """Create the file `path` if it does not exist, and lock it. The kernel unlocks it when the process ends.

    Never remove the file: two processes could then each lock a different file with the same name.

    Returns:
        A descriptor, which the caller closes to release the lock; None if another process holds the lock.

    Raises:
        OSError: the file cannot be created, opened or locked; or it is a link, which may lead to any file.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.EMLINK, _LINK) from None
        raise
    try:
        _refuse_link(os.fstat(descriptor))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def _refuse_link(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise OSError(errno.EMLINK, _LINK)


def give_to_owner(descriptor: int, of: Path) -> None:
    """Give the open file `descriptor` to the owner of the file `of`, if this process runs as root.

    The forwarder runs as this owner, and must be able to open the file later.

    Raises:
        OSError: `of` does not exist, or the owner cannot be changed.
    """
    if os.geteuid() == 0:
        owner = of.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def lock_owner(path: Path) -> int | None:
    """Return the pid of the process that has locked the file `path` with `lock_file`.

    Return None if the file is not locked, or if /proc/locks does not show the process.
    """
    return next(_lock_owners(path, "FLOCK"), None)


def why_locked(*files: Path) -> str:
    """Return which other process holds a lock of SQLite on one of `files`, and what to do."""
    for pid in (pid for file in files for pid in _lock_owners(file, "POSIX") if pid != os.getpid()):
        with suppress(OSError):  # it has ended since
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
            return f"the process with the pid {pid} ({name}) has locked it; wait until that process ends, or end it"
    return f"another process has locked it; find that process with `fuser -v {files[0]}`, and end it"


def _lock_owners(path: Path, kind: str) -> Iterator[int]:
    """Yield the pid of each process with a lock on the file `path` of the `kind` that /proc/locks shows."""
    try:
        inode = path.stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:  # 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF; a process that waits: 1: -> FLOCK …
        _, found, _, _, pid, file, *_ = line.split()
        if found == kind and file.rpartition(":")[2] == str(inode) and int(pid) > 0:
            yield int(pid)


def file_system_of(path: Path, mounts: str) -> str:
    """Return the type of the file system of `path`, such as `ext4`; empty if the type is not known.

    `mounts` is the text of /proc/mounts.
    """
    best, found = -1, ""
    for line in mounts.splitlines():
        _, folder, kind, *_ = line.split(" ")
        folder = folder.replace("\\040", " ")
        if path.is_relative_to(folder) and len(folder) >= best:
            best, found = len(folder), kind
    return found


def is_full(folder: Path) -> bool:
    """Whether the file system of `folder` is so full that not even a small file fits."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    if not status.f_blocks:
        return False  # a file system without a disk, such as /proc
    has_inodes = status.f_favail > 0 or not status.f_files  # some file systems have no fixed number of inodes
    return status.f_bavail * status.f_frsize < _TINY or not has_inodes


def can_create_in(folder: Path) -> bool:
    """Whether this user can create a file in `folder`.

    The function creates a temporary file, because access rights do not show a read-only file system.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):  # on most file systems, this file has no name
            return True
    except OSError:
        return False


def why_no_write(*files: Path) -> str | None:
    """Return why `files` cannot grow, and what to do; None if no reason is found. All files must be in one folder.

    The function writes a small temporary file to the folder.
    """
    if free_files() < FEW_FILES:
        return MORE_FILES
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    with suppress(OSError):
        for file in files:
            if limit != resource.RLIM_INFINITY and file.stat().st_size + _TINY > limit:
                return f"{file} has reached the largest size that this process may write; {LARGER_FILES}"
    try:
        with tempfile.TemporaryFile(dir=files[0].parent, buffering=0) as probe:
            probe.write(bytes(_TINY))
    except OSError as error:
        hint = WRITE_HINTS.get(error.errno or 0, CHECK_DISK)
        return f"a new file in {files[0].parent} cannot be written: {error.strerror}; {hint}"
    return None


def cannot_write(path: Path) -> str:
    """Return why this user cannot write to the file or folder `path`, and what to do."""
    if is_full(path if os.path.isdir(path) else path.parent):  # noqa: PTH112  # a method of `path` may raise
        return f"the disk of {path} is full; free some space or inodes"
    hint = rights_hint(path) or "let the forwarder's user write to it"
    with suppress(OSError):  # this user may not look into the folder
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            hint = WRITE_HINTS[errno.EROFS]
    return f"this user cannot write to {path}; {hint}"


_SYSTEM_FOLDERS = {
    *("/", "/dev", "/etc", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/usr", "/usr/local"),
    *("/var", "/var/backups", "/var/cache", "/var/lib", "/var/log", "/var/spool"),
}
"""Folders that many programs share, so their owner and mode must not be changed."""


def rights_hint(path: Path) -> str:
    """Return how this user can get the right to read and write `path`: as its owner, or with another owner or mode.

    If this user cannot even see `path`, the hint is about the nearest folder that this user sees. Return an empty text
    if the rights of this user are not the cause.
    """
    for each in (path, *path.absolute().parents):
        with suppress(OSError):
            status = each.stat()
            break
    mode, me = stat.S_IMODE(status.st_mode), os.geteuid()
    wanted = os.R_OK | os.W_OK | (os.X_OK if stat.S_ISDIR(status.st_mode) else 0)
    if me == 0 or os.access(each, wanted, effective_ids=True):
        return ""
    if status.st_uid == me:
        return f"{each} has the mode {mode:03o}; correct it: chmod u+rwX {each}"
    owner, user = _user(status.st_uid), _user(me)
    if str(each) in _SYSTEM_FOLDERS:
        own = each / "forwarder"
        return f"{each} is a folder of the system; use a folder of {user}, such as {own}: install -d -o {user} {own}"
    return (
        f"{each} belongs to the user {owner} and has the mode {mode:03o}; run this as {owner}, or make {user} the owner: "
        f"chown {user} {each}"
    )


def _user(number: int) -> str:
    """Return the name of the user with this id; the id itself if the user has no name."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def no_folder(folder: Path) -> str:
    """Return why `folder` cannot be used as a folder (it is missing, or not a folder), and what to do."""
    nearest = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)
    if nearest.exists() and not nearest.is_dir():
        return f"{nearest} is not a folder; correct the path"
    return f"there is no folder {folder}; create it, and let the forwarder's user write to it"


def sync_directory(directory: Path) -> None:
    """Call fsync on `directory`, so that files created or renamed in it survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
