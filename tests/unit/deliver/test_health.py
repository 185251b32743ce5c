"""When a failing sink is tried again, and what the log says."""

import pytest
import structlog

from forwarder.core.backoff import Backoff
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.deliver.health import Health, SinkState
from forwarder.metrics import Metrics
from tests.fakes.clock import ManualClock

BUSY = BatchResult(reason=RetryReason.SERVER, detail="busy")
LOCKED = BatchResult(reason=RetryReason.FORBIDDEN, detail="index is read-only", pause=True)


def health(clock: ManualClock) -> Health:
    return Health("siem", Backoff(1.0, 8.0), clock, lambda: 0.5, Metrics().sink_up.labels("siem"))


def test_a_sink_that_was_never_tried_works() -> None:
    new = health(ManualClock())
    assert (new.failing, new.may_try, new.state, new.seconds_to_next_try) == (False, True, SinkState.RUNNING, None)


def test_the_wait_doubles_up_to_the_cap() -> None:
    clock = ManualClock()
    failing = health(clock)
    waits = []
    with structlog.testing.capture_logs():
        for _ in range(6):
            failing.failed(BUSY)
            waits.append(failing.resume_at)
    assert waits == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def test_a_paused_sink_has_a_slow_backoff_of_its_own() -> None:
    failing = health(ManualClock())
    waits = []
    with structlog.testing.capture_logs():
        for _ in range(4):
            failing.failed(LOCKED)
            waits.append(failing.resume_at)
    assert waits == [2.5, 5.0, 7.5, 7.5]


async def test_it_may_be_tried_when_its_time_has_come() -> None:
    clock = ManualClock()
    failing = health(clock)
    with structlog.testing.capture_logs():
        failing.failed(BatchResult(reason=RetryReason.THROTTLED, detail="slow", wait=10.0))
    assert (failing.may_try, failing.seconds_to_next_try) == (False, 10.5)
    await clock.advance(10.5)
    assert failing.may_try


def test_a_pause_is_logged_at_once_after_other_failures() -> None:
    failing = health(ManualClock())
    with structlog.testing.capture_logs() as lines:
        for failure in (BUSY, BUSY, LOCKED, LOCKED, BUSY):
            failing.failed(failure)
    assert [(line["log_level"], line["action"]) for line in lines] == [
        ("warning", "sink_failing"),
        ("error", "sink_paused"),
    ]
    assert lines[1]["detail"] == "index is read-only"


async def test_a_new_failure_after_a_recovery_is_logged_again() -> None:
    clock = ManualClock()
    failing = health(clock)
    with structlog.testing.capture_logs() as lines:
        failing.failed(BUSY)
        await clock.advance(3)
        failing.recovered(delivered=True)
        failing.failed(BUSY)
    assert [line["action"] for line in lines] == ["sink_failing", "sink_recovered", "sink_failing"]
    assert lines[1]["after_seconds"] == 3.0
    assert failing.last_success == clock.now()


async def test_a_sink_that_fails_and_recovers_without_end_writes_few_lines_and_the_last_says_that_it_works() -> None:
    clock = ManualClock()
    flapping = health(clock)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3000):
            flapping.failed(BUSY)
            await clock.advance(0.1)
            flapping.recovered(delivered=True)
            await clock.advance(0.1)
        assert len(lines) < 30
        assert sum(line.get("suppressed", 0) for line in lines) > 1000
        await clock.advance(300)
        for _ in range(2):
            flapping.recovered(delivered=True)
    assert (lines[-1]["action"], lines[-1]["attempts"]) == ("sink_recovered", 1)
    assert [line["action"] for line in lines].count("sink_recovered") <= 15


def test_a_sink_that_only_rejects_works_without_a_success() -> None:
    working = health(ManualClock())
    with structlog.testing.capture_logs():
        working.failed(BUSY)
        working.recovered(delivered=False)
    assert (working.failing, working.last_success) == (False, None)


async def test_rejected_events_are_logged_in_one_line_every_five_minutes_with_their_number() -> None:
    clock = ManualClock()
    working = health(clock)
    with structlog.testing.capture_logs() as lines:
        for _ in range(4):
            working.rejected(2, "no date")
            await clock.advance(150)
        working.rejected(0, "")
    assert [(line["action"], line["events"]) for line in lines] == [
        ("events_dead_lettered", 2),
        ("events_dead_lettered", 4),
    ]


def test_the_detail_of_a_failure_is_short_in_the_log() -> None:
    with structlog.testing.capture_logs() as lines:
        health(ManualClock()).failed(BatchResult(reason=RetryReason.SERVER, detail="x" * 5_000))
    assert len(lines[0]["detail"]) == 300


@pytest.mark.long
@pytest.mark.parametrize("pause", [True, False])
def test_the_line_about_a_failure_has_the_hint_of_the_status_page(*, pause: bool) -> None:
    for reason in RetryReason:
        failing = health(ManualClock())
        with structlog.testing.capture_logs() as lines:
            failing.failed(BatchResult(reason=reason, detail="text", pause=pause))
        assert lines[0]["hint"] == failing.hint != ""


@pytest.mark.parametrize("reason", [RetryReason.THROTTLED, RetryReason.SERVER])
def test_a_busy_server_is_no_reason_to_check_the_address_of_the_sink(reason: RetryReason) -> None:
    busy = health(ManualClock())
    with structlog.testing.capture_logs():
        busy.failed(BatchResult(reason=reason, detail="text"))
    assert "address" not in busy.hint


def test_a_warning_of_a_sink_that_works_is_logged_once_and_goes_when_it_is_over() -> None:
    warned = health(ManualClock())
    with structlog.testing.capture_logs() as lines:
        for text in ("run setup", "run setup", "", "", "run setup"):
            warned.warned(text)
    assert [(line["event"], line["log_level"], line["sink"]) for line in lines] == [
        ("run setup", "warning", "siem")
    ] * 2
    assert (warned.warning, warned.state) == ("run setup", SinkState.RUNNING)
    warned.warned("")
    assert warned.warning == ""
