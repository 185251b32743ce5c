"""Appends batches of lines to a file, each batch as a whole, and fsyncs the file.

The methods block, so the sink calls them in a thread.

Invariants:

- When `append` returns, the lines are on the disk: the file is fsynced, and its directory is fsynced if the file is new.
- When `append` raises an exception, none of the lines stay in the file. The file is truncated at once to its length
  before the batch. If the truncation fails, it is done before the next line is written.
- If a crash left a partial last line, this line is removed before anything is written after it.
- If the last complete line of a file is not a line of a sink, nothing is removed from the file or added to it.
- No file is ever overwritten, and only one sink writes to a file. The sink locks `<path>.lock` until the sink is
  closed. The sink also locks the open file, because another sink may use the file under another name.
- Before each batch, `append` checks that the open files are still the files at `path` and `<path>.lock`. If the open
  file was moved, removed or replaced, `append` closes it, even if it has a partial write. Then `append` opens the file
  that is now at `path`.
"""

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path

from forwarder import logs
from forwarder.core.errors import SinkError
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, Micros, to_datetime
from forwarder.safe_files import lock_file, sync_directory
from forwarder.sinks.file.content import end_of_last_line, written_by_sink
from forwarder.sinks.file.paths import lock_path, rotated_path
from forwarder.sinks.file.settings import FileSinkSettings

_logger = logs.get("sinks")

_FILE_MODE = 0o640
_DIRECTORY_MODE = 0o750

_WRITTEN_BY_OTHERS = (
    "no file sink wrote this file, so it is not changed; set another `path`, or move the file to another place"
)


