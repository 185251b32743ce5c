"""The window: the part of the log between a sink's position and the newest event read for the sink. No I/O.

Because of three invariants, nothing is lost:

- An event that was read is unfinished until it is delivered, rejected or filtered; a retry does not finish it.
- The position moves only over finished events, in the order of the log, and only after the store has
  committed the move. So a crash loses outcomes, never events: everything in the window is sent again.
- A settlement is built once, and offered unchanged until the store has taken it. A store that has committed
  the settlement already refuses it, so no event is counted twice.
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection
from forwarder.core.ports import Settlement
from forwarder.deliver.batching import Pending


class _Finished(Enum):
    """How an event that was not rejected ended.

    If the `_Outcome` of an event is a text, the event counts as an unattributed rejection, and the text is
    the detail.
    """

    DELIVERED = auto()
    FILTERED = auto()


_Outcome = Rejection | str | _Finished


class Window:
    """The window of one sink.

    Attributes:
        position: the `seq` up to which every event is finished, as committed in the store.
        read_to: the `seq` of the newest event that was read.
        bytes: the size of the bodies of all unfinished events.
        replaying: seqs of the replays that are not settled yet.
    """

    def __init__(self, position: int, accepts: Callable[[str], bool] | None = None) -> None:
        """Begin at `position`. Events whose type `accepts` does not accept are filtered; None accepts all."""
        self.position = position
        self._accepts = accepts
        self.read_to = position
        self.bytes = 0
        self.replaying: set[int] = set()
        self._sizes: dict[int, int] = {}  # of unfinished events
        self._finished: dict[int, _Outcome] = {}  # events that are finished but not settled
        self._unsettled: Settlement | None = None

    @property
    def events(self) -> int:
        """How many events of the log were read and are not settled, finished ones included."""
        return self.read_to - self.position

    def add(self, events: Sequence[StoredEvent]) -> list[Pending]:
        """Add the next events of the log; return the events to send, without the filtered ones."""
        if events:
            self.read_to = events[-1].seq
        return self._measure([Pending(stored) for stored in self._filter(events)])

    def add_replays(self, events: Sequence[StoredEvent]) -> list[Pending]:
        """Add dead letters to send again, except those already in the window; return the events to send."""
        new = [stored for stored in events if stored.seq not in self.replaying]
        self.replaying.update(stored.seq for stored in new)
        return self._measure([Pending(stored, replay=True) for stored in self._filter(new)])

    def _filter(self, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        """Return the events whose types the sink accepts; mark the other events as finished."""
        if self._accepts is None:
            return events
        wanted = [stored for stored in events if self._accepts(stored.event.event_type)]
        if len(wanted) < len(events):
            kept = {stored.seq for stored in wanted}
            self._finished |= {stored.seq: _Finished.FILTERED for stored in events if stored.seq not in kept}
        return wanted

    def _measure(self, added: list[Pending]) -> list[Pending]:
        self._sizes |= {pending.seq: pending.size for pending in added}
        self.bytes += sum(pending.size for pending in added)
        return added

    def finish(self, result: BatchResult) -> None:
        """Record which events of a batch are delivered or rejected, as the checked `result` says."""
        outcomes: dict[int, _Outcome] = dict.fromkeys(result.delivered, _Finished.DELIVERED)
        outcomes |= dict.fromkeys(result.delivered[: result.unattributed], result.detail)
        outcomes |= {rejection.seq: rejection for rejection in result.rejected}
        self.bytes -= sum(self._sizes.pop(seq) for seq in outcomes)
        self._finished |= outcomes

    def settlement(self) -> Settlement | None:
        """Return the settlement for the store to commit next; None if there are no results to commit.

        Until `settled` is called, return the same settlement again.
        """
        if self._unsettled is not None:
            return self._unsettled
        position, detail = self.position, ""
        dead: list[Rejection] = []
        filtered: list[int] = []
        unattributed = 0
        while position + 1 in self._finished:  # `seq` has no gaps
            position += 1
            outcome = self._finished.pop(position)
            if isinstance(outcome, Rejection):
                dead.append(outcome)
            elif outcome is _Finished.FILTERED:
                filtered.append(position)
            elif isinstance(outcome, str):
                unattributed, detail = unattributed + 1, outcome
        # The position passed the seq of each replay before, so no event that is read from the log now has it.
        replays = {seq: self._finished.pop(seq) for seq in sorted(self.replaying & self._finished.keys())}
        if position > self.position or replays:
            filtered_replays = [seq for seq, outcome in replays.items() if outcome is _Finished.FILTERED]
            dead_again = [outcome for outcome in replays.values() if isinstance(outcome, Rejection)]
            ended = {*filtered_replays, *(rejection.seq for rejection in dead_again)}
            self._unsettled = Settlement(
                position,
                position - self.position - len(dead) - len(filtered),
                dead,
                unattributed,
                detail,
                [seq for seq in replays if seq not in ended],
                dead_again,
                filtered,
                filtered_replays,
            )
        return self._unsettled

    def settled(self) -> Settlement:
        """Move the position after the store has committed the last settlement; return this settlement."""
        settlement, self._unsettled = self._unsettled, None
        assert settlement is not None
        self.position = settlement.position
        self.replaying.difference_update(
            settlement.replayed, settlement.filtered_replays, [one.seq for one in settlement.dead_again]
        )
        return settlement
