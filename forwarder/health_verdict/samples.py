"""Keeps samples of the metrics for some hours.

Some problems do not show in the current status, but only in how much a metric increased over a period.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from forwarder.metrics import Metrics

Key = tuple[str, ...]
"""The name of a metric, then the values of its labels, in the order of `_METRICS`."""

KEPT = 7 * 3600.0
"""The number of seconds for which samples are kept. The longest range of an alert is 6 hours, and its `for` 30
minutes."""

_INTERVAL = 15.0  # seconds between two samples
_FINE, _COARSE_INTERVAL = 5400.0, 300.0
"""Of the samples older than `_FINE` seconds, only one for each `_COARSE_INTERVAL` seconds is kept, to save memory."""

_METRICS: dict[str, Key] = {
    "hook_requests": ("org", "code"),
    "auth_failures": ("org",),
    "unknown_path_requests": ("sender",),
    "ack_duration": ("org", "le"),
    "events_received": ("org", "via"),
    "events_missed": ("org",),
    "hook_quota_warnings": ("org",),
    "okta_requests": ("org", "operation", "code"),
    "clock_offset": ("org",),
    "delivery_lag": ("sink", "le"),
    "reactions": ("action", "outcome"),
    "reactions_refused": ("reason",),
}
"""The attributes of `Metrics` that are read, each with the labels to keep. Values that differ only in other labels are
added up."""


class _Sample(NamedTuple):
    at: float
    values: Mapping[Key, float]


class Samples:
    """Samples of the metrics, the oldest first. Times are in seconds, and count back from the newest sample.

    A counter is 0 when the process starts. So `increase` uses the value 0 for every time before the first sample, and
    for every time before the counter's series exists.
    """

    def __init__(self) -> None:
        self._samples: list[_Sample] = []

    def is_due(self, now: float) -> bool:
        """Whether it is time to add another sample. `now` is a monotonic time in seconds."""
        return not self._samples or now - self._samples[-1].at >= _INTERVAL

    def add(self, now: float, values: Mapping[Key, float]) -> None:
        """Add a sample, and drop the samples that are no longer needed. `now` is a monotonic time in seconds."""
        kept: list[_Sample] = []
        for sample in [*self._samples, _Sample(now, values)]:
            is_extra = kept and sample.at - kept[-1].at < _COARSE_INTERVAL and now - sample.at > _FINE
            if now - sample.at <= KEPT and not is_extra:
                kept.append(sample)
        self._samples = kept

    def labels(self, name: str) -> list[Key]:
        """Return the label values of each series of the metric `name` in the newest sample."""
        return [key[1:] for key in self._samples[-1].values if key[0] == name] if self._samples else []

    def value(self, key: Key, ago: float = 0.0) -> float | None:
        """Return the value of the series `key`, `ago` seconds ago; None if no sample is so old, or the series did not
        exist then."""
        if not self._samples:
            return None
        found = bisect_right(self._samples, self._samples[-1].at - ago, key=lambda sample: sample.at)
        return self._samples[found - 1].values.get(key) if found else None

    def increase(self, key: Key, seconds: float, ended: float = 0.0) -> float:
        """Return by how much the counter `key` increased within a period of `seconds`, which ended `ended` seconds
        ago."""
        return (self.value(key, ended) or 0.0) - (self.value(key, ended + seconds) or 0.0)

    def points(self, key: Key, seconds: float, ended: float = 0.0) -> list[tuple[float, float]]:
        """Return (time, value) of each sample within a period of `seconds`, which ended `ended` seconds ago.

        The times are in seconds relative to the newest sample: zero or negative.
        """
        newest = self._samples[-1].at if self._samples else 0.0
        return [
            (sample.at - newest, sample.values[key])
            for sample in self._samples
            if ended <= newest - sample.at <= ended + seconds and key in sample.values
        ]


def read_values(metrics: Metrics, status: Mapping[str, Any]) -> dict[Key, float]:
    """Return the values for a new sample. They come from `metrics` and from `status`, the result of `Status.gather`."""
    values: defaultdict[Key, float] = defaultdict(float)
    for name, labels in _METRICS.items():
        for family in getattr(metrics, name).collect():
            for each in family.samples:
                if each.name in (family.name, f"{family.name}_total", f"{family.name}_bucket"):
                    values[name, *(each.labels[label] for label in labels)] += each.value
    values["store_waiting_bytes",] = status["store_waiting_bytes"]
    values["reactions_waiting_retry",] = (status.get("reactions") or {}).get("waiting_retry", 0)
    return dict(values)
