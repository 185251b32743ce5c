"""The part of the log between a sink's position and the newest event read for it. Pure.

Three invariants are the reason why nothing is lost:

- An event that was read is unfinished until it is delivered or rejected; a retry does not finish it.
- The position moves only over finished events, in the order of the log, and only after the store has
  committed the move. So a crash loses outcomes, never events: everything in the window is sent again.
- A settlement is built once, and offered unchanged until the store has taken it. A store that committed it
  but could not say so recognises it.
"""

from collections import deque
from collections.abc import Sequence

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection
from forwarder.core.ports import Settlement
from forwarder.deliver.batching import Pending


class Window:
    """The window of one sink.

    Attributes:
        position: every event of the log up to here is finished, and the store knows it.
        read_to: the newest event that was read.
        bytes: bodies of all unfinished events together.
        replaying: seqs of the replays that are not settled yet.
    """

    def __init__(self, position: int) -> None:
        self.position = position
        self.read_to = position
        self.bytes = 0
        self.replaying: set[int] = set()
        self._sizes: dict[int, int] = {}  # of unfinished events
        self._order: deque[int] = deque()
        self._finished: dict[int, Rejection | None] = {}
        self._finished_replays: dict[int, Rejection | None] = {}
        self._unattributed: dict[int, str] = {}
        self._unsettled: Settlement | None = None

    @property
    def events(self) -> int:
        """How many events of the log were read and are not settled, finished ones included."""
        return self.read_to - self.position

    def add(self, events: Sequence[StoredEvent]) -> list[Pending]:
        """Add the next events of the log."""
        for stored in events:
            self._order.append(stored.seq)
            self._measure(stored)
        if events:
            self.read_to = events[-1].seq
        return [Pending(stored) for stored in events]

    def add_replays(self, events: Sequence[StoredEvent]) -> list[Pending]:
        """Add dead letters to send again, except those that are in the window already."""
        new = [stored for stored in events if stored.seq not in self.replaying]
        for stored in new:
            self.replaying.add(stored.seq)
            self._measure(stored)
        return [Pending(stored, replay=True) for stored in new]

    def _measure(self, stored: StoredEvent) -> None:
        self._sizes[stored.seq] = len(stored.event.body)
        self.bytes += len(stored.event.body)

    def finish(self, result: BatchResult) -> None:
        """Note which events of a batch are delivered or rejected."""
        outcomes: dict[int, Rejection | None] = dict.fromkeys(result.delivered)
        outcomes |= {rejection.seq: rejection for rejection in result.rejected}
        for seq, rejection in outcomes.items():
            self.bytes -= self._sizes.pop(seq)
            finished = self._finished_replays if seq in self.replaying else self._finished
            finished[seq] = rejection
        for seq in result.delivered[: result.unattributed]:
            self._unattributed[seq] = result.detail

    def settlement(self) -> Settlement | None:
        """Return what the store should commit next; None if nothing has moved."""
        if self._unsettled is None:
            self._unsettled = self._build()
        return self._unsettled

    def _build(self) -> Settlement | None:
        position, delivered, unattributed, detail = self.position, 0, 0, ""
        dead: list[Rejection] = []
        while self._order and self._order[0] in self._finished:
            position = self._order.popleft()
            rejection = self._finished.pop(position)
            if rejection is not None:
                dead.append(rejection)
                continue
            delivered += 1
            if position in self._unattributed:
                unattributed += 1
                detail = self._unattributed.pop(position)
        replays, self._finished_replays = self._finished_replays, {}
        if position == self.position and not replays:
            return None
        replayed = [seq for seq, rejection in replays.items() if rejection is None]
        dead_again = [rejection for rejection in replays.values() if rejection is not None]
        return Settlement(position, delivered, dead, unattributed, detail, replayed, dead_again)

    def settled(self) -> Settlement:
        """Move the position, because the store has committed the settlement; return that."""
        settlement, self._unsettled = self._unsettled, None
        assert settlement is not None
        self.position = settlement.position
        self.replaying.difference_update(settlement.replayed)
        self.replaying.difference_update(rejection.seq for rejection in settlement.dead_again)
        return settlement
