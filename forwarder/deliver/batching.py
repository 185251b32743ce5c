"""Chooses the size of the next batch, and queues the events that must be sent again. This module uses neither a clock
nor I/O."""

import heapq
from collections.abc import Iterable, Sequence

import msgspec

from forwarder.core.event import StoredEvent

_SUCCESSES_TO_GROW = 8  # number of accepted full batches after which the batch size grows by one step
_STEPS_TO_GROW = 16  # number of steps from an empty batch to the configured size


class Pending(msgspec.Struct, gc=False):
    """An event without a final outcome.

    Attributes:
        stored: the event and its `seq`.
        replay: whether the event is a dead letter that an operator sends again. If not, it was read from the log.
        attempt: the number of failed tries to send this event while the sink accepted other events.
        max_batch: the largest number of events in a batch with this event; 0 for the usual limit. A failed batch is
            halved again and again in order to find one bad event. Only the events of the failed batch get a smaller
            `max_batch`, so all other batches keep their size.
        failed_requests: the number of requests with this event in which the whole request failed.
        failed_after: how many batches the sink had accepted when a whole request with this event last failed.
        lone_tries: the number of requests with only this event that failed while the sink accepted other events.
    """

    stored: StoredEvent
    replay: bool = False
    attempt: int = 0
    max_batch: int = 0
    failed_requests: int = 0
    failed_after: int = 0
    lone_tries: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether at least two whole requests with this event failed, perhaps because of this event.

        If so, the event is called a suspect. A suspect is only sent alone or together with other suspects.
        """
        return self.failed_requests > 1

    @property
    def kind(self) -> tuple[bool, int]:
        """The key by which events are put into batches: only events with the same `kind` are sent together."""
        return self.replay, self.max_batch

    @property
    def seq(self) -> int:
        return self.stored.seq

    @property
    def size(self) -> int:
        """The size of the event's body in bytes."""
        return len(self.stored.event.body)


class AdaptiveBatchSize:
    """Chooses `current`, the number of events in the next batch.

    `current` is halved when a batch was too large or timed out, and grows when the sink accepts batches. A server
    rejects a batch as too large because of a fixed limit. So after a batch was too large, `current` grows slowly:
    otherwise the server would reject every second batch. The cause of a timeout is most often an outage. So after a
    timeout, `current` doubles with each accepted batch.
    """

    def __init__(self, limit: int) -> None:
        self.current = limit
        self._limit = limit
        self._safe = limit  # up to this size, `current` doubles; no server has called such a batch too large
        self._successes = 0

    def too_large(self, events: int) -> None:
        """Reduce `current`, because the sink rejected a batch of `events` events as too large."""
        self.timed_out(events)
        self._safe, self._successes = self.current, 0

    def timed_out(self, events: int) -> None:
        """Reduce `current`, because the sink did not answer a batch of `events` events in time."""
        self.current = max(1, min(self.current, events) // 2)

    def succeeded(self, events: int) -> None:
        """Record that the sink accepted a batch of `events` events, and increase `current` if it may grow.

        A batch with fewer than `current` events changes nothing, because it does not show that the sink accepts a
        larger batch.
        """
        if events < self.current or self.current == self._limit:
            return
        if self.current < self._safe:
            self.current = min(self._safe, self.current * 2)
            return
        self._successes += 1
        if self._successes == _SUCCESSES_TO_GROW:
            self._successes = 0
            step = max(1, self._limit // _STEPS_TO_GROW)
            self.current = self._safe = min(self._limit, self.current + step)


class RetryQueue:
    """A queue of events that must be sent again, ordered by the time when they are due, then by `seq`."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Pending]] = []

    def schedule(self, events: Iterable[Pending], due: float = 0.0) -> None:
        """Queue `events`, which are due at the time `due`, in seconds of the monotonic clock. 0 means at once."""
        for pending in events:
            heapq.heappush(self._heap, (due, pending.seq, pending))

    def take(self, now: float, *, limit: int, max_bytes: int) -> list[Pending]:
        """Remove and return the next batch of events that are due at `now`; empty if no event is due.

        The batch has at most `limit` events. All its events have one `Pending.kind`, and their bodies together have at
        most `max_bytes` bytes. The first due event is always returned, even if its body is larger than `max_bytes`.
        """
        batch: list[Pending] = []
        size = 0
        while self._heap and self._heap[0][0] <= now:
            pending = self._heap[0][2]
            size += pending.size
            if not batch and pending.max_batch:
                limit = min(limit, pending.max_batch)
            if batch and (len(batch) >= limit or size > max_bytes or pending.kind != batch[0].kind):
                break
            batch.append(heapq.heappop(self._heap)[2])
        return batch

    @property
    def next_due(self) -> float | None:
        """The time when the next event is due, in seconds of the monotonic clock; None if the queue is empty."""
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._heap)


def accepts_new_events(batch: Sequence[Pending]) -> bool:
    """Return whether new events of the log may be added to `batch`. The result is False if `batch` consists of replays,
    or if it is a half of a failed batch."""
    return not batch or batch[0].kind == (False, 0)
