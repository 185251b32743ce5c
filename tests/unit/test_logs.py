"""The form of log lines, and the limit on those that a client can cause."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from forwarder import logs
from forwarder.logs import RateLimitedLogger
from tests.fakes.clock import ManualClock


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers, logging.root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logging_as_it_was")
def test_a_line_is_a_json_object_with_its_text_its_logger_and_its_action(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.setup(json=True)
    logs.get("receive").warning("the secret is wrong", action="secret_refused", org="acme")
    logging.getLogger("library").error("it %s", "failed")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    del ours["timestamp"], theirs["timestamp"]
    assert ours == {
        "message": "the secret is wrong",
        "level": "warning",
        "logger": "receive",
        "action": "secret_refused",
        "org": "acme",
    }
    assert theirs == {"message": "it failed", "level": "error", "logger": "library"}


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
    assert [(line["log_level"], line["suppressed"]) for line in lines] == [
        ("warning", 0),
        ("error", 0),
        ("warning", 2),
    ]
    assert {line["action"] for line in lines} == {"a"}
