"""What a worker knows about its events: which are unfinished, held, too many at once. No I/O; `worker.py` moves it."""

from collections.abc import Callable, Sequence

import msgspec

from forwarder.core.backoff import Backoff
from forwarder.core.event import StoredEvent
from forwarder.core.outcome import RetryReason
from forwarder.core.ports import Clock, Settlement
from forwarder.deliver.batching import BatchSize, Held, Pending, takes_new_events
from forwarder.deliver.flight import Landed
from forwarder.deliver.health import Health, Trouble
from forwarder.deliver.parts import DeadLetterLimit
from forwarder.deliver.settings import DeliverySettings
from forwarder.deliver.tally import Tally
from forwarder.deliver.window import Window
from forwarder.metrics import Metrics

WINDOW_BATCHES = 20
"""Batches of events that may lie beyond the position while single events are held."""

WINDOW_BYTES = 4
"""Times `batch_bytes`: bodies of unfinished events that are kept in memory."""

PROBE_EVENTS = 20
"""Events that a sink is tried with after it failed as a whole: to map a full batch for every try would keep a core busy
through the outage, just when the door needs it."""


class Instruments(msgspec.Struct, frozen=True):
    """What all workers share: time, chance (numbers from [0, 1)) and the metrics."""

    clock: Clock
    random: Callable[[], float]
    metrics: Metrics


class Flight(msgspec.Struct, frozen=True):
    """A batch in flight.

    Attributes:
        batch: its events.
        attempt: failed tries of the sink when it was sent: batches that were in flight together fail once.
    """

    batch: list[Pending]
    attempt: int


