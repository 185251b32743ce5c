from typing import Any

from forwarder.ops.status_history import INTERVAL, SAMPLES, History
from tests.fakes.clock import ManualClock
from tests.unit.ops.test_listener import FakeStatus

SINK: dict[str, Any] = {"delivered": 5, "waiting": 2, "oldest_waiting_seconds": 1.24}


def test_it_keeps_the_samples_of_the_last_hour() -> None:
    history = History(FakeStatus(), ManualClock())
    for stored in range(SAMPLES + 5):
        history.add({"stored": stored, "sinks": {"siem": SINK}})
    samples = history.as_json()["samples"]
    assert len(samples) * INTERVAL == 3600
    assert samples[-1]["stored"] == SAMPLES + 4
    assert samples[-1]["sinks"] == {"siem": {"delivered": 5, "waiting": 2, "lag": 1.2}}
