"""Counts the calls of one org's API. Also records, from the responses, how much of the rate limit is left, and how far
our clock differs from Okta's."""

from collections.abc import Mapping

from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, from_http_date
from forwarder.metrics import Metrics


class ApiMetrics:
    """The metrics of one org's API."""

    def __init__(self, metrics: Metrics, org: str, clock: Clock) -> None:
        self._metrics = metrics
        self._org = org
        self._clock = clock

    def record(self, method: str, family: str, status: int | None, headers: Mapping[str, str]) -> None:
        """Count a finished call; `status` is None if there was no response.

        `family` is the common path prefix of the endpoints that share a rate limit. Names in `headers` must be in lower
        case, unless the mapping ignores case.
        """
        code = "none" if status is None else str(status)
        operation = f"{method} {family}"
        self._metrics.okta_requests.labels(self._org, operation, code).inc()
        # This creates the series of status 403 with the value 0 at the first call: Prometheus sees no increase in a
        # series that begins with 1.
        self._metrics.okta_requests.labels(self._org, operation, "403")
        if (sent := from_http_date(headers.get("date", ""))) is not None:
            # Okta truncates its time to whole seconds, so the real time is half a second later on average.
            offset = (self._clock.now() - sent) / SECOND - 0.5
            self._metrics.clock_offset.labels(self._org).set(offset)
        limit, left = (headers.get(f"x-rate-limit-{name}", "") for name in ("limit", "remaining"))
        if all(text.isdecimal() and len(text) < 10 for text in (limit, left)) and int(limit):
            ratio = int(left) / int(limit)
            self._metrics.okta_rate_limit_remaining.labels(self._org, family).set(ratio)
