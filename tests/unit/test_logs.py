"""The form of log lines, and the limit on those that a client can cause."""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version

import pytest
import structlog

from forwarder import logs
from forwarder.logs import RateLimitedLogger
from tests.fakes.clock import ManualClock
from tools.make_log_page import PAGE, page


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers, logging.root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logging_as_it_was")
def test_a_line_is_a_json_object_in_the_fields_of_ecs(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup(json=True)
    before = logs.lines_written.copy()
    logs.get("receive").warning("the secret is wrong", action="secret_refused", org="acme", attempts=3)
    logging.getLogger("library").error("it %s", "failed")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert ours.pop("@timestamp").endswith("Z")
    del theirs["@timestamp"]
    same = {
        "ecs.version": logs.ECS_VERSION,
        "service": {"name": "okta-forwarder", "version": version("okta-forwarder")},
    }
    assert ours == same | {
        "message": "the secret is wrong",
        "log.level": "warning",
        "log": {"logger": "receive"},
        "event": {"action": "secret_refused", "dataset": "okta_forwarder.log"},
        "labels": {"org": "acme"},
        "okta_forwarder": {"attempts": 3},
    }
    assert theirs == same | {
        "message": "it failed",
        "log.level": "error",
        "log": {"logger": "library"},
        "event": {"dataset": "okta_forwarder.log"},
    }
    written = {level: count - before[level] for level, count in logs.lines_written.items()}
    assert written == {"debug": 0, "info": 0, "warning": 1, "error": 1, "critical": 0}


@pytest.mark.long
@pytest.mark.usefixtures("_logging_as_it_was")
def test_a_reader_that_hangs_holds_up_nothing_and_learns_how_many_lines_it_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logs.setup(json=True)
        started = time.monotonic()
        for number in range(1_000):
            logs.get("receive").warning("x" * 5_000, action="secret_refused", number=number)
        assert time.monotonic() - started < 5
        os.set_blocking(read, False)
        while reader.read():
            pass
        os.set_blocking(read, True)
        logs.get("receive").warning("again", action="secret_refused")
        stderr.close()
        lines = filter(None, reader.read().splitlines())  # an empty one ends a line that was cut
    said, again = (json.loads(line) for line in lines)
    assert said["event"]["action"] == "lines_dropped"
    assert 900 < said["okta_forwarder"]["lines"] < 1_000
    assert again["message"] == "again"


@pytest.mark.long
@pytest.mark.usefixtures("_logging_as_it_was")
def test_a_terminal_that_is_stopped_holds_up_nothing_and_shows_how_many_lines_it_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    controller, terminal = os.openpty()
    with os.fdopen(controller, "r+b", buffering=0) as screen, os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logs.setup(json=True)
        screen.write(b"\x13")  # Ctrl-S
        started = time.monotonic()
        for _ in range(100):
            logs.get("receive").warning("lost", action="secret_refused")
        assert time.monotonic() - started < 5
        screen.write(b"\x11")  # Ctrl-Q
        logs.get("receive").warning("again", action="secret_refused")
        shown = b""
        while shown.count(b"\n") < 2:
            shown += screen.read(10_000)
    said, again = map(json.loads, shown.splitlines())
    assert (said["event"]["action"], said["okta_forwarder"]["lines"]) == ("lines_dropped", 100)
    assert again["message"] == "again"


@pytest.mark.usefixtures("_logging_as_it_was")
def test_a_reader_that_is_gone_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        logs.setup(json=True)
        logs.get("receive").warning("nobody reads this", action="secret_refused")


@pytest.mark.usefixtures("_logging_as_it_was")
def test_an_error_and_its_traceback_stand_where_ecs_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup(json=True)
    try:
        int("odd")
    except ValueError as error:
        logs.get("app").error("it failed", action="reload_failed", error=str(error), exc_info=error)
    line = json.loads(capsys.readouterr().err)
    assert "invalid literal" in line["error"]["message"]
    assert "ValueError: invalid literal" in line["error"]["stack_trace"]


@pytest.mark.usefixtures("_logging_as_it_was")
def test_on_a_terminal_a_line_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup(json=False)
    logs.get("receive").warning("the secret is wrong", action="secret_refused")
    assert "the secret is wrong" in capsys.readouterr().err


async def test_one_line_of_a_key_per_interval_with_the_number_of_suppressed_ones() -> None:
    clock = ManualClock()
    with structlog.testing.capture_logs() as lines:
        limited = RateLimitedLogger(logs.get("receive"), clock)
        for _ in range(3):
            limited.warning("words", "x", action="a", field=1)
            limited.error("words", "y", action="a")
        await clock.advance(10.0)
        limited.warning("words", "x", action="a", field=1)
        limited.warning("words", "x", action="a", field=1)
    assert [(line["log_level"], line["suppressed"]) for line in lines] == [("warning", 0), ("error", 0), ("warning", 2)]
    assert {line["action"] for line in lines} == {"a"}


@pytest.mark.long
def test_the_page_of_the_log_lines_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tools.make_log_page"


@pytest.mark.long
def test_every_action_of_the_code_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    sources = "".join(file.read_text(encoding="utf-8") for file in (PAGE.parent.parent / "forwarder").rglob("*.py"))
    actions = set(re.findall(r'\baction="([a-z_]+)"', sources)) - {"ignore"}  # of a warnings filter
    assert len(actions) > 50
    assert [action for action in actions if f"`{action}`" not in text] == []
