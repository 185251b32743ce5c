"""A file sink must not get a file that another part of the forwarder uses, whatever its path."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from forwarder.sinks.file.paths import path_problems
from forwarder.store.settings import store_files


@pytest.fixture
def mounted_twice(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A folder, and the same folder at another path."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "--bind", first, second], check=False).returncode:
        pytest.skip("this machine may not mount")
    yield first, second
    subprocess.run(["umount", second], check=True)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", ".lock"])
def test_a_sink_gets_no_file_that_the_store_will_create_in_a_folder_that_is_mounted_twice(
    mounted_twice: tuple[Path, Path], suffix: str
) -> None:
    store, other = (folder / "store.db" for folder in mounted_twice)
    (problem,) = path_problems({"archive": Path(f"{other}{suffix}")}, store_files(store), [])
    assert problem == "sinks.archive.path: this file is a file of the store; name another file"
