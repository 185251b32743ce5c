"""Tracks which events of a sink's window are finished. The window is the part of the log from the sink's position to
the newest event that was read for the sink.

This module uses no I/O. No event is lost, because of three invariants:

- An event that was read is unfinished until it is delivered, rejected, or excluded by the sink's settings. A retry does
  not finish the event.
- The position moves only over finished events, in the order of the log, and only after the store has committed the new
  position. So a crash can lose the outcomes of events, but no event: all events of the window are sent again.
- A settlement (the results that the store commits together) is built once. The worker gives this one object to the
  store again and again until the store confirms the commit. If an earlier try was committed after all, the store counts
  nothing twice.
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection
from forwarder.core.ports import Settlement
from forwarder.deliver.batching import Pending


class _Finished(Enum):
    """The outcome of a finished event that was not rejected."""

    DELIVERED = auto()
    FILTERED = auto()


_Outcome = Rejection | str | _Finished
"""The outcome of a finished event. A text means that the event counts as an unattributed rejection: the sink reported
only how many events of the batch it rejected, and the text is the sink's message."""


class Window:
    """The events that were read for one sink, and whose results the store has not committed yet.

    Attributes:
        position: the sink's position, as committed in the store: every event up to this `seq` is finished.
        read_to: the `seq` of the newest event that was read for the sink.
        bytes: the size of the bodies of all unfinished events, in bytes.
        replaying: the `seq` numbers of the replays (dead letters that are sent again) whose results the store has not
            committed yet.
    """

    def __init__(self, position: int, accepts: Callable[[str], bool] | None = None) -> None:
        """Begin after the sink's position `position`. `accepts` returns whether the sink gets events of a type; None
        means that the sink gets all events."""
        self.position = position
        self._accepts = accepts
        self.read_to = position
        self.bytes = 0
        self.replaying: set[int] = set()
        self._sizes: dict[int, int] = {}  # `seq` of each unfinished event → bytes of its body
        self._finished: dict[int, _Outcome] = {}  # `seq` → outcome of each event that is finished but not settled
        self._unsettled: Settlement | None = None  # the settlement that the store has not confirmed yet

    @property
    def events(self) -> int:
        """The number of events of the log that were read, and whose results the store has not committed yet."""
        return self.read_to - self.position

    def add(self, events: Sequence[StoredEvent]) -> list[Pending]:
        """Add `events`, the next events of the log, to the window. Return those that the sink's settings do not
        exclude. The caller must send the returned events."""
        if events:
            self.read_to = events[-1].seq
        return self._measure([Pending(stored) for stored in self._filter(events)])

    def add_replays(self, events: Sequence[StoredEvent]) -> list[Pending]:
        """Add `events`, which an operator sends again, to the window. Ignore events that are in the window already.

        Return those added events that the sink's settings do not exclude. The caller must send the returned events.
        """
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
        """Record that the delivered and rejected events of `result` are finished. `result` must come from
        `send_batch.checked`."""
        outcomes: dict[int, _Outcome] = dict.fromkeys(result.delivered, _Finished.DELIVERED)
        outcomes |= dict.fromkeys(result.delivered[: result.unattributed], result.detail)
        outcomes |= {rejection.seq: rejection for rejection in result.rejected}
        self.bytes -= sum(self._sizes.pop(seq) for seq in outcomes)
        self._finished |= outcomes

    def settlement(self) -> Settlement | None:
        """Return the settlement that the store must commit next; None if there are no results to commit.

        Until `settled` is called, each call returns the same object, so that the store counts nothing twice if the
        commit is repeated.
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
        # No event of the log in the window has the `seq` of a replay: replays are of events before the position.
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
        """Move `position` to the position of the settlement that the store has just committed, and return this
        settlement. Call this method after each commit."""
        settlement, self._unsettled = self._unsettled, None
        assert settlement is not None
        self.position = settlement.position
        self.replaying.difference_update(
            settlement.replayed, settlement.filtered_replays, [one.seq for one in settlement.dead_again]
        )
        return settlement
