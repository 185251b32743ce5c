"""A file of lines that is only ever longer by whole, synced batches. Blocking: its sink calls it in a thread.

Invariants:

- When `append` returns, the lines are on the disk (fsync of the file, and of its directory where a name is new).
- When `append` raises, nothing of the batch stays: the file is cut back to its last good length, at the latest before the
  next line is written.
- A line torn by a crash is cut off before anything is written behind it.
- No file is ever overwritten, and only one process writes: it holds a lock on `<path>.lock` as long as it lives.
"""

import fcntl
import os
import re
from pathlib import Path

import msgspec

from forwarder import logs
from forwarder.core.errors import SinkError
from forwarder.core.ports import Clock
from forwarder.core.time import Micros, to_datetime

_logger = logs.get("sinks")

_FILE_MODE = 0o640
_DIRECTORY_MODE = 0o750
_CHUNK = 1 << 16
_SECOND = 1_000_000


class Rotation(msgspec.Struct, frozen=True):
    """When a file is put aside and a new one begun.

    Attributes:
        size: bytes that a file may have; a batch that is larger by itself still goes into one file.
        age: seconds; a file holds one period of that length, counted from midnight UTC where it is a day.
        keep: how many files that were put aside stay, the newest; None for all.
    """

    size: int
    age: float
    keep: int | None = None


class LineFile:
    """The file at `path`, and those that were put aside beside it."""

    def __init__(self, path: Path, rotation: Rotation, clock: Clock) -> None:
        """Nothing is touched before `lock`."""
        self._path = path
        self._rotation = rotation
        self._clock = clock
        self._lock: int | None = None
        self._file: int | None = None
        self._length = 0
        self._written_at: Micros = 0
        self._torn = False  # what lies behind `_length` is the rest of a batch that failed
        self._aside = re.compile(
            re.escape(path.stem) + r"-(\d{8}T\d{6}Z)(?:-(\d+))?" + re.escape(path.suffix)
        )

    def lock(self) -> None:
        """Keep other processes out until `close`. Quick, and nothing where it is done.

        Raises:
            SinkError: another process writes this file.
            OSError: the directory or the lock cannot be made.
        """
        self._path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = _locked(self._path.with_name(self._path.name + ".lock"), self._path)

    def open(self) -> None:
        """Lock and open the file, and cut off a torn line. Does nothing where that is done.

        Raises:
            SinkError: another process writes this file.
            OSError: the file cannot be opened.
        """
        self.lock()
        if self._file is not None and self._is_ours():
            return
        if self._file is not None:  # moved or removed from outside, as a log rotation does
            if self._torn:
                self._cut()
            self._let_go()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            self._mend()
            _sync_directory(self._path.parent)
        except OSError:
            self._let_go()  # so that the next try begins from the first step again
            raise

    def append(self, lines: bytes) -> None:
        """Write `lines`, each with its line break, and sync them.

        Raises:
            SinkError: another process writes this file.
            OSError: they could not be written; nothing of them stays.
        """
        self.open()
        assert self._file is not None
        if self._torn:
            self._cut()
        elif os.fstat(self._file).st_size != self._length:
            self._mend()  # cut or extended from outside
        if self._is_due(len(lines)):
            self._put_aside()
            self.open()
        self._torn = True
        try:
            _write(self._file, lines, self._length)
            os.fsync(self._file)
        except OSError:
            self._cut()
            raise
        self._torn = False
        self._length += len(lines)
        self._written_at = self._clock.now()

    def close(self) -> None:
        """Let go of the file and of the lock. Safe to call twice."""
        self._let_go()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = None
        self._torn = False

    def _is_ours(self) -> bool:
        """Whether the open file is still the one at `path`."""
        assert self._file is not None
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._file))

    def _mend(self) -> None:
        """Take the file as it is, but for a last line without its line break: a crash tore it."""
        assert self._file is not None
        status = os.fstat(self._file)
        self._length = _end_of_last_line(self._file, status.st_size)
        self._written_at = status.st_mtime_ns // 1000
        if self._length < status.st_size:
            os.ftruncate(self._file, self._length)
            os.fsync(self._file)
            _logger.warning(
                "the last line was torn, by a crash or a full disk, and is cut off; its event is sent again",
                action="file_truncated",
                path=str(self._path),
                bytes=status.st_size - self._length,
            )

    def _cut(self) -> None:
        """Take back what a failed batch left; where even that fails, it is tried again before the next batch.

        Raises:
            OSError: it could not be taken back.
        """
        assert self._file is not None
        os.ftruncate(self._file, self._length)
        self._torn = False

    # Rotation

    def _is_due(self, coming: int) -> bool:
        if not self._length:
            return False
        period = max(1, int(self._rotation.age * _SECOND))
        return (
            self._length + coming > self._rotation.size
            or self._clock.now() // period != self._written_at // period
        )

    def _put_aside(self) -> None:
        assert self._file is not None
        stamp = to_datetime(self._clock.now()).strftime("%Y%m%dT%H%M%SZ")
        # Above every number that is there, not in a gap: by name the files stay in the order of their age.
        number = max((number for at, number, _ in self._put_aside_before() if at == stamp), default=0) + 1
        ending = "" if number == 1 else f"-{number}"
        self._path.rename(self._path.with_name(f"{self._path.stem}-{stamp}{ending}{self._path.suffix}"))
        self._let_go()
        self._drop_oldest()

    def _put_aside_before(self) -> list[tuple[str, int, Path]]:
        """The files that were put aside, the oldest first: time, number within the second, path."""
        names = ((self._aside.fullmatch(path.name), path) for path in self._path.parent.iterdir())
        return sorted((match[1], int(match[2] or 1), path) for match, path in names if match)

    def _drop_oldest(self) -> None:
        if self._rotation.keep is None:
            return
        try:
            aside = self._put_aside_before()
            for _, _, path in aside[: max(0, len(aside) - self._rotation.keep)]:
                path.unlink()
        except OSError as error:  # the new lines matter more
            _logger.warning("an old file could not be removed", action="file_keep_failed", error=str(error))


def _locked(path: Path, of: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SinkError(
            f"another process writes {of} (it holds the lock {path}); give each forwarder a path of its own"
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _write(file: int, lines: bytes, at: int) -> None:
    view = memoryview(lines)
    while view:
        written = os.pwrite(file, view, at)
        at += written
        view = view[written:]


def _end_of_last_line(file: int, size: int) -> int:
    """Where the last line break ends; 0 where there is none."""
    end = size
    while end:
        start = max(0, end - _CHUNK)
        at = os.pread(file, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def _sync_directory(directory: Path) -> None:
    """Make the names in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
