"""How large the next batch is, and which events are in it. Pure: no clock, no I/O."""

import heapq
from collections.abc import Iterable, Sequence

import msgspec

from forwarder.core.event import StoredEvent

_SUCCESSES_TO_GROW = 8
_STEPS_TO_GROW = 16


class Pending(msgspec.Struct, gc=False):
    """An event that the sink has not finished yet.

    Attributes:
        stored: the event.
        replay: it is a dead letter that an operator sent again, not a part of the log.
        attempt: how often it had to be sent again while its neighbours were taken.
        cap: events in a batch that it may be part of, at most; 0 where the batch size decides. Halved with every
            split, so that one event that spoils its batch is found without making all other batches small.
    """

    stored: StoredEvent
    replay: bool = False
    attempt: int = 0
    cap: int = 0

    @property
    def seq(self) -> int:
        return self.stored.seq

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.stored.event.body)


class BatchSize:
    """How many events the next batch may have: halved when a batch was too much, grown back after successes.

    Too large is a limit of the server, so beyond it the size grows slowly, lest every other batch be refused. A
    timeout is most often an outage, so after it the size doubles with each success.

    Attributes:
        now: the size of the next batch.
    """

    def __init__(self, limit: int) -> None:
        self.now = limit
        self._limit = limit
        self._safe = limit  # the largest size that no server has called too large
        self._successes = 0

    def too_large(self, events: int) -> None:
        """A batch with `events` events was too large for the sink."""
        self.now = self._safe = max(1, min(self.now, events) // 2)
        self._successes = 0

    def timed_out(self, events: int) -> None:
        """A batch with `events` events was not answered in time."""
        self.now = max(1, min(self.now, events) // 2)

    def succeeded(self, events: int) -> None:
        """A batch with `events` events was taken; only one that filled the size says anything about it."""
        if events < self.now or self.now == self._limit:
            return
        if self.now < self._safe:
            self.now = min(self._safe, self.now * 2)
            return
        self._successes += 1
        if self._successes == _SUCCESSES_TO_GROW:
            self._successes = 0
            self.now = self._safe = min(self._limit, self.now + max(1, self._limit // _STEPS_TO_GROW))


class Held:
    """Events that wait to be sent again, each until its own time; those of one time in `seq` order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Pending]] = []

    def hold(self, events: Iterable[Pending], due: float = 0.0) -> None:
        """Keep `events` until `due`, in seconds of the monotonic clock; 0 is at once."""
        for pending in events:
            heapq.heappush(self._heap, (due, pending.seq, pending))

    def take(self, now: float, *, limit: int, max_bytes: int) -> list[Pending]:
        """The next batch of events whose time has come: at most `limit`, and bodies of at most `max_bytes` together
        (one event at least). Replays and the parts of a split batch go by themselves."""
        batch: list[Pending] = []
        size = 0
        while self._heap and self._heap[0][0] <= now:
            pending = self._heap[0][2]
            size += pending.size
            if not batch and pending.cap:
                limit = min(limit, pending.cap)
            if batch and (len(batch) >= limit or size > max_bytes or not _go_together(batch[0], pending)):
                break
            batch.append(heapq.heappop(self._heap)[2])
        return batch

    @property
    def next_due(self) -> float | None:
        """When the next event's time comes, in seconds of the monotonic clock; None where nothing is held."""
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._heap)


def takes_new_events(batch: Sequence[Pending]) -> bool:
    """Whether events that were never sent may fill up `batch`."""
    return not batch or not (batch[0].replay or batch[0].cap)


def _go_together(one: Pending, other: Pending) -> bool:
    return one.replay == other.replay and one.cap == other.cap
