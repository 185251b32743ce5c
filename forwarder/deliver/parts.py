"""A batch, taken apart by its outcome: what is delivered, rejected, to be sent again. Pure.

A sink's word is not trusted blindly: an event that its outcome forgets or names twice is sent again, because a second
copy is harmless and a lost event is not.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from forwarder.core.outcome import BatchResult, Rejection, RejectReason
from forwarder.deliver.batching import Pending


class Parts(msgspec.Struct):
    """The events of one batch, each in exactly one of the three lists.

    Attributes:
        delivered: the sink has them.
        rejected: it will never take them.
        retry: send them again.
        unattributed: seqs among `delivered` that stand for as many events that the sink refused without saying which.
        unattributed_detail: its own words about those.
        faults: events that the outcome forgot, named twice, or named though they were not sent: the sink has a bug.
    """

    delivered: list[Pending]
    rejected: list[tuple[Pending, Rejection]]
    retry: list[Pending]
    unattributed: list[int]
    unattributed_detail: str = ""
    faults: int = 0

    @property
    def taken(self) -> bool:
        """The sink took some of the events, or said for some that it never will."""
        return bool(self.delivered or self.rejected)

    @property
    def words(self) -> str:
        """The sink's own words about an event that it refuses for ever; empty where there is none."""
        return self.rejected[-1][1].detail if self.rejected else self.unattributed_detail


def take_apart(batch: Sequence[Pending], outcome: BatchResult) -> Parts:
    """Put each event of `batch` where `outcome` says."""
    rejections = {rejection.seq: rejection for rejection in outcome.rejected}
    delivered = set(outcome.delivered)
    retry = set(outcome.retry)
    named = Counter([*outcome.delivered, *outcome.retry, *(rejection.seq for rejection in outcome.rejected)])
    parts = Parts([], [], [], [])
    for pending in batch:
        seq = pending.seq
        if named.pop(seq, 0) != 1:
            parts.faults += 1
            parts.retry.append(pending)
        elif seq in delivered:
            parts.delivered.append(pending)
        elif seq in retry:
            parts.retry.append(pending)
        else:
            parts.rejected.append((pending, rejections[seq]))
    parts.faults += len(named)
    _unattributed(parts, outcome)
    return parts


def _unattributed(parts: Parts, outcome: BatchResult) -> None:
    """Events that the sink refused without saying which count as dead; which ones is arbitrary, how many is not.

    Where it refused all, and for replays (a replay that is not certainly delivered stays a dead letter), they are
    rejections like any other.
    """
    refused = min(outcome.unattributed, len(parts.delivered))
    if not refused:
        return
    if refused < len(parts.delivered) and not parts.delivered[0].replay:
        parts.unattributed = [pending.seq for pending in parts.delivered[:refused]]
        parts.unattributed_detail = outcome.detail
        return
    words = outcome.detail or "the sink refused it without saying why"
    for pending in parts.delivered[:refused]:
        parts.rejected.append((pending, Rejection(pending.seq, RejectReason.PARTIAL_SUCCESS, words)))
    del parts.delivered[:refused]


class DeadLetterLimit:
    """Stops a sink that refuses everything from emptying the store into the dead letters.

    Attributes:
        reached: more than the limit were rejected in a row, and none was delivered since. The sink is tried with one
            event at a time until it takes one.
    """

    def __init__(self, limit: int) -> None:
        self.reached = False
        self._limit = limit
        self._streak = 0

    def apply(self, parts: Parts) -> list[Pending]:
        """Take the events beyond the limit out of `parts.rejected`; they are given back, and stay waiting."""
        rejected = {pending.seq for pending, _ in parts.rejected if not pending.replay}
        if not self._limit:
            return []
        beyond: set[int] = set()
        for seq in sorted([*rejected, *(pending.seq for pending in parts.delivered)]):
            if seq not in rejected:
                self._streak, self.reached = 0, False
            elif self._streak < self._limit:
                self._streak += 1
            else:
                self.reached = True
                beyond.add(seq)
        held = [pending for pending, _ in parts.rejected if pending.seq in beyond]
        parts.rejected = [part for part in parts.rejected if part[0].seq not in beyond]
        return held
