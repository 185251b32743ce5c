"""The delivery state of one sink: the batches in flight, the retries, and which events are sent next. This module uses
no I/O.

The worker (`worker.py`) asks this state what to do, reads the log, sends the batches, and commits the results.

A failed request may have two causes: the sink fails, or one bad event makes each request with this event fail. To find
the cause, the worker follows these rules:

- After the first failure, the worker sends only probes (small batches), one at a time. Each probe is smaller than the
  previous probe, and contains different events.
- An event that was in two failed requests is a suspect: it may be the bad event. A batch with a suspect contains only
  suspects. Once the sink works, one batch of suspects may be in flight beside the other batches, so that suspects delay
  no other event. If a batch of suspects fails, it is halved.
- Each suspect has a limited number of tries alone (the setting `lone_tries`). A failed request uses one of these tries
  if the request contains only the suspect, and if the sink has accepted a batch since the suspect's previous failure.
  After the last try, the suspect becomes a dead letter. While the sink accepts nothing, a failure uses no try, because
  the sink may be its cause.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason, RetryReason
from forwarder.core.ports import Clock
from forwarder.deliver.batching import AdaptiveBatchSize, Pending, RetryQueue, accepts_new_events
from forwarder.deliver.health import Health, SinkState
from forwarder.deliver.log_window import Window
from forwarder.deliver.metrics import DeliveryMetrics
from forwarder.deliver.send_batch import DeadLetterLimit
from forwarder.sink_settings import DeliverySettings

WINDOW_BATCHES = 20
"""The maximum number of events that may be read beyond the sink's position, in multiples of `batch_events`. While
single events wait for a retry, the worker reads and sends new events up to this limit."""

WINDOW_BYTES = 4
"""The maximum size of the bodies of all unfinished events in memory, in multiples of `batch_bytes`."""

PROBE_EVENTS = 20
"""The number of events in the first probe of a sink that failed as a whole. Each further probe has half as many events.
If each probe were a full batch, the conversion of its events would keep a CPU core busy during the whole outage, and
the hook receiver would answer more slowly."""

_PROBES_OF_OTHERS = 3
"""The number of probes without suspects in a row, after which the next probe has only suspects. Otherwise delivery
might never resume, because the events that are not suspects may include a bad event."""

_TOLERATED = 10
"""The number of requests with suspects that may fail in a row before the sink counts as failing. This number is enough
to find one bad event in a batch of 500, because such a batch is halved only nine times."""

_ALARM_AFTER = 3
"""The number of failed tries of an event, while the sink accepts other events, after which a log line names the
event."""


class InFlightBatch(NamedTuple):
    """A batch that was sent and that the sink has not answered yet. `attempt` is the value that `Health.attempt` had
    when the batch was sent."""

    events: list[Pending]
    attempt: int

    @property
    def is_suspect(self) -> bool:
        return self.events[0].is_suspect


class DeliveryState:
    """The delivery state of one sink.

    Attributes:
        in_flight: the batches that the sink has not answered yet, by the task that sends the batch.
        suspects: the suspects that must be sent again: events that may have made a whole request fail.
        queue: all other events that must be sent again.
    """

    def __init__(
        self, settings: DeliverySettings, window: Window, health: Health, metrics: DeliveryMetrics, clock: Clock
    ) -> None:
        self.in_flight: dict[asyncio.Task[BatchResult], InFlightBatch] = {}
        self._settings = settings
        self._window = window
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self.queue = RetryQueue()
        self.suspects = RetryQueue()
        self._accepted = 0  # the number of batches of which the sink accepted at least one event
        self._failed_in_a_row = 0  # the number of failed requests since the last accepted batch
        self._probes_of_others = 0  # the number of probes without suspects since the last batch of suspects
        self._set_aside: set[int] = set()  # the `seq` of each unfinished event that a log line has named
        self._window_events = WINDOW_BATCHES * settings.batch_events
        self._window_bytes = WINDOW_BYTES * settings.batch_bytes
        self._size = AdaptiveBatchSize(settings.batch_events)
        self._limit = DeadLetterLimit(settings.dead_letter_limit)

    # What may be sent

    @property
    def may_send(self) -> bool:
        """Whether one more batch may be sent now. A failing sink gets one batch at a time, and only when the next try
        is due."""
        if self._health.failing:
            return self._health.may_try and not self.in_flight
        return sum(not batch.is_suspect for batch in self.in_flight.values()) < self._settings.concurrency

    @property
    def suspects_may_be_sent(self) -> bool:
        """Whether a batch of suspects (events that may make a request fail) may be sent now. If the sink works, one
        batch of suspects may be in flight in addition to the other batches."""
        if self._health.failing:
            return self.may_send
        return not any(batch.is_suspect for batch in self.in_flight.values())

    @property
    def suspects_are_next(self) -> bool:
        """Whether due suspects (events that may make a request fail) must be sent before other events.

        If the sink works, the value is True whenever a batch of suspects may be sent. If the sink fails, it is True
        only after three probes in a row without suspects.
        """
        return self.suspects_may_be_sent and (not self._health.failing or self._probes_of_others >= _PROBES_OF_OTHERS)

    @property
    def next_wakeup(self) -> float | None:
        """The time when the next retry or probe is due, in seconds of the monotonic clock; None if no event waits for a
        retry, or if a batch in flight must be answered before a retry or probe can be sent."""
        if self._health.failing and not self._health.may_try:
            return None if self.in_flight else self._health.resume_at
        queues = [self.queue] * self.may_send + [self.suspects] * self.suspects_may_be_sent
        return min((queue.next_due for queue in queues if queue.next_due is not None), default=None)

    def take_due(self, queue: RetryQueue) -> list[Pending]:
        """Remove and return the next events of `queue` whose retry is due: at most one batch, empty if no retry is
        due."""
        return queue.take(self._clock.monotonic(), limit=self._batch_events, max_bytes=self._settings.batch_bytes)

    def capacity(self, batch: Sequence[Pending] = ()) -> tuple[int, int]:
        """Return two limits for the events that may be read from the log and added to `batch`: their maximum number,
        and the maximum size of their bodies in bytes. Both limits are 0 if no event may be added."""
        if not accepts_new_events(batch):
            return 0, 0
        settings, window = self._settings, self._window
        events = min(self._batch_events - len(batch), self._window_events - window.events)
        size = min(settings.batch_bytes - sum(pending.size for pending in batch), self._window_bytes - window.bytes)
        return (events, size) if events > 0 and size > 0 else (0, 0)

    def add(self, batch: list[Pending], events: Sequence[StoredEvent]) -> bool:
        """Add `events`, the next events of the log, to the window and to `batch`. They must have been read within the
        limits that `capacity` returned.

        Return True if the sink's settings exclude some of `events`, so that more events should be read for `batch`.
        """
        size = sum(pending.size for pending in batch)
        new = self._window.add(events)
        if batch and new and size + new[0].size > self._settings.batch_bytes:
            self.queue.schedule(new)  # a read returns at least one event, even if the event does not fit into `batch`
            return False
        batch.extend(new)
        return len(new) < len(events)

    @property
    def _batch_events(self) -> int:
        if self._limit.reached:
            return 1
        if self._health.failing:
            return max(1, min(self._size.current, PROBE_EVENTS >> (self._health.attempt - 1)))
        return self._size.current

    # Results

    @property
    def state(self) -> SinkState:
        """The state of the worker while it runs. Only the worker itself reports STOPPED."""
        idle = self._health.state is SinkState.RUNNING and not self.in_flight
        return SinkState.IDLE if idle else self._health.state

    @property
    def set_aside(self) -> int:
        """The number of events that fail again and again although the sink accepts other events."""
        return len(self._set_aside)

    def start(self, task: asyncio.Task[BatchResult], events: list[Pending]) -> None:
        """Record that `task` sends the batch `events`."""
        self.in_flight[task] = batch = InFlightBatch(events, self._health.attempt)
        is_probe_of_others = self._health.failing and not batch.is_suspect
        self._probes_of_others = self._probes_of_others + 1 if is_probe_of_others else 0

    def complete(self, task: asyncio.Task[BatchResult]) -> None:
        """Record the result of the batch that `task` sent, and queue the events that must be sent again. `task` must be
        done."""
        batch, result = self.in_flight.pop(task), task.result()
        result = self._give_up(batch, result)
        rejection_detail = result.rejection_detail
        result, over_limit = self._limit.apply(result, replay=batch.events[0].replay)
        self._window.finish(result)
        self._metrics.delivered(_select(batch, result.delivered), self._clock.now())
        self._health.warned(result.warning)
        self._health.rejected(len(result.rejected) + result.unattributed, rejection_detail)
        if result.delivered:
            self._accepted, self._failed_in_a_row = self._accepted + 1, 0
        self._set_aside -= {*result.delivered, *(rejection.seq for rejection in result.rejected)}
        sink_failed = False
        if result.retry:
            sink_failed = self._schedule_retry(batch, result)
        else:
            self._size.succeeded(len(batch.events))
        if over_limit:  # queued behind the events that are due already, which may show that the sink works
            self._schedule(_select(batch, over_limit), self._clock.monotonic())
            reason = RetryReason.DEAD_LETTER_LIMIT
            self._metrics.retried(reason)
            if self._limit.reached:  # still reached, so the sink has accepted no later event of the batch
                self._health.failed(BatchResult(reason=reason, detail=rejection_detail, pause=True))
        if result.made_progress and not sink_failed and not self._limit.reached:
            self._health.recovered(delivered=bool(result.delivered))
        self._metrics.set_aside(self.set_aside)

    def _schedule_retry(self, batch: InFlightBatch, result: BatchResult) -> bool:
        """Queue the events of `batch` that must be sent again according to `result`, and return whether the sink failed
        as a whole."""
        assert result.reason is not None
        self._metrics.retried(result.reason)
        retry = _select(batch, result.retry)
        if result.split and len(batch.events) > 1:
            # If the batch is itself a half (it has a `max_batch`), its failure does not show that the usual size is too
            # large: halves are sent to find one bad event.
            if result.reason is RetryReason.TOO_LARGE and not batch.events[0].max_batch:
                self._size.too_large(len(batch.events))
            self._halve(batch, retry)
            self._schedule(retry, self._clock.monotonic() + result.wait if result.wait else 0.0)
            return False
        if result.reason is RetryReason.TIMEOUT and not batch.is_suspect:
            self._size.timed_out(len(batch.events))
        request_failed = result.whole or result.pause
        if not request_failed and not result.made_progress:
            # The sink refused each event separately. If each of these events failed in this way before, only these
            # events are delayed, so that they do not delay all other events. Otherwise the sink counts as failing.
            request_failed = self._health.failing or any(pending.attempt == 0 for pending in batch.events)
        if request_failed:
            return self._retry_request(batch, retry, result)
        self._retry_apart(retry, result)
        return False

    def _retry_request(self, batch: InFlightBatch, retry: list[Pending], result: BatchResult) -> bool:
        """Queue `retry`, the events of a failed request, to be sent again. Return whether the sink now counts as
        failing."""
        fails_alone, was_suspect = self._fails_alone(batch), batch.is_suspect
        known = any(pending.lone_tries for pending in retry)
        too_many = self._failed_in_a_row >= _TOLERATED and not known
        sink_failed = self._health.failing or not was_suspect or too_many
        self._failed_in_a_row += not known
        for pending in retry:
            pending.failed_requests += 1
            pending.failed_after = self._accepted
            pending.lone_tries += fails_alone and _counts(result)
        if was_suspect:
            self._extend_window()
        now = self._clock.monotonic()
        if sink_failed:
            # Suspects go to the end of their queue, so that each probe has other suspects. The other events keep their
            # order.
            for pending in retry:
                self._schedule([pending], now if pending.is_suspect else 0.0)
        elif len(batch.events) > 1:
            self._halve(batch, retry)
            self._schedule(retry, 0.0)
        else:
            self._retry_apart(retry, result)
        # Only the first failure of the batches that were in flight together counts as a failed try of the sink.
        if sink_failed and batch.attempt >= self._health.attempt:
            self._health.failed(result)
        return sink_failed

    def _retry_apart(self, retry: list[Pending], result: BatchResult) -> None:
        """Queue the events `retry`, which failed while the sink accepts other events. The delay grows with each failed
        try."""
        for pending in retry:
            pending.attempt += 1
        most = max(max(pending.attempt, pending.failed_requests) for pending in retry)
        delay = self._health.retry_delay(most, result)
        self._schedule(retry, self._clock.monotonic() + delay)
        if result.reason is RetryReason.THROTTLED:
            return
        for pending in retry:
            if pending.attempt >= _ALARM_AFTER and pending.seq not in self._set_aside:
                self._set_aside.add(pending.seq)
                self._health.set_aside(pending.stored.event, result.detail)

    def _halve(self, batch: InFlightBatch, retry: list[Pending]) -> None:
        for pending in retry:
            pending.max_batch = (len(batch.events) + 1) // 2

    def _schedule(self, events: Iterable[Pending], due: float) -> None:
        """Queue each of `events` in `suspects` or in `queue`, to be sent again at the time `due`, in seconds of the
        monotonic clock."""
        for pending in events:
            (self.suspects if pending.is_suspect else self.queue).schedule([pending], due)

    # Events that make their requests fail

    def _extend_window(self) -> None:
        """Allow one more event in the window if unfinished events fill the window.

        A suspect (an event that may make a whole request fail) counts as the cause of its failures only after the sink
        has accepted another event. So the window must have space for another event.
        """
        size = WINDOW_BYTES * self._settings.batch_bytes
        self._window_events = max(WINDOW_BATCHES * self._settings.batch_events, self._window.events + 1)
        self._window_bytes = min(2 * size, max(size, self._window.bytes + 1))

    def _fails_alone(self, batch: InFlightBatch) -> bool:
        """Return whether a failure of `batch` counts as caused by its event.

        The result is True if `batch` has only one event, this event is a suspect (`Pending.is_suspect`), the sink
        works, and the sink has accepted a batch since the last failure of this event.
        """
        pending = batch.events[0]
        works = not self._health.failing and self._accepted > pending.failed_after
        return works and pending.is_suspect and len(batch.events) == 1

    def _give_up(self, batch: InFlightBatch, result: BatchResult) -> BatchResult:
        """Return a result that rejects the only event of `batch`, if this event has now failed alone `lone_tries`
        times. The event then becomes a dead letter. In every other case, return `result`."""
        pending, limit = batch.events[0], self._settings.lone_tries
        if not (limit and self._fails_alone(batch) and _counts(result)) or pending.lone_tries + 1 < limit:
            return result
        event = pending.stored.event
        detail = (
            f"event {event.uuid} was sent alone and failed {limit} times, while other events were delivered: "
            f"{result.detail}"
        )
        return BatchResult(rejected=[Rejection(pending.seq, RejectReason.FAILS_ALONE, detail)])


def _counts(result: BatchResult) -> bool:
    """Return whether `result`, of a request with one event alone, is a failed try of the event (see `lone_tries`).

    It is a failed try if the whole request failed, unless the sink only throttled the request (such as HTTP 429).
    """
    request_failed = bool(result.retry) and (result.whole or result.pause)
    return request_failed and result.reason is not RetryReason.THROTTLED


def _select(batch: InFlightBatch, seqs: Iterable[int]) -> list[Pending]:
    """Return the events of `batch` whose `seq` is in `seqs`, in the order of the batch."""
    wanted = set(seqs)
    return [pending for pending in batch.events if pending.seq in wanted]
