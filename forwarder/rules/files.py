"""Finds files of rules in folders, and reads the text of a file."""

import json
import os
import stat
from pathlib import Path

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.rule import UnreadableRule
from forwarder.safe_files import cannot_read, read_small

MAX_BYTES = 64 << 20


def walk(folder: Path) -> tuple[list[Path], list[UnreadableRule]]:
    """Return the sorted files below `folder`, and a problem for each folder that cannot be read.

    Hidden files and folders are skipped, because editors and file systems keep copies of files in them. Links to
    folders are not followed, because such links may form a loop.
    """
    files: list[Path] = []
    errors: list[OSError] = []
    try:
        for parent, folders, names in os.walk(folder, onerror=errors.append):
            # A mounted ConfigMap keeps its real files in a hidden folder, beside links to them.
            folders[:] = [name for name in folders if not name.startswith(".")]
            files += [Path(parent, name) for name in names if not name.startswith(".")]
    except RecursionError:
        return sorted(files), [UnreadableRule(str(folder), "its folders are nested too deeply")]
    return sorted(files), [UnreadableRule(str(error.filename), error.strerror or str(error)) for error in errors]


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder. Return False if access is denied, or if links form a loop."""
    return stat.S_ISDIR(mode_and_size(path)[0])


def exists(path: Path) -> bool:
    """Whether there is a file, a folder or a link at `path`. Return False if access is denied.

    A broken link counts as existing, so that a later error names the link.
    """
    return os.path.lexists(path)


def real_path(path: Path) -> Path:
    """Return `path` with its symbolic links resolved. A link that cannot be resolved stays in the path."""
    try:
        return Path(os.path.realpath(path))  # Path.resolve raises an error for a loop of links
    except ValueError:  # a NUL in the name
        return path


def has_suffix(file: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether the name of `file` ends with one of `suffixes`, in upper or lower case."""
    return file.name.lower().endswith(suffixes)


def mode_and_size(path: Path) -> tuple[int, int]:
    """Return the mode and the size in bytes of a file; (0, 0) if it does not exist or access is denied."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return 0, 0
    return found.st_mode, found.st_size


def read_text(path: Path) -> tuple[str, str]:
    """Return (text, problem) of a file. The problem says what is wrong with the encoding; it is empty if the text is
    UTF-8, UTF-16 or UTF-32.

    Raises:
        RuleFileError: the file cannot be read.
    """
    try:
        return _decoded(read_small(path, MAX_BYTES))
    except OSError as error:
        raise RuleFileError(cannot_read(error, "let this user read it")) from None
    except ValueError as error:
        raise RuleFileError(str(error)) from None


def _decoded(contents: bytes) -> tuple[str, str]:
    """Return (text, problem) of `contents`. The problem is empty if the text is UTF-8, UTF-16 or UTF-32.

    A text in another encoding is also returned, perhaps with wrong letters, because a wrong letter in a name does not
    change a query.
    """
    problem = ""
    try:
        text = contents.decode(json.detect_encoding(contents))  # with or without a byte order mark
    except UnicodeDecodeError:
        text = contents.decode("utf-8-sig", errors="replace")
        try:
            contents.decode("utf-8")
        except UnicodeDecodeError as error:
            problem = f"is not UTF-8: {error.reason} at byte {error.start}; save the file as UTF-8"
    if "\0" in text:
        problem = "is a binary file"
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\n\ufeff", "\n"), problem  # `cat` copies the byte order mark of each file
