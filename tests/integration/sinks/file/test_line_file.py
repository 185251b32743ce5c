"""The file of lines: torn lines, full disks, what is synced, and rotation."""

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from forwarder.core.errors import SinkError
from tests.fakes.clock import NOON, ManualClock
from tests.integration.sinks.file.helpers import BODY, assert_waits, batch, sink_at, stored, uuids


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The system refuses, in the middle of a write, what goes beyond: a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_partial_line_of_a_crash_is_truncated_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    path.write_bytes(BODY % 1 + b"\n" + (BODY % 2)[:40])
    with structlog.testing.capture_logs() as lines:
        async with sink_at(path):
            """It is truncated although nothing is sent."""
        assert uuids(path) == ["u-1"]
        async with sink_at(path) as sink:
            await sink.send(batch(2, 1))
    assert uuids(path) == ["u-1", "u-2"]
    assert [(line["action"], line["bytes"]) for line in lines] == [("file_truncated", 40)]


async def test_a_partial_line_longer_than_one_read_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    for whole in (BODY % 1 + b"\n", b""):
        path.write_bytes(whole + b'{"uuid":"' + b"x" * 200_000)
        with structlog.testing.capture_logs():
            async with sink_at(path):
                """It is truncated although nothing is sent."""
        assert path.read_bytes() == whole


async def test_a_disk_that_fills_up_leaves_nothing_half_written_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 2000))
        good = path.stat().st_size
        with files_no_larger_than(good + 500):
            outcome = await sink.send(batch(2001, 10))
        assert_waits(outcome, batch(2001, 10))
        assert str(path) in outcome.detail
        assert "ulimit -f" in outcome.hint
        assert path.stat().st_size == good
        assert (await sink.send(batch(2001, 10))).delivered == list(range(2001, 2011))
    assert uuids(path) == [f"u-{seq}" for seq in range(1, 2011)]


async def test_a_partial_line_after_the_good_length_is_truncated_before_the_next(tmp_path: Path) -> None:
    """As a failed write leaves it that could not be cut back at once, or another hand."""
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 2))
        with path.open("ab") as other:
            other.write((BODY % 3)[:30])
        with structlog.testing.capture_logs():
            await sink.send(batch(3, 1))
    assert uuids(path) == ["u-1", "u-2", "u-3"]


async def test_a_file_that_another_program_moved_or_removed_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 1))
        path.rename(tmp_path / "moved.ndjson")
        await sink.send(batch(2, 1))
        path.unlink()
        await sink.send(batch(3, 1))
    assert uuids(tmp_path / "moved.ndjson", path) == ["u-1", "u-3"]


async def test_a_file_that_another_program_emptied_gets_no_hole(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 5))
        os.truncate(path, 0)
        await sink.send(batch(6, 1))
    assert uuids(path) == ["u-6"]


def _aside(path: Path) -> list[Path]:
    return sorted(found for found in path.parent.iterdir() if found.name.startswith("okta-"))


async def test_a_full_file_is_rotated_and_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path, rotate_bytes="1KiB") as sink:
        for first in range(1, 22, 4):
            await sink.send(batch(first, 4))
    assert [found.name for found in _aside(path)] == [
        "okta-20260101T120000Z-2.ndjson",
        "okta-20260101T120000Z-3.ndjson",
        "okta-20260101T120000Z-4.ndjson",
        "okta-20260101T120000Z-5.ndjson",
        "okta-20260101T120000Z.ndjson",
    ]
    assert sorted(uuids(path, *_aside(path))) == sorted(f"u-{seq}" for seq in range(1, 25))
    assert all(found.stat().st_size <= 1024 for found in _aside(path))


async def test_a_batch_larger_than_a_file_goes_into_one(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path, rotate_bytes="1KiB") as sink:
        await sink.send(batch(1, 50))
        await sink.send(batch(51, 1))
    assert [len(uuids(found)) for found in (*_aside(path), path)] == [50, 1]