class Progress:
    """How far one sink has come, and what may be sent next.

    Attributes:
        window: from the position to the newest event read.
        held: events to be sent again.
        health: whether the sink works.
    """

    def __init__(
        self, sink: str, position: int, settings: DeliverySettings, instruments: Instruments, tally: Tally
    ) -> None:
        clock, metrics = instruments.clock, instruments.metrics
        backoff = Backoff(settings.backoff_base, settings.backoff_cap)
        self.window = Window(sink, position)
        self.held = Held()
        self.health = Health(sink, backoff, clock, instruments.random, metrics.sink_up.labels(sink))
        self._settings = settings
        self._clock: Clock = clock
        self._tally = tally
        self._size = BatchSize(settings.batch_events)
        self._limit = DeadLetterLimit(settings.dead_letter_limit)

    # What may be sent

    def slot_free(self, in_flight: int) -> bool:
        """Whether one more batch may fly beside `in_flight` others; beside a probe none may."""
        return in_flight < (1 if self.health.failing else self._settings.concurrency)

    def due(self) -> list[Pending]:
        """Held events whose time has come, as the next batch or its beginning."""
        return self.held.take(
            self._clock.monotonic(), limit=self._batch_events, max_bytes=self._settings.batch_bytes
        )

    def room(self, batch: Sequence[Pending] = ()) -> tuple[int, int]:
        """How many new events may join `batch`, and how many bytes of bodies; (0, 0) where none may."""
        if not takes_new_events(batch):
            return 0, 0
        settings, window = self._settings, self.window
        events = min(self._batch_events - len(batch), WINDOW_BATCHES * settings.batch_events - window.events)
        size = min(
            settings.batch_bytes - sum(pending.size for pending in batch),
            WINDOW_BYTES * settings.batch_bytes - window.bytes,
        )
        return (events, size) if events > 0 and size > 0 else (0, 0)

    def join(self, batch: list[Pending], events: Sequence[StoredEvent]) -> None:
        """Take in the next events of the log, and put them into `batch`; they were read as `room` allows."""
        size = sum(pending.size for pending in batch)
        new = self.window.read(events)
        if batch and new and size + new[0].size > self._settings.batch_bytes:
            self.held.hold(new)  # one event at least is read, however large: it goes alone
        else:
            batch.extend(new)

    @property
    def _batch_events(self) -> int:
        if self._limit.reached:
            return 1
        return min(self._size.now, PROBE_EVENTS) if self.health.failing else self._size.now

    @property
    def next_moment(self) -> float | None:
        """When something held may be sent, in seconds of the monotonic clock; None where nothing is held."""
        return self.health.resume_at if not self.health.may_try else self.held.next_due

    # What became of it

    def depart(self, batch: list[Pending]) -> Flight:
        """`batch` is sent now."""
        return Flight(batch, self.health.attempt)

    def landed(self, flight: Flight, landed: Landed) -> None:
        """Note what became of a batch, and hold what must be sent again."""
        parts = landed.parts
        words = parts.words
        beyond = self._limit.apply(parts)
        self.window.finish(parts)
        self._tally.delivered(parts.delivered, self._clock.now())
        self.health.rejected(len(parts.rejected) + len(parts.unattributed), words)
        sink_failed = False
        if parts.retry:
            sink_failed = self._again(flight, landed)
        else:
            self._size.succeeded(len(flight.batch))
        if beyond:
            sink_failed |= self._beyond(beyond, words)
        if parts.taken and not sink_failed and not self._limit.reached:
            self.health.answered(delivered=bool(parts.delivered))

    def _again(self, flight: Flight, landed: Landed) -> bool:
        """Hold the events to retry; gives whether the sink as a whole failed."""
        outcome, retry = landed.outcome, landed.parts.retry
        reason = outcome.reason or RetryReason.UNKNOWN
        trouble = Trouble(reason, outcome.detail, pause=outcome.pause, wait=outcome.wait)
        self._tally.retried(reason)
        if outcome.split and len(flight.batch) > 1:
            self._halve(flight.batch, retry, trouble)
            return False
        if reason is RetryReason.TIMEOUT:
            self._size.timed_out(len(flight.batch))
        if self._concerns_sink(flight, landed):
            self.held.hold(retry)
            if flight.attempt >= self.health.attempt:  # otherwise another batch has told it already
                self.health.failed(trouble)
            return True
        for pending in retry:
            pending.attempt += 1
        delay = self.health.retry_delay(max(pending.attempt for pending in retry), trouble)
        self.held.hold(retry, self._clock.monotonic() + delay)
        return False

    def _concerns_sink(self, flight: Flight, landed: Landed) -> bool:
        """Whether the sink as a whole failed. A batch of which nothing was taken tells so, unless it held only events
        that failed one by one before: they must not hold up all others."""
        outcome = landed.outcome
        if outcome.whole or outcome.pause:
            return True
        return not landed.parts.taken and (
            self.health.failing or any(pending.attempt == 0 for pending in flight.batch)
        )

    def _halve(self, batch: Sequence[Pending], retry: list[Pending], trouble: Trouble) -> None:
        # Only a batch of the usual size says that the usual size is too large; the halves look for one culprit.
        if trouble.reason is RetryReason.TOO_LARGE and not batch[0].cap:
            self._size.too_large(len(batch))
        for pending in retry:
            pending.cap = (len(batch) + 1) // 2
        self.held.hold(retry, self._clock.monotonic() + trouble.wait if trouble.wait else 0.0)

    def _beyond(self, events: Sequence[Pending], words: str) -> bool:
        """Too many rejected in a row: these stay waiting, behind those that were not tried yet. Gives whether the sink
        must pause; not where it took an event after them."""
        self.held.hold(events, self._clock.monotonic())
        self._tally.retried(RetryReason.DEAD_LETTER_LIMIT)
        if self._limit.reached:
            self.health.failed(Trouble(RetryReason.DEAD_LETTER_LIMIT, words, pause=True))
        return self._limit.reached

    def settlement(self) -> Settlement | None:
        """What the store should commit next; None where nothing has moved."""
        return self.window.settlement()

    def settled(self, settlement: Settlement) -> None:
        """The store has committed it."""
        self.window.settled()
        self._tally.settled(settlement)
