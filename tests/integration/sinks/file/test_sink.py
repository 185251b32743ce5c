"""The file sink: its two formats, what it rejects, its lock, and when it waits."""

import asyncio
import multiprocessing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from forwarder.core.errors import SinkError
from forwarder.core.outcome import RejectReason
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.sinks.file.sink import FileSink
from tests.fakes.clock import ManualClock
from tests.integration.sinks.file.helpers import assert_waits, batch, sink_at, stored, uuids


async def test_the_file_and_its_directory_are_created_and_not_world_readable(tmp_path: Path) -> None:
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


@pytest.mark.long
@given(
    value=st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
@settings(max_examples=20, deadline=None)
def test_a_body_over_several_lines_becomes_one_line_with_the_same_values(
    value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "okta.ndjson"
    body = msgspec.json.format(msgspec.json.encode({"uuid": "u-1", "value": value}), indent=2).replace(b"\n", b"\r\n")

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
    assert (document["@timestamp"], document["event"]["action"]) == ("2026-01-01T11:59:58.123Z", "user.session.start")


async def test_an_event_that_cannot_be_a_document_is_rejected_alone(tmp_path: Path) -> None:
    events = [stored(1), stored(2, b'["no object"]'), stored(3)]
    async with sink_at(tmp_path / "okta.ndjson", format="ecs") as sink:
        outcome = await sink.send(events)
        only_bad = await sink.send([events[1]])
    assert (outcome.delivered, outcome.retry) == ([1, 3], ())
    assert [(rejection.seq, rejection.reason) for rejection in outcome.rejected] == [(2, RejectReason.UNMAPPABLE)]
    assert (only_bad.delivered, len(only_bad.rejected)) == ((), 1)


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


async def test_the_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 1))
        path.with_name("okta.ndjson.lock").unlink()
        path.with_name("okta.ndjson.lock").mkdir()
        result = await sink.send(batch(2, 1))
    assert result.detail == f"{path}.lock: Is a directory"


async def test_a_file_that_cannot_be_opened_at_the_start_is_tried_with_each_batch(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("not a directory")
    with structlog.testing.capture_logs() as lines:
        async with sink_at(tmp_path / "archive" / "okta.ndjson") as sink:
            assert_waits(await sink.send(batch(1, 1)), batch(1, 1))
            (tmp_path / "archive").unlink()
            assert (await sink.send(batch(1, 1))).delivered == [1]
    assert [line["action"] for line in lines] == ["file_not_open"]


def _write_in_another_process(path: str, said: Any) -> None:
    try:
        FileSink("archive", FileSinkSettings.model_validate({"path": path}), ManualClock())
    except SinkError as error:
        said.put(str(error))
    else:
        said.put("it was let in")


@pytest.mark.long
async def test_a_second_process_on_the_same_file_is_refused_with_a_reason(tmp_path: Path) -> None:
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
