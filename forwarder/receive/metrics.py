"""The receiver's metrics. Labels are looked up once: in each POST they would cost 7 of its 100 µs."""

from functools import cache, partial

from forwarder.cooperative import Cooperative
from forwarder.core.event import Source
from forwarder.core.ports import Appended
from forwarder.core.time import seconds_between
from forwarder.metrics import Metrics, event_type_label
from forwarder.receive.auth import AuthFailure

CODES = (200, 400, 401, 404, 405, 413, 415, 503)
"""Every status that the receiver answers."""


class ReceiveMetrics:
    """The series of one org, or of the empty name for requests that belong to no known org.

    All but the single event types are created at once, so that they exist at 0.

    Attributes:
        requests: answers by status.
        auth_failures: requests without a valid secret.
        challenges: verification GETs, by outcome.
        ack: seconds from the first byte of a POST to its answer; not for the empty name.
    """

    def __init__(self, metrics: Metrics, org: str) -> None:
        self.requests = {code: metrics.hook_requests.labels(org, str(code)) for code in CODES}
        self.auth_failures = {why: metrics.auth_failures.labels(org, why.value) for why in AuthFailure}
        outcomes = ("verified", "unauthorized", "malformed")
        self.challenges = {outcome: metrics.challenges.labels(org, outcome) for outcome in outcomes}
        if org:
            self._duplicates = metrics.events_duplicate.labels(org, Source.HOOK.value)
            self._malformed = metrics.events_rejected.labels(org)
            self.ack = metrics.ack_duration.labels(org)
            self._lag = metrics.receive_lag.labels(org, Source.HOOK.value)
            self._type = cache(partial(metrics.events_received.labels, org, Source.HOOK.value))
            self._type("other")

    async def count_appended(self, appended: Appended, malformed: int) -> None:
        """Count what the store committed of one POST, and observe how old its new events are."""
        if appended.duplicates:
            self._duplicates.inc(appended.duplicates)
        if malformed:
            self._malformed.inc(malformed)
        cooperative = Cooperative()
        for event in appended.stored:
            self._type(event_type_label(event.event_type)).inc()
            self._lag.observe(seconds_between(event.published, event.received_at) or 0.0)
            await cooperative.yield_if_due()
