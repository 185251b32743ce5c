"""`forwarder dead-letters`, `stats` and `forget-sink` on a store that holds something."""

import asyncio
import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forwarder.cli.main import main
from forwarder.clock import SystemClock
from forwarder.core.outcome import Rejection, RejectReason
from forwarder.core.ports import Batch, Settlement
from tests.integration.store.helpers import attach, events, malformed_event, opened, rejections, settle

LATE_EVENT = b'{"uuid":"late","eventType":"a.b","published":"2026-01-01T12:00:00.000Z"}'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tree = {
        "orgs": {"acme": {"secrets": ["planted-secret"]}},
        "store": {"path": str(tmp_path / "store.db")},
        "sinks": {"archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")}},
    }
    file = tmp_path / "forwarder.yaml"
    file.write_text(json.dumps(tree))

    async def fill() -> None:
        async with opened(tmp_path / "store.db", sinks=()) as store:
            await attach(store, {"siem": "oldest", "archive": "oldest"})
            elements = [malformed_event(), malformed_event(LATE_EVENT), malformed_event(b"{}")]
            await store.append(Batch(events(5), elements), timeout=5)
            await settle(store, "archive", Settlement(2, delivered=1, dead=rejections(2)))
            await settle(store, "siem", Settlement(2, dead=rejections(1, 2)))
            await attach(store, {"archive": "oldest"})

    asyncio.run(fill())
    return file


def run(config: Path, *words: Any, answer: str | None = None) -> Result:
    arguments = [*map(str, words), "--config", str(config)]
    return CliRunner().invoke(main, arguments, input=answer, catch_exceptions=False)


def letters(config: Path, sink: str) -> list[dict[str, Any]]:
    output = run(config, "dead-letters", "list", "--json", "--sink", sink).output
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("command", [("list",), ("replay", "--all"), ("discard", "--all", "--yes")])
def test_a_sink_with_a_typo_is_wrong_usage(config: Path, command: tuple[str, ...]) -> None:
    done = run(config, "dead-letters", *command, "--sink", "recevier")
    assert (done.exit_code, "known: archive, receiver, siem" in done.output) == (2, True), done.output
    assert run(config, "dead-letters", *command, "--sink", "siem").exit_code == 0  # a removed sink


@pytest.mark.parametrize("command", [("dead-letters", "list", "--reason"), ("find",)])
def test_an_argument_that_is_not_utf_8_is_wrong_usage(config: Path, command: tuple[str, ...]) -> None:
    done = run(config, *command, "\udcff")
    assert (done.exit_code, "bytes that are not UTF-8" in done.output) == (2, True), done.output


@pytest.mark.parametrize("command", ["show", "replay", "discard"])
def test_an_id_that_is_too_large_is_wrong_usage(config: Path, command: str) -> None:
    done = run(config, "dead-letters", command, 2**63)
    assert done.exit_code == 2
    assert "is not in the range" in done.output


def test_discard_says_how_many_of_what_before_it_asks(config: Path) -> None:
    done = run(config, "dead-letters", "discard", "--all", answer="n\n")
    assert done.exit_code == 1
    before, _, after = done.output.partition("Discard them?")
    assert before.splitlines()[:3] == [
        "1 dead letter of archive (mapping)",
        "3 malformed events (not_an_event)",
        "2 dead letters of siem (mapping)",
    ]
    assert "discarded" not in after
    assert len(letters(config, "receiver")) == 3


@pytest.mark.long
def test_a_dead_letter_that_comes_while_discard_asks_is_kept(config: Path) -> None:
    async def another() -> None:
        async with opened(config.with_name("store.db"), sinks=()) as store:
            await store.append(Batch([], [malformed_event(b"[]")]), timeout=5)

    class SlowPerson(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            asyncio.run(another())
            return b"y\n"

    answer: Any = SlowPerson()
    done = run(config, "dead-letters", "discard", "--all", answer=answer)
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "6 dead letters discarded.")
    assert len(letters(config, "receiver")) == 1


@pytest.mark.long
def test_a_replay_that_is_rejected_again_while_discard_asks_is_kept(config: Path) -> None:
    sent = run(config, "dead-letters", "replay", letters(config, "archive")[0]["id"])
    assert sent.exit_code == 0

    async def rejected_again() -> None:
        async with opened(config.with_name("store.db"), SystemClock(), sinks=("archive",)) as store:
            await settle(store, "archive", Settlement(2, dead_again=rejections(2)))

    class SlowPerson(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            asyncio.run(rejected_again())
            return b"y\n"

    answer: Any = SlowPerson()
    done = run(config, "dead-letters", "discard", "--all", answer=answer)
    assert "archive" not in done.output
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "5 dead letters discarded.")
    assert [letter["state"] for letter in letters(config, "archive")] == ["dead"]


@pytest.mark.long
def test_discard_without_a_question_still_says_what(config: Path) -> None:
    done = run(config, "dead-letters", "discard", "--all", "--yes", "--sink", "receiver")
    assert done.exit_code == 0
    assert done.output == "3 malformed events (not_an_event)\n3 dead letters discarded.\n"
    one = run(config, "dead-letters", "discard", "--yes", letters(config, "archive")[0]["id"])
    assert one.output == "1 dead letter of archive (mapping)\n1 dead letter discarded.\n"


def test_discard_of_nothing_asks_nothing(config: Path) -> None:
    done = run(config, "dead-letters", "discard", "--all", "--reason", "nothing-like-it")
    assert (done.exit_code, done.output) == (0, "0 dead letters discarded.\n")


