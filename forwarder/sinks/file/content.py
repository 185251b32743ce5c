"""Checks whether a sink of kind `file` wrote the lines of a file. A sink must not truncate or extend the file of
another program."""

import os
import re

import msgspec

_CHUNK = 1 << 16
_MOST_READ = 1 << 26
_START = re.compile(rb'\s*\{\s*("|\Z)')


def end_of_last_line(file: int, size: int) -> int:
    """Return the offset after the last line break in the first `size` bytes of `file`; 0 if these bytes have no line
    break. `file` is a file descriptor."""
    end = size
    while end:
        start = max(0, end - _CHUNK)
        at = os.pread(file, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def written_by_sink(file: int, length: int, size: int) -> bool:
    """Return whether a sink of kind `file` wrote the file `file`. Only the last complete line is checked. The result is
    True for an empty file.

    If the file has no complete line, the result is True if the content of the file looks like the beginning of a line
    that a sink writes.

    `file` is a file descriptor, `length` is the offset at which the last complete line ends, and `size` is the size of
    the file in bytes.
    """
    if not length:
        return not size or _is_start(os.pread(file, _MOST_READ, 0))
    start = end_of_last_line(file, length - 1)
    line = os.pread(file, min(length - start, _MOST_READ), start)
    if not line.strip():
        # An empty line does not show who wrote the file. So lines may be added, but no partial line may be removed.
        return length == size
    return _is_line(line)


def _is_line(line: bytes) -> bool:
    # The line is not parsed, because an event is written as received, and parsers refuse some events that Okta sends.
    return bool(_START.match(line)) and (b'"uuid"' in line or b'"@timestamp"' in line)


def _is_start(content: bytes) -> bool:
    if not _START.match(content):
        return False
    try:
        msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return True  # the JSON is not complete, as after a crash in the middle of a line
    return _is_line(content)
