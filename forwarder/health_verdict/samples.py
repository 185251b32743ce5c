"""Keeps values of the metrics over the last hours. Some problems cannot be seen in the current status, only in how much a
metric increased over a period."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from forwarder.metrics import Metrics

Key = tuple[str, ...]
"""The name of a metric, and the values of its labels that count."""

KEPT = 7 * 3600.0
"""Seconds; the longest range of an alert is 6 hours, and its `for` 30 minutes."""

_INTERVAL = 15.0
_FINE, _COARSE_INTERVAL = 5400.0, 300.0
"""After `_FINE` seconds, only one sample for each `_COARSE_INTERVAL` is kept, to save memory."""

_METRICS: dict[str, Key] = {
    "hook_requests": ("org", "code"),
    "auth_failures": ("org", "reason"),
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
"""The attributes of `Metrics` that are read, with their labels. The values of all other labels are added up."""


class _Sample(NamedTuple):
    at: float
    values: Mapping[Key, float]


class Samples:
    """Samples of values, oldest first. All times are in seconds, and count back from the newest sample.

    A counter starts at 0 with the process, so before the first sample, and before its series exists, its value is 0.
    """

    def __init__(self) -> None:
        self._samples: list[_Sample] = []

    def is_due(self, now: float) -> bool:
        """Whether it is time for another sample. More would only take memory."""
        return not self._samples or now - self._samples[-1].at >= _INTERVAL

    def add(self, now: float, values: Mapping[Key, float]) -> None:
        """Add a sample, and drop those that are no longer needed. `now` is a monotonic time."""
        kept: list[_Sample] = []
        for sample in [*self._samples, _Sample(now, values)]:
            is_extra = kept and sample.at - kept[-1].at < _COARSE_INTERVAL and now - sample.at > _FINE
            if now - sample.at <= KEPT and not is_extra:
                kept.append(sample)
        self._samples = kept

    def labels(self, name: str) -> list[Key]:
        """Return the labels of each series of the metric `name` that exists now."""
        return [key[1:] for key in self._samples[-1].values if key[0] == name] if self._samples else []

    def value(self, key: Key, ago: float = 0.0) -> float | None:
        """Return the value `ago` seconds ago; None if no sample is so old, or the series did not exist then."""
        if not self._samples:
            return None
        found = bisect_right(self._samples, self._samples[-1].at - ago, key=lambda sample: sample.at)
        return self._samples[found - 1].values.get(key) if found else None

    def increase(self, key: Key, seconds: float, ended: float = 0.0) -> float:
        """Return by how much a counter increased within `seconds`, up to `ended` seconds ago."""
        return (self.value(key, ended) or 0.0) - (self.value(key, ended + seconds) or 0.0)

    def points(self, key: Key, seconds: float, ended: float = 0.0) -> list[tuple[float, float]]:
        """Return time and value of each sample within `seconds`, up to `ended` seconds ago; the times are negative."""
        newest = self._samples[-1].at if self._samples else 0.0
        return [
            (sample.at - newest, sample.values[key])
            for sample in self._samples
            if ended <= newest - sample.at <= ended + seconds and key in sample.values
        ]


def read_values(metrics: Metrics, status: Mapping[str, Any]) -> dict[Key, float]:
    """Return the values of a sample: values of `metrics`, and numbers of `status`, the result of `Status.gather`."""
    values: defaultdict[Key, float] = defaultdict(float)
    for name, labels in _METRICS.items():
        for family in getattr(metrics, name).collect():
            for each in family.samples:
                if each.name in (family.name, f"{family.name}_total", f"{family.name}_bucket"):
                    values[name, *(each.labels[label] for label in labels)] += each.value
    values["store_waiting_bytes",] = status["store_waiting_bytes"]
    values["reactions_waiting_retry",] = (status.get("reactions") or {}).get("waiting_retry", 0)
    return dict(values)
