"""The line that says every hour that the forwarder is running."""

import asyncio
from typing import Any

import structlog

from forwarder.status import log_hourly
from tests.fakes.clock import ManualClock

STATUS: dict[str, Any] = {
    "uptime_seconds": 7200.4,
    "ready": True,
    "problems": [{"level": "warning", "text": "siem: is down", "hint": "wait"}],
    "stored": 12,
    "sinks": {"siem": {"waiting": 3, "dead": 1}},
}


async def gather() -> dict[str, Any]:
    return STATUS


async def test_each_hour_a_line_has_the_numbers_that_matter() -> None:
    clock = ManualClock()
    with structlog.testing.capture_logs() as lines:
        running = asyncio.create_task(log_hourly(gather, clock))
        await clock.asleep()
        await clock.advance(3599)
        assert lines == []
        await clock.advance(1)
        await clock.advance(3600)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert lines == 2 * [
        {
            "event": "the forwarder is running",
            "log_level": "info",
            "action": "heartbeat",
            "uptime_seconds": 7200,
            "ready": True,
            "problems": ["siem: is down"],
            "stored": 12,
            "waiting": {"siem": 3},
            "dead": {"siem": 1},
        }
    ]
