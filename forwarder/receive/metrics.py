"""The receiver's metrics. Labels are looked up once: in each POST they would cost 7 of its 100 µs."""

import prometheus_client

from forwarder.cooperative import Cooperative
from forwarder.core.event import Source
from forwarder.core.ports import Appended
from forwarder.core.time import SECOND
from forwarder.metrics import Metrics, event_type_label
from forwarder.receive.auth import AuthFailure

CODES = (200, 400, 401, 404, 405, 413, 415, 503)
"""Every status that the receiver answers."""

CHALLENGE_OUTCOMES = ("verified", "unauthorized", "malformed")


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
        self._metrics = metrics
        self._org = org
        self._types: dict[str, prometheus_client.Counter] = {}
        self.requests = {code: metrics.hook_requests.labels(org, str(code)) for code in CODES}
        self.auth_failures = {
            reason: metrics.auth_failures.labels(org, reason.value) for reason in AuthFailure
        }
        self.challenges = {name: metrics.challenges.labels(org, name) for name in CHALLENGE_OUTCOMES}
        if org:
            self._duplicates = metrics.events_duplicate.labels(org, Source.HOOK.value)
            self._malformed = metrics.events_rejected.labels(org)
            self.ack = metrics.ack_duration.labels(org)
            self._lag = metrics.receive_lag.labels(org, Source.HOOK.value)
            self._type("other")

    def _type(self, label: str) -> prometheus_client.Counter:
        child = self._types.get(label)
        if child is None:
            child = self._metrics.events_received.labels(self._org, Source.HOOK.value, label)
            self._types[label] = child
        return child

    async def count_appended(self, appended: Appended, malformed: int) -> None:
        """Count what the store committed of one POST, and observe how old its new events are.

        The age compares two clocks, so it is never below 0.
        """
        if appended.duplicates:
            self._duplicates.inc(appended.duplicates)
        if malformed:
            self._malformed.inc(malformed)
        cooperative = Cooperative()
        for event in appended.stored:
            self._type(event_type_label(event.event_type)).inc()
            self._lag.observe(max(0, event.received_at - event.published) / SECOND)
            await cooperative.yield_if_due()
