"""Log lines that a client can cause."""

import structlog

from forwarder import logs
from forwarder.logs import RateLimitedLogger
from tests.fakes.clock import ManualClock


async def test_one_line_of_a_kind_in_a_while_and_it_tells_how_many_were_left_out() -> None:
    clock = ManualClock()
    with structlog.testing.capture_logs() as lines:
        quiet = RateLimitedLogger(logs.get("receive"), clock)
        for _ in range(3):
            quiet.warning("words", "x", action="a", field=1)
            quiet.error("words", "y", action="a")
        await clock.advance(10.0)
        quiet.warning("words", "x", action="a", field=1)
        quiet.warning("words", "x", action="a", field=1)
    assert [(line["log_level"], line["suppressed"]) for line in lines] == [
        ("warning", 0),
        ("error", 0),
        ("warning", 2),
    ]
    assert {line["action"] for line in lines} == {"a"}
