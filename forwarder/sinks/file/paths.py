"""Returns the paths of a file sink's lock file and rotated files, and finds paths that a file sink must not use."""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from forwarder.safe_files import FileIdentity, identities


def lock_path(path: Path) -> Path:
    """Return the path of the lock file of the sink that writes `path`."""
    return Path(f"{path}.lock")


def rotated_path(path: Path, stamp: str, number: int) -> Path:
    """Return the path to which the file `path` is renamed when it is rotated in the second `stamp`. `number` counts the
    files that are rotated in the second `stamp`, from 1."""
    ending = "" if number == 1 else f"-{number}"
    return path.parent / f"{path.stem}-{stamp}{ending}{path.suffix}"


def place_problem(path: Path) -> str:
    """Return a text about a problem with `path`; the empty string if there is no problem. A problem prevents every sink
    from writing the file, its lock file or its rotated files."""
    lock = lock_path(path)
    real = Path(os.path.realpath(path))  # rotated files are beside this file, even if `path` is a link to it
    for file in (path, lock, rotated_path(real, "20260101T120000Z", 999)):
        try:
            file.stat()
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
                return f"{file} cannot be used ({error.strerror}); set another `path`"
    if os.path.lexists(lock) and (lock.is_symlink() or not lock.is_file()):
        return f"its lock file, {lock}, is a link, or is not a regular file; remove it, or set another `path`"
    return ""


def path_problems(paths: Mapping[str, Path], store: Iterable[Path], read: Iterable[Path]) -> Iterator[str]:
    """Yield one problem, as a line of text, for each file that a sink would write although another part of the
    forwarder uses the file.

    `paths` has the file of each sink, by the name of the sink. `store` has the files of the store. `read` has the files
    of the configuration, and the other files that the configuration names.
    """
    of_store, of_config, of_sinks = identities(*store), identities(*read), identities(*paths.values())
    before: list[tuple[str, set[FileIdentity]]] = []
    for name, path in paths.items():
        key, own, lock = f"sinks.{name}.path", identities(path), lock_path(path)
        for other, its in before:
            if own & its:
                yield f"{key}: sinks.{other} writes the same file; give each sink its own file"
        before.append((name, own))
        if own & of_store:
            yield f"{key}: this file is a file of the store; name another file"
        if own & of_config:
            yield f"{key}: the configuration reads this file; name another one"
        if identities(lock) & (of_store | of_config | of_sinks):
            yield f"{key}: its lock file, {lock}, is used for something else; name another file"
