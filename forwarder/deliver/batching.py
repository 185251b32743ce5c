"""The size of the next batch, and the queue of events to send again. Pure: no clock, no I/O."""

import heapq
from collections.abc import Iterable, Sequence

import msgspec

from forwarder.core.event import StoredEvent

_SUCCESSES_TO_GROW = 8
_STEPS_TO_GROW = 16


class Pending(msgspec.Struct, gc=False):
    """An event without a final outcome.

    Attributes:
        replay: whether it is a dead letter that an operator sends again; if not, it was read from the log.
        attempt: failed tries of this event while the sink accepted other events.
        max_batch: how many events a batch with this event may have; 0 means no special limit. Each split
            halves `max_batch`, so that one bad event is found while all other batches keep their size.
        failed_requests: how many requests with this event failed as a whole.
        failed_after: how many batches the sink had accepted when such a request last failed.
        lone_tries: how many requests with only this event failed, while the sink accepted other events.
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
        """Whether at least two requests with this event failed as a whole, perhaps because of it.

        A suspect shares batches with other suspects only.
        """
        return self.failed_requests > 1

    @property
    def kind(self) -> tuple[bool, int]:
        """The key for sharing a batch: only events with the same `kind` are sent together."""
        return self.replay, self.max_batch

    @property
    def seq(self) -> int:
        return self.stored.seq

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.stored.event.body)


class AdaptiveBatchSize:
    """Chooses `current`, the number of events in the next batch.

    A batch that was too large or timed out halves `current`, and successes raise it. "Too large" is a fixed
    limit of the server, so after it the size grows slowly: otherwise the server would reject every second
    batch. A timeout is most often an outage, so after a timeout the size doubles with each success.
    """

    def __init__(self, limit: int) -> None:
        self.current = limit
        self._limit = limit
        self._safe = limit  # the largest size that no server has called too large
        self._successes = 0

    def too_large(self, events: int) -> None:
        """Shrink: the sink called a batch of `events` too large."""
        self.timed_out(events)
        self._safe, self._successes = self.current, 0

    def timed_out(self, events: int) -> None:
        """Shrink: the sink did not answer a batch of `events` in time."""
        self.current = max(1, min(self.current, events) // 2)

    def succeeded(self, events: int) -> None:
        """Record that the sink accepted a batch of `events`, and grow if it is time to.

        A batch of fewer than `current` events changes nothing.
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
    """Events to send again, in the order in which they are due; events due at the same time in `seq` order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Pending]] = []

    def schedule(self, events: Iterable[Pending], due: float = 0.0) -> None:
        """Queue `events`; they are due at `due`, in seconds of the monotonic clock. 0 means now."""
        for pending in events:
            heapq.heappush(self._heap, (due, pending.seq, pending))

    def take(self, now: float, *, limit: int, max_bytes: int) -> list[Pending]:
        """Remove and return the next batch of events that are due at `now`; empty if no event is due.

        The batch has at most `limit` events, and their bodies have at most `max_bytes` together, but one
        event is returned however large it is. All events of the batch have the same `Pending.kind`.
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
        """When the next event is due, in seconds of the monotonic clock; None if the queue is empty."""
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._heap)


def accepts_new_events(batch: Sequence[Pending]) -> bool:
    """Return whether events that were never sent may join `batch`."""
    return not batch or batch[0].kind == (False, 0)
