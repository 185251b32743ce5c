"""The metrics about the delivery of events to one sink."""

from collections.abc import Iterable

from forwarder.core.outcome import RejectReason, RetryReason
from forwarder.core.ports import Settlement
from forwarder.core.time import Micros, seconds_between
from forwarder.deliver.batching import Pending
from forwarder.metrics import Metrics


class DeliveryMetrics:
    """The metrics of one worker. Every time series exists from the start with the value 0, so that a `rate` includes
    its first increase.

    Delivered events and dead letters are counted when the store commits them, so that the counters agree with the
    counts in the store.
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
        """Record a batch of `events` events, which the sink answered or which was cancelled after `seconds` seconds."""
        self._batch_events.observe(events)
        self._batch_duration.observe(seconds)

    def delivered(self, events: Iterable[Pending], now: Micros) -> None:
        """Record the delay of each of `events`, from its `published` to its delivery at `now`. Ignore replays, because
        a replay waited for an operator."""
        for pending in events:
            if not pending.replay:
                self._lag.observe(seconds_between(pending.stored.event.published, now) or 0.0)

    def retried(self, reason: RetryReason) -> None:
        """Count a request after which at least one event must be sent again for `reason`."""
        self._retries[reason].inc()

    def set_aside(self, events: int) -> None:
        """Set the gauge of events that fail again and again while the sink accepts other events. `events` is their
        number."""
        self._set_aside.set(events)

    def settled(self, settlement: Settlement) -> None:
        """Count the events of `settlement`, which the store has committed."""
        self._delivered.inc(settlement.delivered - settlement.unattributed + len(settlement.replayed))
        self._dead[RejectReason.PARTIAL_SUCCESS].inc(settlement.unattributed)
        for rejection in (*settlement.dead, *settlement.dead_again):
            self._dead[rejection.reason].inc()
