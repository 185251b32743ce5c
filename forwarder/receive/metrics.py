"""What the door counts, with every label looked up once: a look-up costs four times as much as counting."""

from collections import Counter
from collections.abc import Iterable, Sequence

import prometheus_client

from forwarder.core.event import Event, Source
from forwarder.core.ports import Appended
from forwarder.metrics import Metrics, event_type_label
from forwarder.receive.auth import AuthFailure

CODES = (200, 400, 401, 404, 405, 413, 415, 503)
"""Every status that the door answers."""

CHALLENGES = ("verified", "unauthorized", "malformed")
"""What can become of a challenge."""


class OrgCounts:
    """The series of one org; of the empty name for requests that no org can be named for.

    All but the single event types are made at once, so that they exist at 0.
    """

    def __init__(self, metrics: Metrics, org: str) -> None:
        self._metrics = metrics
        self._org = org
        self._types: dict[str, prometheus_client.Counter] = {}
        self._requests = {code: metrics.hook_requests.labels(org, str(code)) for code in CODES}
        self._failures = {reason: metrics.auth_failures.labels(org, reason.value) for reason in AuthFailure}
        self._challenges = {outcome: metrics.challenges.labels(org, outcome) for outcome in CHALLENGES}
        if org:
            self._duplicates = metrics.events_duplicate.labels(org, Source.HOOK.value)
            self._rejected = metrics.events_rejected.labels(org)
            self._ack = metrics.ack_duration.labels(org)
            self._lag = metrics.receive_lag.labels(org, Source.HOOK.value)
            self._type("other")

    def _type(self, label: str) -> prometheus_client.Counter:
        child = self._types.get(label)
        if child is None:
            child = self._metrics.events_received.labels(self._org, Source.HOOK.value, label)
            self._types[label] = child
        return child

    def answered(self, status: int) -> None:
        self._requests[status].inc()

    def refused(self, reason: AuthFailure) -> None:
        self._failures[reason].inc()

    def challenged(self, outcome: str) -> None:
        self._challenges[outcome].inc()

    def acknowledged(self, seconds: float) -> None:
        self._ack.observe(seconds)

    def appended(self, appended: Appended, malformed: int) -> None:
        """Count what one POST brought, but for the lags."""
        stored = appended.stored
        if len(stored) == 1:
            self._type(event_type_label(stored[0].event_type)).inc()
        else:
            for label, count in Counter(event_type_label(event.event_type) for event in stored).items():
                self._type(label).inc(count)
        if appended.duplicates:
            self._duplicates.inc(appended.duplicates)
        if malformed:
            self._rejected.inc(malformed)

    def lags(self, events: Iterable[Event]) -> None:
        """Observe how long after they happened `events` came. Two clocks are compared, so never below 0."""
        for event in events:
            self._lag.observe(max(0, event.received_at - event.published) / 1_000_000)


def chunks(events: Sequence[Event], size: int) -> Iterable[Sequence[Event]]:
    """`events` in pieces of at most `size`."""
    return (events[at : at + size] for at in range(0, len(events), size))
