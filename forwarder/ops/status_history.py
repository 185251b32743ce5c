"""Keeps samples of the status of the last hour, for the trend lines of the status page."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from forwarder import logs
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND
from forwarder.ops.ports import StatusSource

INTERVAL = 30.0
SAMPLES = 120

_logger = logs.get("ops")


class History:
    """The last 120 samples of the status.

    `run` takes a sample every 30 s, even if no browser shows the status page, so that a newly opened page shows the
    last hour. A sample takes as much CPU time as a scrape of the metrics.
    """

    def __init__(self, status: StatusSource, clock: Clock) -> None:
        self._status = status
        self._clock = clock
        self._samples: deque[dict[str, Any]] = deque(maxlen=SAMPLES)

    async def run(self) -> None:
        """Take a sample every 30 s until this task is cancelled."""
        while True:
            try:
                self.add(await self._status.gather())
            except Exception:  # one failed sample must not prevent the later ones
                _logger.exception(
                    "the status page could not record the current status. This is a bug: please report it",
                    action="ops_failed",
                )
            await self._clock.sleep(INTERVAL)

    def add(self, status: Mapping[str, Any]) -> None:
        """Add a sample with the numbers in `status` that the status page draws as trend lines."""
        sinks = {
            name: {
                "delivered": sink["delivered"],
                "waiting": sink["waiting"],
                "lag": round(sink["oldest_waiting_seconds"], 1),
            }
            for name, sink in status.get("sinks", {}).items()
        }
        at = self._clock.now() / SECOND
        self._samples.append({"at": round(at, 3), "stored": status.get("stored", 0), "sinks": sinks})

    def as_json(self) -> dict[str, Any]:
        """Return the samples, oldest first, and the number of seconds between two samples, as a JSON object."""
        return {"interval_seconds": INTERVAL, "samples": list(self._samples)}
