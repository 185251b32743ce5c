"""Our histogram shows what prometheus_client's own shows for the same values."""

import prometheus_client
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from forwarder.histogram import Histogram

BOUNDS = (0.5, 1, 2.5, 1e6)


@pytest.mark.long
@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(min_value=0, max_value=1e9) | st.sampled_from(BOUNDS))))
@example([("a", 1.0), ("a", 1e7), ("b", 0.0)])
def test_every_value_is_in_the_bucket_where_prometheus_client_has_it(values: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("lag", "Lag.", ("sink",), BOUNDS, ours)
    expected = prometheus_client.Histogram("lag", "Lag.", ["sink"], buckets=BOUNDS, registry=theirs)
    for label in "ab":
        histogram.labels(label)
        expected.labels(label)
    for label, value in values:
        histogram.labels(label).observe(value)
        expected.labels(label).observe(value)
    assert _lines(generate_latest(ours)) == _lines(generate_latest(theirs))
    assert _lines(generate_openmetrics(ours)) == _lines(generate_openmetrics(theirs))  # type: ignore[no-untyped-call]


def test_without_labels_it_has_one_series_from_the_start() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("commit", "A commit.", (), BOUNDS, registry)
    assert registry.get_sample_value("commit_count") == 0
    with histogram.labels().time():
        pass
    assert registry.get_sample_value("commit_bucket", {"le": "0.5"}) == 1
    assert registry.get_sample_value("commit_bucket", {"le": "+Inf"}) == 1


def _lines(text: bytes) -> list[str]:
    """The lines without the times at which the series were created."""
    return [line for line in text.decode().splitlines() if "_created" not in line]
