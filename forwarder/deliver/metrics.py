"""The metrics of one sink's delivery."""

from collections.abc import Iterable

from forwarder.core.outcome import RejectReason, RetryReason
from forwarder.core.ports import Settlement
from forwarder.core.time import Micros, seconds_between
from forwarder.deliver.batching import Pending
from forwarder.metrics import Metrics


class DeliveryMetrics:
    """The metrics of one worker. Every series exists from the start, at 0, so that a rate includes its first increase.

    Delivered events and dead letters are counted when they are settled, so that the counters agree with the ledger.
    """

    def __init__(self, sink: str, metrics: Metrics) -> None:
        self.up = metrics.sink_up.labels(sink)
        self._delivered = metrics.events_delivered.labels(sink)
        self._dead = {why: metrics.events_dead_lettered.labels(sink, why.value) for why in RejectReason}
        self._retries = {why: metrics.delivery_retries.labels(sink, why.value) for why in RetryReason}
        self._set_aside = metrics.sink_set_aside.labels(sink)
        self._lag = metrics.delivery_lag.labels(sink)
        self._batch_events = metrics.batch_events.labels(sink)
        self._batch_duration = metrics.batch_duration.labels(sink)

    def sent(self, events: int, seconds: float) -> None:
        """Record a batch that was answered or cancelled after `seconds`. `events` is the number of its events."""
        self._batch_events.observe(events)
        self._batch_duration.observe(seconds)

    def delivered(self, events: Iterable[Pending], now: Micros) -> None:
        """Record the lag of `events`, which were delivered at `now`. Leave out replays, which an operator has delayed."""
        for pending in events:
            if not pending.replay:
                self._lag.observe(seconds_between(pending.stored.event.published, now) or 0.0)

    def retried(self, reason: RetryReason) -> None:
        """Count a request after which at least one event must be sent again for `reason`."""
        self._retries[reason].inc()

    def set_aside(self, events: int) -> None:
        """Set the gauge of the number of events that fail again and again while the sink accepts other events."""
        self._set_aside.set(events)

    def settled(self, settlement: Settlement) -> None:
        """Count the events of `settlement`, which the store has committed."""
        self._delivered.inc(settlement.delivered - settlement.unattributed + len(settlement.replayed))
        self._dead[RejectReason.PARTIAL_SUCCESS].inc(settlement.unattributed)
        for rejection in (*settlement.dead, *settlement.dead_again):
            self._dead[rejection.reason].inc()