async def test_each_file_holds_one_day(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    clock = ManualClock()
    async with sink_at(path, clock, rotate_age="1d") as sink:
        await sink.send(batch(1, 1))
        await clock.advance(11 * 3600)
        await sink.send(batch(2, 1))
        await clock.advance(3600)
        await sink.send(batch(3, 1))
    assert [found.name for found in _aside(path)] == ["okta-20260102T000000Z.ndjson"]
    assert [uuids(found) for found in (*_aside(path), path)] == [["u-1", "u-2"], ["u-3"]]


async def test_the_day_of_a_file_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    path.write_bytes(BODY % 1 + b"\n")
    yesterday = NOON // 1_000_000 - 86_400
    os.utime(path, (yesterday, yesterday))
    async with sink_at(path, rotate_age="1d") as sink:
        await sink.send(batch(2, 1))
    assert [uuids(found) for found in (*_aside(path), path)] == [["u-1"], ["u-2"]]


async def test_only_the_newest_files_are_kept_and_no_other_file_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    strangers = [tmp_path / name for name in ("okta-notes.ndjson", "okta-20260101T120000Z.json", "other.ndjson")]
    for stranger in strangers:
        stranger.write_text("mine")
    clock = ManualClock()
    async with sink_at(path, clock, rotate_age="1h", max_files=2) as sink:
        for seq in range(1, 15):
            await sink.send(batch(seq, 1))
            await clock.advance(3600)
    kept = [found for found in _aside(path) if found not in strangers]
    assert [uuids(found) for found in (*kept, path)] == [["u-12"], ["u-13"], ["u-14"]]
    assert all(stranger.read_text() == "mine" for stranger in strangers)


async def test_a_file_behind_a_link_is_created_rotated_and_removed_in_its_own_folder(tmp_path: Path) -> None:
    link, disk = tmp_path / "okta.ndjson", tmp_path / "disk" / "archive"
    link.symlink_to(disk / "all.ndjson")
    async with sink_at(link, rotate_bytes="1KiB", max_files=2) as sink:
        for first in range(1, 41, 4):
            assert len((await sink.send(batch(first, 4))).delivered) == 4
    assert link.readlink() == disk / "all.ndjson"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "okta.ndjson", "okta.ndjson.lock"]
    names = ["all-20260101T120000Z-8.ndjson", "all-20260101T120000Z-9.ndjson", "all.ndjson"]
    assert sorted(path.name for path in disk.iterdir()) == names
    assert uuids(*(disk / name for name in names)) == [f"u-{seq}" for seq in range(29, 41)]


@pytest.mark.parametrize("years", [-5, 5])
async def test_a_clock_that_jumps_there_and_back_removes_no_file_that_was_just_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    path = tmp_path / "okta.ndjson"
    clock = ManualClock()
    async with sink_at(path, clock, rotate_bytes="1KiB", max_files=2) as sink:
        for seq in range(1, 13):
            there = 4 < seq <= 8
            now = NOON + (there * years * 365 * 86_400 + seq * 60) * 1_000_000
            monkeypatch.setattr(clock, "now", lambda now=now: now)
            await sink.send([stored(seq, b'{"uuid":"u-%d","pad":"%s"}' % (seq, b"x" * 900))])
            assert seq == 1 or f"u-{seq - 1}" in uuids(path, *_aside(path))
    assert sorted(uuids(path, *_aside(path))) == ["u-10", "u-11", "u-12"]


async def test_the_tenth_file_of_a_second_is_newer_than_the_ninth(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path, rotate_bytes="1KiB", max_files=3) as sink:
        for seq in range(13):
            await sink.send([stored(seq + 1, b'{"uuid":"u-%d","pad":"%s"}' % (seq + 1, b"x" * 900))])
    assert sorted(uuids(path, *_aside(path))) == ["u-10", "u-11", "u-12", "u-13"]


