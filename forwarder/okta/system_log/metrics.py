"""What the reader of a System Log counts; every series but the single event types exists at 0 from the start."""

from collections import Counter

from forwarder.core.event import Source
from forwarder.core.ports import Appended
from forwarder.metrics import Metrics, event_type_label

_VIA = Source.LOG.value


class LogCounts:
    """The series of one org."""

    def __init__(self, metrics: Metrics, org: str) -> None:
        self._received = metrics.events_received
        self._org = org
        self._received.labels(org, _VIA, "other")
        self._duplicates = metrics.events_duplicate.labels(org, _VIA)
        self._rejected = metrics.events_rejected.labels(org)
        self._receive_lag = metrics.receive_lag.labels(org, _VIA)
        self._missed = metrics.events_missed.labels(org)
        self.lag = metrics.reconcile_lag.labels(org)

    def appended(self, appended: Appended, malformed: int) -> None:
        """Count what one page brought."""
        types = Counter(event_type_label(event.event_type) for event in appended.stored)
        for label, count in types.items():
            self._received.labels(self._org, _VIA, label).inc(count)
        for event in appended.stored:
            # Two clocks are compared, so never below 0.
            self._receive_lag.observe(max(0, event.received_at - event.published) / 1_000_000)
        self._duplicates.inc(appended.duplicates or 0)
        self._rejected.inc(malformed)

    def missed(self, count: int) -> None:
        """Count events that the hook never brought."""
        self._missed.inc(count)
