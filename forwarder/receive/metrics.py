"""The receiver's metrics."""

from forwarder.core.event import Source
from forwarder.metrics import Metrics, StoredEventMetrics
from forwarder.receive.auth import AuthFailure

CODES = (200, 400, 401, 404, 405, 413, 415, 503)
"""Every status that the receiver answers."""


class ReceiveMetrics:
    """The series of one org, or of the empty name for requests that belong to no known org.

    Attributes:
        requests: answers by status.
        auth_failures: requests without a valid secret.
        challenges: verification GETs, by outcome.
        ack: seconds from the first byte of a POST to its answer; like `stored`, not for the empty name.
    """

    def __init__(self, metrics: Metrics, org: str) -> None:
        self.requests = {code: metrics.hook_requests.labels(org, str(code)) for code in CODES}
        self.auth_failures = {why: metrics.auth_failures.labels(org, why.value) for why in AuthFailure}
        outcomes = ("verified", "unauthorized", "malformed")
        self.challenges = {outcome: metrics.challenges.labels(org, outcome) for outcome in outcomes}
        if org:
            self.ack = metrics.ack_duration.labels(org)
            self.stored = StoredEventMetrics(metrics, org, Source.HOOK)