class LineFile:
    """The file at `settings.path`, and its rotated files in the same directory.

    If `settings.path` is a link, the file is the link's target, and the rotated files are in the directory of the
    target.
    """

    def __init__(self, settings: FileSinkSettings, clock: Clock) -> None:
        """Create only the object. The disk is not used before `lock`, `open` or `append` is called."""
        self._settings = settings
        self._path = settings.path
        self._clock = clock
        self._lock: int | None = None
        self._file: int | None = None
        self._length = 0
        self._written_at: Micros = 0
        self._partial_write = False  # whether the file may have part of a failed batch after `_length`

    def lock(self) -> None:
        """Lock `<path>.lock` until `close` is called, so that no other process writes the file. Do nothing if this
        object has the lock already.

        Raises:
            SinkError: another process has the lock.
            OSError: the directory or the lock file cannot be created.
        """
        self._path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        path = lock_path(self._path)
        if self._lock is not None and _is_at(path, self._lock):
            return
        lock = lock_file(path, _FILE_MODE)
        if lock is None:
            raise SinkError(
                f"another process writes to {self._path} (it has locked {path}); give each forwarder its own path"
            )
        self._lock, old = lock, self._lock
        _close(old)

    def open(self) -> None:
        """Lock and open the file, and remove a partial last line. Do nothing if the file is already open.

        Raises:
            SinkError: another sink writes to this file, the file is not a regular file, or no sink wrote its content.
            OSError: the file cannot be opened.
        """
        if self._file is not None and not _is_at(self._path, self._file):
            self._close_moved_file()  # another program, such as logrotate, has moved or removed the file
        self.lock()
        if self._file is not None:
            return
        self._require_regular_file()
        folder = self._settings.real_path.parent
        folder.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, _FILE_MODE)
        try:
            self._lock_open_file()
            self._truncate_partial_line()
            sync_directory(folder)
        except (OSError, SinkError):
            self._close_file()  # so that the next call of `open` repeats all steps
            raise

    def _lock_open_file(self) -> None:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SinkError(
                "another sink writes to this file under another name; give each sink its own file"
            ) from None

    def _require_regular_file(self) -> None:
        """Raise SinkError if the file at `path` is not a regular file, because a pipe or a device cannot keep lines."""
        if self._path.exists() and not self._path.is_file():
            raise SinkError(
                "the file of the sink is not a regular file; move it to another place, or set another `path`"
            )

    def _close_moved_file(self) -> None:
        """Close the open file, which is no longer at `path`. If a failed batch has left a part of its lines in the
        file, first remove this part. If the removal fails, log a warning."""
        if self._partial_write:
            try:
                self._truncate_partial_write()
            except OSError as error:
                _logger.warning(
                    "a write failed, and then the file was moved or removed; the last line of the old file may be "
                    "incomplete; the sink writes the events of the failed write again, to the new file",
                    action="file_let_go",
                    path=str(self._path),
                    error=str(error),
                )
        self._close_file()

    def append(self, lines: bytes) -> None:
        """Append `lines`, each of which ends in a line break, and sync the file.

        Raises:
            SinkError: another sink writes to this file, the file is not a regular file, or no sink wrote its content.
            OSError: the lines could not be written. None of the lines stay in the file.
        """
        self.open()
        assert self._file is not None
        if self._partial_write:
            self._truncate_partial_write()
        elif os.fstat(self._file).st_size != self._length:  # another program truncated or extended the file
            self._truncate_partial_line()
        if self._rotation_is_due(len(lines)):
            self._rotate()
            self.open()
        self._partial_write = True
        try:
            _write(self._file, lines, self._length)
            os.fsync(self._file)
        except OSError:
            self._truncate_partial_write()
            raise
        self._partial_write = False
        self._length += len(lines)
        self._written_at = self._clock.now()

    def close(self) -> None:
        """Close the file and unlock `<path>.lock`. A second call does nothing."""
        self._close_file()
        self._lock, lock = None, self._lock
        _close(lock)

    def _close_file(self) -> None:
        self._file, file = None, self._file
        self._partial_write = False
        _close(file)

    def _truncate_partial_line(self) -> None:
        """Set `_length` and `_written_at` from the file. If the last line of the file has no line break, remove the
        line, because a crash left an incomplete line.

        Raises:
            SinkError: no sink wrote the content of the file.
        """
        assert self._file is not None
        status = os.fstat(self._file)
        length = end_of_last_line(self._file, status.st_size)
        if not written_by_sink(self._file, length, status.st_size):
            raise SinkError(_WRITTEN_BY_OTHERS)
        self._length = length
        self._written_at = status.st_mtime_ns // 1000
        if self._length < status.st_size:
            os.ftruncate(self._file, self._length)
            os.fsync(self._file)
            _logger.warning(
                "a crash or a full disk left a partial last line; the line was removed, and its event is written again",
                action="file_truncated",
                path=str(self._path),
                bytes=status.st_size - self._length,
            )

    def _truncate_partial_write(self) -> None:
        """Remove the lines of a failed batch from the file. If the removal fails, the next `append` tries again.

        Raises:
            OSError: the file could not be truncated.
        """
        assert self._file is not None
        os.ftruncate(self._file, self._length)
        self._partial_write = False

    # Rotation

    def _rotation_is_due(self, size: int) -> bool:
        """Return whether the file must be rotated before a batch of `size` bytes is written. A batch is never split
        between two files."""
        if not self._length:
            return False
        period = max(1, int(self._settings.rotate_age * SECOND))  # periods of a day begin at midnight UTC
        return (
            self._length + size > self._settings.rotate_bytes
            or self._clock.now() // period != self._written_at // period
        )

    def _rotate(self) -> None:
        assert self._file is not None
        stamp = to_datetime(self._clock.now()).strftime("%Y%m%dT%H%M%SZ")
        # The new number is higher than the numbers of all existing files of this second, even if a lower number is
        # free. So the order of the names is the order in which the files were rotated.
        path = self._settings.real_path
        number = max((number for at, number, _ in _rotated(path) if at == stamp), default=0) + 1
        path.rename(rotated_path(path, stamp, number))
        self._close_file()
        self._remove_oldest(path, stamp)

    def _remove_oldest(self, current: Path, newest: str) -> None:
        """Remove the oldest rotated files of `current`, so that `max_files` rotated files are left. `newest` is the
        time in the name of the file that was rotated last.

        If the time in the name of a file is later than `newest`, the file was rotated before the clock was set back. A
        file with such a name counts as older than all other files.
        """
        if self._settings.max_files is None:
            return
        try:
            rotated = sorted(_rotated(current), key=lambda file: (file[0] <= newest, file))
            for _, _, path in rotated[: max(0, len(rotated) - self._settings.max_files)]:
                path.unlink()
        except OSError as error:  # only logged, because writing the new lines matters more
            _logger.warning("an old rotated file could not be removed", action="file_removal_failed", error=str(error))


def _rotated(path: Path) -> list[tuple[str, int, Path]]:
    """Return the rotated files of `path`, in the order of their names. For each file, return the time in its name, its
    number among the files with this time in their names, and its path."""
    name = re.compile(re.escape(path.stem) + r"-(\d{8}T\d{6}Z)(?:-(\d+))?" + re.escape(path.suffix))
    found = ((name.fullmatch(file.name), file) for file in path.parent.iterdir())
    return sorted((match[1], int(match[2] or 1), file) for match, file in found if match)


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether the open file `descriptor` is the file at `path`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _close(descriptor: int | None) -> None:
    """Close `descriptor` unless it is None. Ignore errors, because the data is fsynced already."""
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)


def _write(file: int, lines: bytes, at: int) -> None:
    view = memoryview(lines)
    while view:
        written = os.pwrite(file, view, at)
        at += written
        view = view[written:]