@pytest.mark.long
def test_a_replay_of_an_element_that_is_still_malformed_says_so(config: Path) -> None:
    first, late, last = sorted(letters(config, "receiver"), key=lambda letter: int(letter["id"]))
    done = run(config, "dead-letters", "replay", "--all", "--sink", "receiver")
    assert "1 dead letter will be sent again." in done.output
    assert f"{first['id']} is still malformed: " in done.output
    assert f"{last['id']} is still malformed: " in done.output
    assert f"{late['id']} is" not in done.output
    one = run(config, "dead-letters", "replay", first["id"])
    assert one.exit_code == 1
    assert f"{first['id']} is still malformed: " in one.output
    assert "0 dead letters will be sent again." in one.output


def test_a_replay_of_a_sink_says_nothing_of_malformed_events(config: Path) -> None:
    done = run(config, "dead-letters", "replay", "--all", "--sink", "archive")
    assert done.output == "1 dead letter will be sent again.\n"


@pytest.mark.long
def test_stats_names_a_removed_sink_until_it_is_forgotten(config: Path) -> None:
    shown = run(config, "stats")
    assert shown.exit_code == 0
    assert "5 events kept for the sink siem, which is not configured" in shown.output
    assert "forwarder forget-sink siem" in shown.output
    assert json.loads(run(config, "stats", "--json").stdout)["removed_sinks"] == {"siem": 5}
    asked = run(config, "forget-sink", "siem", answer="n\n")
    assert "The 5 events kept for siem will be dropped. Forget this sink?" in asked.output
    assert "siem" in run(config, "stats").output
    assert run(config, "forget-sink", "siem", "--yes").output == (
        "Removed the sink siem from the store; no event waits for this sink any more.\n"
    )
    assert "siem" not in run(config, "stats").output
    assert run(config, "dead-letters", "list", "--sink", "siem").exit_code == 2
    assert run(config, "forget-sink", "siem", "--yes").exit_code == 1
    unknown = run(config, "forget-sink", "siem", answer="n\n")
    assert "unknown sink siem: the store keeps nothing" in unknown.output
    assert "Forget it?" not in unknown.output
    configured = run(config, "forget-sink", "archive", "--yes")
    assert configured.exit_code == 2
    assert "archive is still in the configuration" in configured.output


def test_a_piped_table_does_not_wrap(config: Path) -> None:
    name = "a-sink-with-quite-a-long-name-" * 6

    async def add() -> None:
        async with opened(config.with_name("store.db"), sinks=()) as store:
            await attach(store, {name: "oldest", "archive": "oldest"})

    asyncio.run(add())
    assert [line for line in run(config, "stats").output.splitlines() if name in line]


ODD = "\x1b]0;owned\x07\x1b[2J\r\x08\x9b31m\u202egnp.exe"


@pytest.mark.long
@pytest.mark.parametrize("words", [("list",), ("show", "1"), ("discard", "--all"), ("list", "--json")])
def test_nothing_of_an_event_or_a_sink_steers_a_terminal(tmp_path: Path, config: Path, words: tuple[str, ...]) -> None:
    async def add() -> None:
        async with opened(tmp_path / "store.db", sinks=()) as store:
            await attach(store, {"archive": "oldest"})
            odd = [Rejection(seq, RejectReason.MAPPING, ODD) for seq in (3, 4)]
            await settle(store, "archive", Settlement(4, dead=odd))

    asyncio.run(add())
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "forwarder", "dead-letters", *words, "--config", config],
        stdin=end, stdout=end, stderr=end, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(end)
    os.write(terminal, b"n\n")
    shown = b""
    with contextlib.suppress(OSError):  # its end
        while piece := os.read(terminal, 65_536):
            shown += piece
    process.wait(10)
    os.close(terminal)
    text = shown.decode()
    assert "gnp.exe" in text or words[0] != "list"
    assert not {"\x07", "\x08", "\x9b", "\u202e"}.intersection(text)
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text


def test_a_list_that_a_filter_empties_does_not_say_that_there_are_none(config: Path) -> None:
    done = run(config, "dead-letters", "list", "--reason", "nothing")
    assert done.output == "There are no dead letters that match; see all: forwarder dead-letters list\n"


def test_one_skipped_dead_letter_is_one(config: Path) -> None:
    assert "1 of 1 dead letter skipped: not found" in run(config, "dead-letters", "replay", "999").output


def test_a_long_answer_of_a_sink_is_cut_in_the_list_only(tmp_path: Path, config: Path) -> None:
    answer = "no number " * 30_000

    async def add() -> None:
        async with opened(tmp_path / "store.db", sinks=()) as store:
            await attach(store, {"archive": "oldest"})
            await settle(store, "archive", Settlement(3, dead=[Rejection(3, RejectReason.MAPPING, answer)]))

    asyncio.run(add())
    shown = run(config, "dead-letters", "list", "--sink", "archive").output
    assert "(300,000 characters)" in shown
    assert len(shown) < 5_000
    assert answer in {letter["detail"] for letter in letters(config, "archive")}


def test_a_dead_letter_is_printed_as_json_whatever_characters_it_contains(config: Path) -> None:
    text = '{"a": "soft\xadhyphen \x7f \x85 \u202e \U000e0041"}'

    async def add() -> None:
        async with opened(config.with_name("store.db"), sinks=()) as store:
            await store.append(Batch([], [malformed_event(text.encode())]), timeout=5)

    asyncio.run(add())
    newest = letters(config, "receiver")[0]["id"]
    assert json.loads(run(config, "dead-letters", "show", newest).output)["body"] == text
