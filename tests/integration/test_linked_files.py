"""The store and the file of a sink are links to another disk: the room is that of the disk that they lead to."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from tests.integration.doctor.scene import Scene
from tests.integration.test_app import settings

SHARED_MEMORY = Path("/dev/shm")  # another disk on every Linux


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has one disk only")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


@pytest.mark.long
async def test_the_room_for_a_linked_store_is_that_of_its_disk(tmp_path: Path, other_disk: Path) -> None:
    (tmp_path / "store.db").symlink_to(other_disk / "store.db")
    forwarder = Forwarder(settings(tmp_path), SystemClock())
    await forwarder.start()
    try:
        status = await forwarder.status.gather()
    finally:
        await forwarder.stop(grace=5)
    assert status["store_disk_bytes"] == shutil.disk_usage(other_disk).total


@pytest.mark.long
async def test_the_room_for_a_linked_file_of_a_sink_is_that_of_its_disk(tmp_path: Path, other_disk: Path) -> None:
    link = tmp_path / "okta.ndjson"
    link.symlink_to(other_disk / "okta.ndjson")
    there = Scene(tmp_path, "https://acme.okta.com", {"api": None, "hook": None})
    there.sections["sinks"] = {"archive": {"kind": "file", "path": str(link)}}
    found = await there.doctor("file")
    total = shutil.disk_usage(other_disk).total
    assert f"of {total / 1e9:,.1f} GB are free" in found.of("file.disk")["seen"]
