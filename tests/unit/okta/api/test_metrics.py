"""The metrics of the calls of Okta's API."""

from collections.abc import Mapping

import pytest

from forwarder.metrics import Metrics
from forwarder.okta.api.metrics import ApiMetrics
from tests.fakes.clock import ManualClock

FAMILY = "/api/v1/logs"
DATE = "Thu, 01 Jan 1970 00:00:10 GMT"


def recorded(status: int | None, headers: Mapping[str, str], *, now: float = 10.5) -> Metrics:
    metrics = Metrics()
    ApiMetrics(metrics, "acme", ManualClock(now=int(now * 1_000_000))).record("GET", FAMILY, status, headers)
    return metrics


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"forwarder_{name}", {"org": "acme", **labels})


@pytest.mark.parametrize(("status", "code"), [(200, "200"), (401, "401"), (None, "none")])
def test_a_call_is_counted_by_endpoint_and_status(status: int | None, code: str) -> None:
    metrics = recorded(status, {})
    assert sample(metrics, "okta_requests_total", operation=f"GET {FAMILY}", code=code) == 1


def test_a_refusal_can_be_seen_as_an_increase_from_the_first_call_on() -> None:
    metrics = recorded(200, {})
    assert sample(metrics, "okta_requests_total", operation=f"GET {FAMILY}", code="403") == 0


@pytest.mark.parametrize(("now", "offset"), [(10.5, 0.0), (70.5, 60.0), (0.5, -10.0)])
def test_the_clock_is_compared_with_that_of_okta(now: float, offset: float) -> None:
    assert sample(recorded(200, {"date": DATE}, now=now), "clock_offset_seconds") == pytest.approx(offset)


def test_what_is_left_of_a_rate_limit_is_a_ratio() -> None:
    metrics = recorded(200, {"x-rate-limit-limit": "120", "x-rate-limit-remaining": "30"})
    assert sample(metrics, "okta_rate_limit_remaining_ratio", bucket=FAMILY) == 0.25


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"date": "yesterday", "x-rate-limit-limit": "0", "x-rate-limit-remaining": "0"},
        {"date": "", "x-rate-limit-limit": "-1", "x-rate-limit-remaining": "many"},
        {"x-rate-limit-limit": "9" * 5000, "x-rate-limit-remaining": "9" * 5000},
    ],
)
def test_odd_headers_set_no_gauge(headers: Mapping[str, str]) -> None:
    metrics = recorded(200, headers)
    assert sample(metrics, "clock_offset_seconds") is None
    assert sample(metrics, "okta_rate_limit_remaining_ratio", bucket=FAMILY) is None
