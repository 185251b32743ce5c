"""The part of the log between a sink's position and the newest event read for it. Pure.

Three invariants are the reason why nothing is lost:

- An event that was read is unfinished until it is delivered or rejected; a retry does not finish it.
- The position moves only over finished events, in the order of the log, and only after the store has
  committed the move. So a crash loses outcomes, never events: everything in the window is sent again.
- A settlement is built once, and offered unchanged until the store has taken it. A store that committed it
  but could not say so recognises it.
"""

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
        # Not settled: a rejection, the sink's text about an unattributed one, or None for a delivery.
        self._finished: dict[int, Rejection | str | None] = {}
        self._unsettled: Settlement | None = None

    @property
    def events(self) -> int:
        """How many events of the log were read and are not settled, finished ones included."""
        return self.read_to - self.position

    def add(self, events: Sequence[StoredEvent]) -> list[Pending]:
        """Add the next events of the log."""
        if events:
            self.read_to = events[-1].seq
        return self._measure([Pending(stored) for stored in events])

    def add_replays(self, events: Sequence[StoredEvent]) -> list[Pending]:
        """Add dead letters to send again, except those that are in the window already."""
        new = [Pending(stored, replay=True) for stored in events if stored.seq not in self.replaying]
        self.replaying.update(pending.seq for pending in new)
        return self._measure(new)

    def _measure(self, added: list[Pending]) -> list[Pending]:
        self._sizes |= {pending.seq: pending.size for pending in added}
        self.bytes += sum(pending.size for pending in added)
        return added

    def finish(self, result: BatchResult) -> None:
        """Note which events of a batch are delivered or rejected."""
        outcomes: dict[int, Rejection | str | None] = dict.fromkeys(result.delivered)
        outcomes |= dict.fromkeys(result.delivered[: result.unattributed], result.detail)
        outcomes |= {rejection.seq: rejection for rejection in result.rejected}
        self.bytes -= sum(self._sizes.pop(seq) for seq in outcomes)
        self._finished |= outcomes

    def settlement(self) -> Settlement | None:
        """Return what the store should commit next; None if nothing has moved."""
        if self._unsettled is not None:
            return self._unsettled
        position, delivered, unattributed, detail = self.position, 0, 0, ""
        dead: list[Rejection] = []
        while position + 1 in self._finished:  # the store counts without a gap
            position += 1
            outcome = self._finished.pop(position)
            if isinstance(outcome, Rejection):
                dead.append(outcome)
                continue
            delivered += 1
            if outcome is not None:
                unattributed, detail = unattributed + 1, outcome
        # The position has passed a replay long ago, so no event of the log has its seq.
        replays = {seq: self._finished.pop(seq) for seq in sorted(self.replaying & self._finished.keys())}
        if position > self.position or replays:
            replayed = [seq for seq, outcome in replays.items() if not isinstance(outcome, Rejection)]
            dead_again = [outcome for outcome in replays.values() if isinstance(outcome, Rejection)]
            self._unsettled = Settlement(
                position, delivered, dead, unattributed, detail, replayed, dead_again
            )
        return self._unsettled

    def settled(self) -> Settlement:
        """Move the position, because the store has committed the settlement; return that."""
        settlement, self._unsettled = self._unsettled, None
        assert settlement is not None
        self.position = settlement.position
        self.replaying.difference_update(settlement.replayed, [one.seq for one in settlement.dead_again])
        return settlement
