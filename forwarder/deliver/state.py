"""The delivery state of one sink: the batches in flight, the retries, and which events are sent next. It uses no I/O.

The worker (`worker.py`) asks this state what to do, reads the log, sends the batches, and commits the results.

A failed request does not show whether the sink fails, or whether one bad event makes each request with this event fail. So:

- After the first failure, the worker sends only probes (small batches), one at a time. Each probe is smaller than the one
  before, and contains different events.
- An event that was in two failed requests is a suspect. Suspects are never in one batch with other events. Once the sink
  works, one batch of suspects may be in flight beside the other batches, so that suspects delay no other event. If a batch
  of suspects fails, it is halved.
- A suspect uses one of its `lone_tries` if it is sent alone and fails, and the sink has accepted a batch since the
  suspect's previous failure. After its last lone try, the suspect becomes a dead letter. While the sink accepts nothing, a
  suspect uses no lone try, because then the sink may be the cause.
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
from forwarder.deliver.sending import DeadLetterLimit
from forwarder.sink_settings import DeliverySettings

WINDOW_BATCHES = 20
"""How many events may be read beyond the sink's position, in multiples of `batch_events`. New events are read and sent up
to this limit while single events wait for a retry."""

WINDOW_BYTES = 4
"""The limit for the size of the bodies of all unfinished events in memory, in multiples of `batch_bytes`."""

PROBE_EVENTS = 20
"""The number of events in the first probe of a sink that failed as a whole. Each further probe has half as many. If each
probe were a full batch, its conversion would keep a core busy during an outage, when the hook receiver needs it most."""

_PROBES_OF_OTHERS = 3
"""After this many probes without suspects in a row, a probe has suspects, because the other events may be the bad ones."""

_TOLERATED = 10
"""If more than this many requests with suspects fail in a row, the sink counts as failing. Before that, one bad event in a
batch of 500 is found, because the batch is halved only nine times."""

_ALARM_AFTER = 3
"""After this many failed tries of an event while the sink accepts other events, a log line names the event."""


class InFlightBatch(NamedTuple):
    """A batch that was sent and not answered yet. `attempt` is the value of `Health.attempt` when the batch was sent."""

    events: list[Pending]
    attempt: int

    @property
    def is_suspect(self) -> bool:
        return self.events[0].is_suspect


class DeliveryState:
    """The delivery state of one sink.

    Attributes:
        in_flight: each batch that the sink has not answered yet. The key is the task that sends the batch.
        suspects: events to send again that may have made a whole request fail.
        queue: all other events to send again.
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
        """Whether one more batch may be sent now. A failing sink gets one batch at a time, and only when its try is due."""
        if self._health.failing:
            return self._health.may_try and not self.in_flight
        return sum(not batch.is_suspect for batch in self.in_flight.values()) < self._settings.concurrency

    @property
    def suspects_may_be_sent(self) -> bool:
        """Whether a batch of suspects may be sent now. To a failing sink, it is a probe. To a sink that works, one such batch
        may be in flight beside the other batches."""
        if self._health.failing:
            return self.may_send
        return not any(batch.is_suspect for batch in self.in_flight.values())

    @property
    def suspects_are_next(self) -> bool:
        """Whether suspects that are due must be sent before other events.

        If the sink works, that is so whenever a batch of suspects may be sent. If the sink fails, it is so only after
        three probes in a row without suspects.
        """
        return self.suspects_may_be_sent and (not self._health.failing or self._probes_of_others >= _PROBES_OF_OTHERS)

    @property
    def next_wakeup(self) -> float | None:
        """The time when the next retry or probe is due, in seconds of the monotonic clock; None if no time is known."""
        if self._health.failing and not self._health.may_try:
            return None if self.in_flight else self._health.resume_at
        queues = [self.queue] * self.may_send + [self.suspects] * self.suspects_may_be_sent
        return min((queue.next_due for queue in queues if queue.next_due is not None), default=None)

    def take_due(self, queue: RetryQueue) -> list[Pending]:
        """Remove from `queue` the next events whose retry is due, at most one batch, and return them."""
        return queue.take(self._clock.monotonic(), limit=self._batch_events, max_bytes=self._settings.batch_bytes)

    def capacity(self, batch: Sequence[Pending] = ()) -> tuple[int, int]:
        """Return the most events, and the most bytes of bodies, that may be read from the log and added to `batch`."""
        if not accepts_new_events(batch):
            return 0, 0
        settings, window = self._settings, self._window
        events = min(self._batch_events - len(batch), self._window_events - window.events)
        size = min(settings.batch_bytes - sum(pending.size for pending in batch), self._window_bytes - window.bytes)
        return (events, size) if events > 0 and size > 0 else (0, 0)

    def add(self, batch: list[Pending], events: Sequence[StoredEvent]) -> bool:
        """Add the next `events` of the log, read within the limits of `capacity`, to the window and to `batch`.

        Return whether `batch` has space for more events, because some of `events` were filtered.
        """
        size = sum(pending.size for pending in batch)
        new = self._window.add(events)
        if batch and new and size + new[0].size > self._settings.batch_bytes:
            self.queue.schedule(new)  # a read returns at least one event; this one does not fit
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
        """The state of the worker, except for STOPPED, which only the worker knows."""
        idle = self._health.state is SinkState.RUNNING and not self.in_flight
        return SinkState.IDLE if idle else self._health.state

    @property
    def set_aside(self) -> int:
        """The number of events that fail again and again while the sink accepts other events."""
        return len(self._set_aside)

    def start(self, task: asyncio.Task[BatchResult], events: list[Pending]) -> None:
        """Record that `task` sends `events`."""
        self.in_flight[task] = batch = InFlightBatch(events, self._health.attempt)
        is_probe_of_others = self._health.failing and not batch.is_suspect
        self._probes_of_others = self._probes_of_others + 1 if is_probe_of_others else 0

    def complete(self, task: asyncio.Task[BatchResult]) -> None:
        """Record the result of the batch that `task` sent, and schedule its retries. `task` must be done."""
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
        if over_limit:  # sent again after the events that were due before, which may show that the sink works
            self._schedule(_select(batch, over_limit), self._clock.monotonic())
            reason = RetryReason.DEAD_LETTER_LIMIT
            self._metrics.retried(reason)
            if self._limit.reached:  # still reached, so the sink has accepted no later event of the batch
                self._health.failed(BatchResult(reason=reason, detail=rejection_detail, pause=True))
        if result.made_progress and not sink_failed and not self._limit.reached:
            self._health.recovered(delivered=bool(result.delivered))
        self._metrics.set_aside(self.set_aside)

    def _schedule_retry(self, batch: InFlightBatch, result: BatchResult) -> bool:
        """Queue the events of `batch` that `result` names for a retry, and return whether the sink failed as a whole."""
        assert result.reason is not None
        self._metrics.retried(result.reason)
        retry = _select(batch, result.retry)
        if result.split and len(batch.events) > 1:
            # If the batch is itself a half (it has a `max_batch`), its failure does not show that the usual size is
            # too large: halves are sent to find one bad event.
            if result.reason is RetryReason.TOO_LARGE and not batch.events[0].max_batch:
                self._size.too_large(len(batch.events))
            self._halve(batch, retry)
            self._schedule(retry, self._clock.monotonic() + result.wait if result.wait else 0.0)
            return False
        if result.reason is RetryReason.TIMEOUT and not batch.is_suspect:
            self._size.timed_out(len(batch.events))
        request_failed = result.whole or result.pause
        if not request_failed and not result.made_progress:
            # The sink refused each event separately. If all of them failed in this way before, only these events are
            # delayed, so that they do not hold up all others. Else the sink counts as failing.
            request_failed = self._health.failing or any(pending.attempt == 0 for pending in batch.events)
        if request_failed:
            return self._retry_request(batch, retry, result)
        self._retry_apart(retry, result)
        return False

    def _retry_request(self, batch: InFlightBatch, retry: list[Pending], result: BatchResult) -> bool:
        """Queue the events `retry` of a request that failed as a whole, and return whether the sink counts as failing."""
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
            # Suspects go to the end of their queue, so that each probe has other suspects. The other events keep
            # their order.
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
        """Queue the events `retry`, which failed while the sink accepts others. The delay grows with each try."""
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
        """Queue `events` in `suspects` or in `queue`, to be sent again at the time `due`."""
        for pending in events:
            (self.suspects if pending.is_suspect else self.queue).schedule([pending], due)

    # Events that make their requests fail

    def _extend_window(self) -> None:
        """Allow one more event in the window if unfinished events fill it.

        A suspect counts as the cause of its failures only after the sink has accepted another event. So there must be
        space in the window for another event.
        """
        size = WINDOW_BYTES * self._settings.batch_bytes
        self._window_events = max(WINDOW_BATCHES * self._settings.batch_events, self._window.events + 1)
        self._window_bytes = min(2 * size, max(size, self._window.bytes + 1))

    def _fails_alone(self, batch: InFlightBatch) -> bool:
        """Whether a failure of `batch` is caused by its only event.

        That is so if this event is a suspect, the sink works, and the sink has accepted a batch since the last failure of
        the event.
        """
        pending = batch.events[0]
        works = not self._health.failing and self._accepted > pending.failed_after
        return works and pending.is_suspect and len(batch.events) == 1

    def _give_up(self, batch: InFlightBatch, result: BatchResult) -> BatchResult:
        """Return a rejection in place of `result` if the only event of `batch` has now used all its `lone_tries`."""
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
    """Whether a request with this `result` uses a lone try of its event.

    It does if the request failed as a whole, unless the sink was only too busy.
    """
    request_failed = bool(result.retry) and (result.whole or result.pause)
    return request_failed and result.reason is not RetryReason.THROTTLED


def _select(batch: InFlightBatch, seqs: Iterable[int]) -> list[Pending]:
    """Return the events of `batch` with the `seq` numbers `seqs`, in the order of the batch."""
    wanted = set(seqs)
    return [pending for pending in batch.events if pending.seq in wanted]
