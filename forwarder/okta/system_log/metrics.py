"""Metrics of reading one org's System Log; every series except the single event types starts at 0."""

from collections import Counter

from forwarder.core.event import Source
from forwarder.core.ports import Appended
from forwarder.core.time import seconds_between
from forwarder.metrics import Metrics, event_type_label

_VIA = Source.LOG.value


class SystemLogMetrics:
    """The series of one org, for polling and for backfills."""

    def __init__(self, metrics: Metrics, org: str) -> None:
        self._received = metrics.events_received
        self._org = org
        self._received.labels(org, _VIA, "other")
        self._duplicates = metrics.events_duplicate.labels(org, _VIA)
        self._rejected = metrics.events_rejected.labels(org)
        self._receive_lag = metrics.receive_lag.labels(org, _VIA)
        self._missed = metrics.events_missed.labels(org)
        self.lag = metrics.reconcile_lag.labels(org)

    def count_page(self, appended: Appended, malformed: int, *, backfill: bool = False) -> None:
        """Count one stored page. The receive lag of a backfill says nothing, so it is left out."""
        types = Counter(event_type_label(event.event_type) for event in appended.stored)
        for label, count in types.items():
            self._received.labels(self._org, _VIA, label).inc(count)
        for event in () if backfill else appended.stored:
            self._receive_lag.observe(seconds_between(event.published, event.received_at) or 0.0)
        self._duplicates.inc(appended.duplicates or 0)
        self._rejected.inc(malformed)

    def count_missed(self, count: int) -> None:
        """Count events that the hook failed to deliver."""
        self._missed.inc(count)
