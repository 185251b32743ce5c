"""What lies between a sink's position in the log and the newest event that was read for it. Pure.

Invariants, on which the promise "nothing lost" rests:

- An event that was read is unfinished until it has an outcome, delivered or rejected; a retry is none.
- The position moves only over events that are finished, in the order of the log, and only once the store has
  committed the move. So a crash forgets outcomes, never events: what lies in the window is sent again.
- A settlement is built once and offered unchanged until the store has taken it. A store that committed it and then
  failed to say so can recognise it.
"""

from collections import deque
from collections.abc import Sequence

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import Rejection
from forwarder.core.ports import Settlement
from forwarder.deliver.batching import Pending
from forwarder.deliver.parts import Parts


class Window:
    """The window of one sink.

    Attributes:
        position: every event of the log up to here is finished, and the store knows it.
        read_to: the newest event that was read.
        bytes: bodies of the unfinished events together.
        replaying: the replays that are not settled yet.
    """

    def __init__(self, sink: str, position: int) -> None:
        self.position = position
        self.read_to = position
        self.bytes = 0
        self.replaying: set[int] = set()
        self._sink = sink
        self._order: deque[int] = deque()
        self._finished: dict[int, Rejection | None] = {}
        self._unattributed: dict[int, str] = {}
        self._replayed: list[int] = []
        self._dead_again: list[Rejection] = []
        self._unsettled: Settlement | None = None

    @property
    def events(self) -> int:
        """Events that were read and are not settled, finished ones included."""
        return self.read_to - self.position

    def read(self, events: Sequence[StoredEvent]) -> list[Pending]:
        """Take in the next events of the log."""
        for stored in events:
            self._order.append(stored.seq)
            self.bytes += len(stored.event.body)
        if events:
            self.read_to = events[-1].seq
        return [Pending(stored) for stored in events]

    def replay(self, events: Sequence[StoredEvent]) -> list[Pending]:
        """Take in dead letters that are sent again; those in progress already are left out."""
        new = [stored for stored in events if stored.seq not in self.replaying]
        self.replaying.update(stored.seq for stored in new)
        self.bytes += sum(len(stored.event.body) for stored in new)
        return [Pending(stored, replay=True) for stored in new]

    def finish(self, parts: Parts) -> None:
        """Note which events of a batch are delivered, and which are rejected."""
        for pending in parts.delivered:
            self.bytes -= pending.size
            if pending.replay:
                self._replayed.append(pending.seq)
            else:
                self._finished[pending.seq] = None
        for pending, rejection in parts.rejected:
            self.bytes -= pending.size
            if pending.replay:
                self._dead_again.append(rejection)
            else:
                self._finished[pending.seq] = rejection
        for seq in parts.unattributed:
            self._unattributed[seq] = parts.unattributed_detail

    def settlement(self) -> Settlement | None:
        """What the store should commit next; None where nothing has moved."""
        if self._unsettled is None:
            self._unsettled = self._build()
        return self._unsettled

    def _build(self) -> Settlement | None:
        position, delivered, unattributed, words = self.position, 0, 0, ""
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
                words = self._unattributed.pop(position)
        if position == self.position and not self._replayed and not self._dead_again:
            return None
        replayed, self._replayed = self._replayed, []
        dead_again, self._dead_again = self._dead_again, []
        return Settlement(
            self._sink,
            position,
            delivered,
            dead,
            unattributed,
            words,
            replayed=replayed,
            dead_again=dead_again,
        )

    def settled(self) -> None:
        """The store has committed the settlement that `settlement` gave."""
        settlement, self._unsettled = self._unsettled, None
        assert settlement is not None
        self.position = settlement.position
        self.replaying.difference_update(settlement.replayed)
        self.replaying.difference_update(rejection.seq for rejection in settlement.dead_again)
