"""The file sink: whole lines, synced, rotated, mended, and nothing half-written."""

import asyncio
import multiprocessing
import os
import resource
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarder.core.errors import SinkError
from forwarder.core.event import Event, StoredEvent, Via
from forwarder.core.outcome import Outcome, RejectReason, RetryReason
from forwarder.sinks.file import FileSettings, FileSink
from tests.fakes.clock import NOON, ManualClock

BODY = (
    b'{"uuid":"u-%d","eventType":"user.session.start","published":"2026-01-01T11:59:58.123Z",'
    b'"actor":{"id":"00u1","type":"User","alternateId":"a@acme.test","displayName":"Ada"}}'
)


def stored(seq: int, body: bytes | None = None) -> StoredEvent:
    return StoredEvent(
        seq,
        Event(
            "acme",
            f"u-{seq}",
            "user.session.start",
            NOON - 2_000_000,
            NOON,
            Via.HOOK,
            "",
            BODY % seq if body is None else body,
        ),
    )


def batch(first: int, count: int) -> list[StoredEvent]:
    return [stored(seq) for seq in range(first, first + count)]


@asynccontextmanager
async def sink_at(path: Path, clock: ManualClock | None = None, **options: Any) -> AsyncIterator[FileSink]:
    """A sink at `path`. A file's own time is real and the clock is not, so by default no age rotates it."""
    defaults = {"path": path, "format": "raw", "rotate_age": "36500d"}
    chosen = FileSettings.model_validate({**defaults, **options})
    sink = FileSink("archive", chosen, clock or ManualClock())
    yield sink
    await sink.close()


def uuids(*paths: Path) -> list[str]:
    """The uuids in the files; fails where a line is no JSON object or the last one is torn."""
    found = []
    for path in paths:
        content = path.read_bytes()
        assert not content or content.endswith(b"\n")
        found += [msgspec.json.decode(line)["uuid"] for line in content.splitlines()]
    return found


def expected(events: Sequence[StoredEvent]) -> list[str]:
    return [event.event.uuid for event in events]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The system refuses, in the middle of a write, what goes beyond: a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def assert_waits(outcome: Outcome, events: Sequence[StoredEvent]) -> None:
    assert list(outcome.retry) == [event.seq for event in events]
    assert (outcome.reason, outcome.whole, outcome.pause) == (RetryReason.DISK, True, True)


async def test_the_file_and_its_directory_are_made_and_not_open_to_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "okta.ndjson"
    async with sink_at(path) as sink:
        assert (await sink.send(batch(1, 3))).delivered == [1, 2, 3]
    assert uuids(path) == ["u-1", "u-2", "u-3"]
    assert path.stat().st_mode & 0o777 & ~0o640 == 0
    assert path.parent.stat().st_mode & 0o777 & ~0o750 == 0


async def test_batches_follow_each_other_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    for first in (1, 4):
        async with sink_at(path) as sink:
            await sink.send(batch(first, 3))
    assert uuids(path) == [f"u-{seq}" for seq in range(1, 7)]


async def test_a_raw_line_is_the_event_as_received(tmp_path: Path) -> None:
    body = b'{ "uuid": "u-1", "n": 1.50, "big": 123456789012345678901234567890, "s": "a\\nb\\u00e9\xc3\xa9" }'
    async with sink_at(tmp_path / "okta.ndjson") as sink:
        await sink.send([stored(1, body)])
    assert (tmp_path / "okta.ndjson").read_bytes() == body + b"\n"


@given(
    value=st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@settings(max_examples=20, deadline=None)
def test_a_body_over_several_lines_becomes_one_line_with_the_same_values(
    value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "okta.ndjson"
    body = msgspec.json.format(msgspec.json.encode({"uuid": "u-1", "value": value}), indent=2).replace(
        b"\n", b"\r\n"
    )

    async def send() -> None:
        async with sink_at(path) as sink:
            await sink.send([stored(1, body)])

    asyncio.run(send())
    assert path.read_bytes().count(b"\n") == 1
    assert msgspec.json.decode(path.read_bytes()) == msgspec.json.decode(body)


async def test_an_ecs_line_is_the_document(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path, format="ecs") as sink:
        await sink.send(batch(1, 1))
    document = msgspec.json.decode(path.read_bytes())
    assert (document["@timestamp"], document["event"]["action"]) == (
        "2026-01-01T11:59:58.123Z",
        "user.session.start",
    )


async def test_an_event_that_fits_no_document_is_rejected_alone(tmp_path: Path) -> None:
    events = [stored(1), stored(2, b'["no object"]'), stored(3)]
    async with sink_at(tmp_path / "okta.ndjson", format="ecs") as sink:
        outcome = await sink.send(events)
        only_bad = await sink.send([events[1]])
    assert (outcome.delivered, outcome.retry) == ([1, 3], ())
    assert [(rejection.seq, rejection.reason) for rejection in outcome.rejected] == [
        (2, RejectReason.UNMAPPABLE)
    ]
    assert (only_bad.delivered, len(only_bad.rejected)) == ((), 1)


async def test_a_line_torn_by_a_crash_is_cut_off_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    path.write_bytes(BODY % 1 + b"\n" + (BODY % 2)[:40])
    with structlog.testing.capture_logs() as lines:
        async with sink_at(path):
            """It is mended though nothing is sent."""
        assert uuids(path) == ["u-1"]
        async with sink_at(path) as sink:
            await sink.send(batch(2, 1))
    assert uuids(path) == ["u-1", "u-2"]
    assert [(line["action"], line["bytes"]) for line in lines] == [("file_mended", 40)]


async def test_a_torn_line_longer_than_what_is_read_at_once_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    for whole in (BODY % 1 + b"\n", b""):
        path.write_bytes(whole + b"x" * 200_000)
        with structlog.testing.capture_logs():
            async with sink_at(path):
                """It is mended though nothing is sent."""
        assert path.read_bytes() == whole


async def test_a_disk_that_fills_up_leaves_nothing_half_written_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 2000))
        good = path.stat().st_size
        with files_no_larger_than(good + 500):
            outcome = await sink.send(batch(2001, 10))
        assert_waits(outcome, batch(2001, 10))
        assert str(path) in outcome.detail
        assert path.stat().st_size == good
        assert (await sink.send(batch(2001, 10))).delivered == list(range(2001, 2011))
    assert uuids(path) == [f"u-{seq}" for seq in range(1, 2011)]


