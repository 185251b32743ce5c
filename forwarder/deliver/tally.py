"""The metrics of one sink's delivery; one call for each fact."""

from collections.abc import Sequence

from forwarder.core.outcome import RejectReason, RetryReason
from forwarder.core.ports import Settlement
from forwarder.core.time import Micros
from forwarder.deliver.batching import Pending
from forwarder.metrics import Metrics

_SECOND = 1_000_000


class Tally:
    """Counts what a worker does. Every series exists from the start, so that a rate begins at 0.

    Delivered and dead-lettered events are counted once they are settled, so that the counters agree with the ledger.
    """

    def __init__(self, sink: str, metrics: Metrics) -> None:
        self._delivered = metrics.events_delivered.labels(sink)
        self._dead = {
            reason: metrics.events_dead_lettered.labels(sink, reason.value) for reason in RejectReason
        }
        self._retries = {
            reason: metrics.delivery_retries.labels(sink, reason.value) for reason in RetryReason
        }
        self._lag = metrics.delivery_lag.labels(sink)
        self._batch_events = metrics.batch_events.labels(sink)
        self._batch_duration = metrics.batch_duration.labels(sink)

    def sent(self, events: int, seconds: float) -> None:
        """A batch was answered, or given up, after `seconds`."""
        self._batch_events.observe(events)
        self._batch_duration.observe(seconds)

    def delivered(self, events: Sequence[Pending], now: Micros) -> None:
        """The sink took `events`. Replays are left out: their age says nothing about the pipe."""
        for pending in events:
            if not pending.replay:
                self._lag.observe(max(0, now - pending.stored.event.published) / _SECOND)

    def retried(self, reason: RetryReason) -> None:
        """A try must be repeated, whole or in part."""
        self._retries[reason].inc()

    def settled(self, settlement: Settlement) -> None:
        """The store has committed `settlement`."""
        self._delivered.inc(settlement.delivered - settlement.unattributed + len(settlement.replayed))
        self._dead[RejectReason.PARTIAL_SUCCESS].inc(settlement.unattributed)
        for rejection in (*settlement.dead, *settlement.dead_again):
            self._dead[rejection.reason].inc()
