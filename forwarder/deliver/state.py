"""The delivery state of one sink: what is in flight, what waits, and what may be sent next. No I/O.

`worker.py` moves it: it reads the log, sends batches and settles as this state says.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.core.ports import Clock
from forwarder.deliver.batching import AdaptiveBatchSize, Pending, RetryQueue, accepts_new_events
from forwarder.deliver.health import Health, State
from forwarder.deliver.metrics import DeliveryMetrics
from forwarder.deliver.result import DeadLetterLimit
from forwarder.deliver.window import Window
from forwarder.sink_settings import DeliverySettings

WINDOW_BATCHES = 20
"""Batches of events that may be read beyond the position while single events are retried."""

WINDOW_BYTES = 4
"""Bodies of unfinished events that stay in memory, in multiples of `batch_bytes`."""

PROBE_EVENTS = 20
"""Events in a probe of a sink that failed as a whole. Mapping a full batch for every try would keep a core
busy during an outage, when the receiver needs it most."""


class InFlightBatch(NamedTuple):
    """A batch that was sent and not answered yet; `attempt` is the sink's failed tries when it was sent."""

    events: list[Pending]
    attempt: int


class DeliveryState:
    """How far one sink has come, and what may be sent next.

    Attributes:
        in_flight: the batches that were sent and not answered yet, by their tasks.
        queue: what waits to be sent again.
    """

    def __init__(
        self,
        settings: DeliverySettings,
        window: Window,
        health: Health,
        metrics: DeliveryMetrics,
        clock: Clock,
    ) -> None:
        self.in_flight: dict[asyncio.Task[BatchResult], InFlightBatch] = {}
        self._settings = settings
        self._window = window
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self.queue = RetryQueue()
        self._size = AdaptiveBatchSize(settings.batch_events)
        self._limit = DeadLetterLimit(settings.dead_letter_limit)

    # What may be sent

    @property
    def slot_free(self) -> bool:
        """One more batch may be in flight. Beside the probe of a failing sink, none may."""
        return len(self.in_flight) < (1 if self._health.failing else self._settings.concurrency)

    @property
    def may_send(self) -> bool:
        return self._health.may_try and self.slot_free

    @property
    def next_wakeup(self) -> float | None:
        """When an event may be sent again, in seconds of the monotonic clock; None if none waits for that."""
        return self.queue.next_due if self._health.may_try else self._health.resume_at

    def take_due(self) -> list[Pending]:
        """Remove and return the events whose retry is due, as the next batch or its beginning."""
        return self.queue.take(
            self._clock.monotonic(), limit=self._batch_events, max_bytes=self._settings.batch_bytes
        )

    def capacity(self, batch: Sequence[Pending] = ()) -> tuple[int, int]:
        """Return how many new events may join `batch`, and how many bytes of bodies; (0, 0) if none may."""
        if not accepts_new_events(batch):
            return 0, 0
        settings, window = self._settings, self._window
        events = min(self._batch_events - len(batch), WINDOW_BATCHES * settings.batch_events - window.events)
        size = min(
            settings.batch_bytes - sum(pending.size for pending in batch),
            WINDOW_BYTES * settings.batch_bytes - window.bytes,
        )
        return (events, size) if events > 0 and size > 0 else (0, 0)

    def add(self, batch: list[Pending], events: Sequence[StoredEvent]) -> None:
        """Add the next events of the log, read as `capacity` allows, to the window and to `batch`."""
        size = sum(pending.size for pending in batch)
        new = self._window.add(events)
        if batch and new and size + new[0].size > self._settings.batch_bytes:
            self.queue.schedule(new)  # a read returns at least one event, however large: it goes alone
        else:
            batch.extend(new)

    @property
    def _batch_events(self) -> int:
        if self._limit.reached:
            return 1
        return min(self._size.current, PROBE_EVENTS) if self._health.failing else self._size.current

    # Results

    @property
    def state(self) -> State:
        """What the worker does; only the worker knows whether it has stopped."""
        idle = self._health.state is State.RUNNING and not self.in_flight
        return State.IDLE if idle else self._health.state

    def start(self, task: asyncio.Task[BatchResult], events: list[Pending]) -> None:
        """Note that `task` sends `events`."""
        self.in_flight[task] = InFlightBatch(events, self._health.attempt)

    def complete(self, task: asyncio.Task[BatchResult]) -> None:
        """Note the checked result of a batch, and schedule its retries."""
        batch, result = self.in_flight.pop(task), task.result()
        rejection_detail = result.rejection_detail
        result, over_limit = self._limit.apply(result, replay=batch.events[0].replay)
        self._window.finish(result)
        self._metrics.delivered(_select(batch, result.delivered), self._clock.now())
        self._health.warned(result.warning)
        self._health.rejected(len(result.rejected) + result.unattributed, rejection_detail)
        sink_failed = False
        if result.retry:
            sink_failed = self._schedule_retry(batch, result)
        else:
            self._size.succeeded(len(batch.events))
        if over_limit:  # they wait behind those that were not tried yet
            self.queue.schedule(_select(batch, over_limit), self._clock.monotonic())
            reason = RetryReason.DEAD_LETTER_LIMIT
            self._metrics.retried(reason)
            if self._limit.reached:  # the sink accepted no event after them
                self._health.failed(BatchResult(reason=reason, detail=rejection_detail, pause=True))
        if result.made_progress and not sink_failed and not self._limit.reached:
            self._health.recovered(delivered=bool(result.delivered))

    def _schedule_retry(self, batch: InFlightBatch, result: BatchResult) -> bool:
        """Queue the events to send again; return whether the sink as a whole failed."""
        assert result.reason is not None
        self._metrics.retried(result.reason)
        retry = _select(batch, result.retry)
        if result.split and len(batch.events) > 1:
            self._halve(batch.events, retry, result)
            return False
        if result.reason is RetryReason.TIMEOUT:
            self._size.timed_out(len(batch.events))
        sink_failed = result.whole or result.pause
        if not sink_failed and not result.made_progress:
            # Events that failed one by one before, and fail again, must not hold up all others.
            sink_failed = self._health.failing or any(pending.attempt == 0 for pending in batch.events)
        if sink_failed:
            self.queue.schedule(retry)
            # Batches that were in flight together fail once: else another one has reported this already.
            if batch.attempt >= self._health.attempt:
                self._health.failed(result)
            return True
        for pending in retry:
            pending.attempt += 1
        delay = self._health.retry_delay(max(pending.attempt for pending in retry), result)
        self.queue.schedule(retry, self._clock.monotonic() + delay)
        return False

    def _halve(self, events: Sequence[Pending], retry: list[Pending], result: BatchResult) -> None:
        # Only a batch of the usual size shows that this size is too large; the halves look for one bad event.
        if result.reason is RetryReason.TOO_LARGE and not events[0].max_batch:
            self._size.too_large(len(events))
        for pending in retry:
            pending.max_batch = (len(events) + 1) // 2
        self.queue.schedule(retry, self._clock.monotonic() + result.wait if result.wait else 0.0)


def _select(batch: InFlightBatch, seqs: Iterable[int]) -> list[Pending]:
    """Return the events of `batch` with these seqs."""
    wanted = set(seqs)
    return [pending for pending in batch.events if pending.seq in wanted]
