"""A file that something else wrote, or that another sink writes, is not changed."""

import os
from pathlib import Path

import pytest
import structlog

from tests.integration.sinks.file.helpers import BODY, assert_waits, batch, sink_at, uuids

FOREIGN = {
    "a text": b"line1\nprecious last line without newline",
    "a text that ends with a line break": b"line1\nline2\n",
    "one line": b"precious",
    "a binary": b"\x7fELF" + b"\0" * 5000,
    "a binary with lines": b"\x7fELF" + b"\0\n" * 5000 + b"\0",
    "a configuration": b"orgs:\n  acme: {secrets: [x]}\nsinks: {}\n# no newline at end",
    "indented JSON": b'{\n  "uuid": "u-1"\n}',
    "JSON of one line": b'{"client_id":"x","key":"y"}',
    "JSON lines": b'{"level":"info","message":"x"}\n{"level":"in',
    "an empty line before": b"line1\n\nprecious",
    "events before": BODY % 1 + b"\nprecious\nlast",
}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_a_file_that_something_else_wrote_is_not_changed_until_it_is_moved(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(FOREIGN[kind])
    with structlog.testing.capture_logs() as lines:
        async with sink_at(path) as sink:
            outcome = await sink.send(batch(1, 2))
            assert_waits(outcome, batch(1, 2))
            assert "set another `path`" in outcome.detail
            assert outcome.hint == "do what the detail says"
            assert path.read_bytes() == FOREIGN[kind]
            path.rename(tmp_path / "moved")
            assert (await sink.send(batch(1, 2))).delivered == [1, 2]
    assert [line["action"] for line in lines] == ["file_not_open"]
    assert (uuids(path), (tmp_path / "moved").read_bytes()) == (["u-1", "u-2"], FOREIGN[kind])


@pytest.mark.parametrize("format_", ["raw", "ecs"])
@pytest.mark.parametrize("kept", [1, 20, 150, -1])
async def test_a_file_of_either_format_is_continued_wherever_a_crash_cut_it(
    tmp_path: Path, format_: str, kept: int
) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path, format=format_) as sink:
        await sink.send(batch(1, 1))
        whole = path.read_bytes()
        await sink.send(batch(2, 1))
    for before in (b"", whole, b"\n"):
        path.write_bytes(before + whole[:kept] if before != b"\n" else before)
        with structlog.testing.capture_logs():
            async with sink_at(path, format=format_) as sink:
                assert (await sink.send(batch(1, 1))).delivered == [1]
        assert path.read_bytes() == before + whole


async def test_content_that_another_program_adds_while_the_sink_runs_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "okta.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 1))
        with path.open("ab") as other:
            other.write(b"a line\nand a half")
        before = path.read_bytes()
        assert_waits(await sink.send(batch(2, 1)), batch(2, 1))
        assert path.read_bytes() == before


async def test_two_sinks_on_one_file_by_two_names_do_not_both_write_it(tmp_path: Path) -> None:
    path, other = tmp_path / "o.ndjson", tmp_path / "p.ndjson"
    async with sink_at(path) as sink:
        await sink.send(batch(1, 1))
        os.link(path, other)
        with structlog.testing.capture_logs():
            async with sink_at(other) as second:
                outcome = await second.send(batch(2, 1))
                assert_waits(outcome, batch(2, 1))
                assert "another sink writes to this file" in outcome.detail
                await sink.send(batch(3, 1))
                await sink.close()
                assert (await second.send(batch(2, 1))).delivered == [2]
    assert uuids(path) == ["u-1", "u-3", "u-2"]