class Disk:
    """The system's calls on files, noted, and failed where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, str]] = []
        self.failing: list[str] = []
        for name in ("fsync", "ftruncate", "pwrite"):
            monkeypatch.setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: int, *args: Any) -> Any:
            self.calls.append((name, Path(f"/proc/self/fd/{descriptor}").readlink().name))
            if name in self.failing:
                self.failing.remove(name)
                raise OSError(errno.EIO, "Input/output error")
            return real(descriptor, *args)

        return call


async def test_delivered_means_that_the_lines_and_the_new_name_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    path = tmp_path / "archive" / "okta.ndjson"
    async with sink_at(path, rotate_bytes="1KiB") as sink:
        await sink.send(batch(1, 4))
        assert disk.calls == [("fsync", "archive"), ("pwrite", path.name), ("fsync", path.name)]
        disk.calls.clear()
        await sink.send(batch(5, 4))
        assert len(_aside(path)) == 1
        assert disk.calls == [("fsync", "archive"), ("pwrite", path.name), ("fsync", path.name)]


@pytest.mark.parametrize(
    "failing", [["pwrite"], ["fsync"], ["fsync", "ftruncate"], ["pwrite", "ftruncate", "ftruncate"]], ids="-".join
)
async def test_a_disk_that_fails_leaves_no_line_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: list[str]
) -> None:
    disk = Disk(monkeypatch)
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 2))
        disk.failing = failing
        while disk.failing:
            outcome = await sink.send(batch(3, 2))
            assert_waits(outcome, batch(3, 2))
            assert outcome.detail == f"{path}: Input/output error"
        assert (await sink.send(batch(3, 2))).delivered == [3, 4]
    assert uuids(path) == ["u-1", "u-2", "u-3", "u-4"]


async def test_a_new_name_that_could_not_be_synced_is_synced_before_anything_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.failing = ["fsync", "fsync"]
    path = tmp_path / "archive" / "okta.ndjson"
    with structlog.testing.capture_logs():
        async with sink_at(path) as sink:
            assert_waits(await sink.send(batch(1, 1)), batch(1, 1))
            assert (await sink.send(batch(1, 1))).delivered == [1]
    assert disk.calls[-3:] == [("fsync", "archive"), ("pwrite", path.name), ("fsync", path.name)]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def _link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/full")


@pytest.mark.parametrize("make", [_fifo, _directory, _socket, _link_to_a_device])
async def test_what_is_no_regular_file_is_refused_and_let_go_when_it_is_removed(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "o.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 2))
        path.unlink()
        make(path)
        for _ in range(2):
            outcome = await sink.send(batch(3, 2))
            assert_waits(outcome, batch(3, 2))
            assert str(path) in outcome.detail
            assert "regular file" in outcome.detail
        path.rename(tmp_path / "away")
        assert (await sink.send(batch(3, 2))).delivered == [3, 4]
    assert uuids(path) == ["u-3", "u-4"]


async def test_a_file_that_cannot_be_truncated_is_let_go_when_another_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 1))
        disk.failing = ["fsync", "ftruncate", "ftruncate", "ftruncate"]
        assert_waits(await sink.send(batch(2, 1)), batch(2, 1))
        assert_waits(await sink.send(batch(2, 1)), batch(2, 1))
        path.unlink()
        with structlog.testing.capture_logs() as lines:
            assert (await sink.send(batch(2, 1))).delivered == [2]
    assert uuids(path) == ["u-2"]
    assert [line["action"] for line in lines] == ["file_let_go"]


async def test_a_directory_that_is_replaced_holds_neither_the_old_file_nor_the_old_lock(tmp_path: Path) -> None:
    path = tmp_path / "archive" / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 1))
        path.parent.rename(tmp_path / "old")
        assert (await sink.send(batch(2, 1))).delivered == [2]
        open_files = {target.resolve() for target in Path("/proc/self/fd").iterdir()}
        assert not [found for found in open_files if (tmp_path / "old") in found.parents]
        assert uuids(path, tmp_path / "old" / "okta.ndjson") == ["u-2", "u-1"]


async def test_a_lock_file_that_was_removed_is_locked_again_before_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 1))
        (tmp_path / "okta.ndjson.lock").unlink()
        await sink.send(batch(2, 1))
        with pytest.raises(SinkError):
            async with sink_at(path):
                """Another sink on the same file is refused."""


async def test_a_directory_that_became_a_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "archive" / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 1))
        path.parent.rename(tmp_path / "old")
        path.parent.write_text("no directory")
        assert_waits(await sink.send(batch(2, 1)), batch(2, 1))
        path.parent.unlink()
        assert (await sink.send(batch(2, 1))).delivered == [2]
    assert uuids(path) == ["u-2"]
