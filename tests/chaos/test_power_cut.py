"""What was acknowledged survives a power cut: the file system is shut down without its log, so only what was synced
is there afterwards."""

import asyncio
import ctypes
import fcntl
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.okta import Sender, happenings
from tests.e2e.test_pipeline import drained
from tests.stack.forwarder import ForwarderProcess
from tests.stack.process import free_port

_EXT4_IOC_SHUTDOWN = 0x8004587D
_WITHOUT_THE_LOG = 2
CUTS = 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Disk:
    """An ext4 file system in a file, mounted by loop."""

    def __init__(self, directory: Path) -> None:
        self._image = directory / "disk.img"
        self.path = directory / "disk"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(256 * 2**20)
        _run("mkfs.ext4", "-q", "-F", str(self._image))

    def mount(self) -> None:
        """Mount it; replays its log, as a machine does that comes up again."""
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def cut(self) -> None:
        """Take its power: what was not synced is gone."""
        top = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(top, _EXT4_IOC_SHUTDOWN, struct.pack("I", _WITHOUT_THE_LOG))
        finally:
            os.close(top)

    def unmount(self) -> None:
        """Unmount it, however busy."""
        ctypes.CDLL(None).sync()
        subprocess.run(["umount", str(self.path)], check=False, capture_output=True)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(
            f"a power cut is staged on a file system of its own, and `{command[0]}` does not work here: {error}"
        )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("a power cut is staged on a file system of its own, which takes root to mount")
    disk = Disk(tmp_path)
    disk.mount()
    yield disk
    disk.unmount()


async def test_what_was_acknowledged_survives_power_cuts(
    tmp_path: Path, disk: Disk, request: pytest.FixtureRequest
) -> None:
    down = {"siem": {"kind": "elasticsearch", "hosts": [f"http://127.0.0.1:{free_port()}"]}}
    forwarder = ForwarderProcess(tmp_path / "forwarder", down, path=disk.path / "store.db")
    request.addfinalizer(forwarder.kill)
    sender = Sender(forwarder.url)
    for number in range(CUTS):
        forwarder.start()
        load = asyncio.create_task(sender.load(happenings(4000, seed=number), batch=1, lanes=16))
        await asyncio.sleep(1 + number / 2)
        disk.cut()
        await asyncio.sleep(0.5)  # some POSTs meet the dead disk
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        await asyncio.to_thread(forwarder.kill)
        await asyncio.to_thread(disk.unmount)
        await asyncio.to_thread(disk.mount)
    assert sender.answers[200] > 100, sender.answers
    assert sender.answers.get(503) or sender.answers.get(0), "no POST met the cut"
    archive = tmp_path / "events.ndjson"
    forwarder.tree["sinks"] = {"archive": {"kind": "file", "path": str(archive), "format": "raw"}}
    forwarder.write_config()
    forwarder.start()
    await drained(forwarder, 60)
    with archive.open() as lines:
        there = [json.loads(line)["uuid"] for line in lines]
    print(f"{CUTS} cuts, {len(sender.acknowledged)} acknowledged, {len(there)} there, answers {sender.answers}")
    assert sender.acknowledged <= set(there)
    assert len(there) == len(set(there))