async def test_a_torn_line_that_appears_behind_the_good_length_is_cut_off_before_the_next(
    tmp_path: Path,
) -> None:
    """As a failed write leaves it that could not be cut back at once, or another hand."""
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 2))
        with path.open("ab") as other:
            other.write((BODY % 3)[:30])
        with structlog.testing.capture_logs():
            await sink.send(batch(3, 1))
    assert uuids(path) == ["u-1", "u-2", "u-3"]


async def test_a_directory_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    directory, away = tmp_path / "archive", tmp_path / "away"
    async with sink_at(directory / "okta.ndjson") as sink:
        await sink.send(batch(1, 1))
        directory.rename(away)
        directory.write_text("not a directory")
        assert_waits(await sink.send(batch(2, 1)), batch(2, 1))
        directory.unlink()
        away.rename(directory)
        assert (await sink.send(batch(2, 1))).delivered == [2]
    assert uuids(directory / "okta.ndjson") == ["u-1", "u-2"]


async def test_a_file_that_cannot_be_opened_at_the_start_is_tried_with_each_batch(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("not a directory")
    with structlog.testing.capture_logs() as lines:
        async with sink_at(tmp_path / "archive" / "okta.ndjson") as sink:
            assert_waits(await sink.send(batch(1, 1)), batch(1, 1))
            (tmp_path / "archive").unlink()
            assert (await sink.send(batch(1, 1))).delivered == [1]
    assert [line["action"] for line in lines] == ["file_not_open"]


async def test_a_file_moved_or_removed_from_outside_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 1))
        path.rename(tmp_path / "moved.ndjson")
        await sink.send(batch(2, 1))
        path.unlink()
        await sink.send(batch(3, 1))
    assert uuids(tmp_path / "moved.ndjson", path) == ["u-1", "u-3"]


async def test_a_file_emptied_from_outside_gets_no_hole(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 5))
        os.truncate(path, 0)
        await sink.send(batch(6, 1))
    assert uuids(path) == ["u-6"]


def _aside(path: Path) -> list[Path]:
    return sorted(found for found in path.parent.iterdir() if found.name.startswith("okta-"))


async def test_a_full_file_is_put_aside_and_nothing_is_overwritten(tmp_path: Path) -> None:
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


async def test_only_the_newest_files_are_kept_and_no_stranger_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    strangers = [
        tmp_path / name for name in ("okta-notes.ndjson", "okta-20260101T120000Z.json", "other.ndjson")
    ]
    for stranger in strangers:
        stranger.write_text("mine")
    clock = ManualClock()
    async with sink_at(path, clock, rotate_age="1h", keep=2) as sink:
        for seq in range(1, 15):
            await sink.send(batch(seq, 1))
            await clock.advance(3600)
    kept = [found for found in _aside(path) if found not in strangers]
    assert [uuids(found) for found in (*kept, path)] == [["u-12"], ["u-13"], ["u-14"]]
    assert all(stranger.read_text() == "mine" for stranger in strangers)


async def test_the_tenth_file_of_a_second_is_newer_than_the_ninth(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path, rotate_bytes="1KiB", keep=3) as sink:
        for seq in range(13):
            await sink.send([stored(seq + 1, b'{"uuid":"u-%d","pad":"%s"}' % (seq + 1, b"x" * 900))])
    assert sorted(uuids(path, *_aside(path))) == ["u-10", "u-11", "u-12", "u-13"]


def _write_in_another_process(path: str, said: Any) -> None:
    try:
        FileSink("archive", FileSettings.model_validate({"path": path}), ManualClock())
    except SinkError as error:
        said.put(str(error))
    else:
        said.put("it was let in")


async def test_a_second_process_on_the_same_file_is_refused_and_told_why(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    async with sink_at(path):
        other = context.Process(target=_write_in_another_process, args=(str(path), said))
        other.start()
        answer = await asyncio.to_thread(said.get, timeout=30)
        await asyncio.to_thread(other.join)
    assert "another process writes" in answer
    assert str(path) in answer
    async with sink_at(path) as sink:
        assert (await sink.send(batch(1, 1))).delivered == [1]


async def test_encoding_a_large_batch_leaves_the_event_loop_free(tmp_path: Path) -> None:
    longest = 0.0
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def watch() -> None:
        nonlocal longest
        while not done.is_set():
            before = loop.time()
            await asyncio.sleep(0)
            longest = max(longest, loop.time() - before)

    async with sink_at(tmp_path / "okta.ndjson", format="ecs") as sink, asyncio.TaskGroup() as group:
        group.create_task(watch())
        await sink.send(batch(1, 2_000))
        done.set()
    assert longest < 0.2  # 20 ms with room for a busy machine; in one piece it would be far more
