"""The ledger: for each sink, the number of stored events in each place, such as `delivered` or `waiting`.

For each sink, this equation must be true: `stored = delivered + dead + discarded + skipped + filtered + waiting`. If an
event were lost or counted twice, the equation would be false, because the two sides are counted separately. `stored` is
one counter of the whole store, which grows with each commit of events. `delivered`, `discarded`, `skipped` and
`filtered` are counters of the sink. `dead` is the number of the sink's dead letters, and `waiting` is counted from the
events in the store.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from forwarder.control_socket.messages import ControlRequest
from forwarder.core.time import Micros


class ForgetSinkRequest(ControlRequest, frozen=True, tag="forget_sink"):
    """A request to the running forwarder to delete all data about a sink that is no longer configured."""

    returns: ClassVar[type] = int

    sink: str


PLACES = ("delivered", "dead", "discarded", "skipped", "filtered", "waiting")
"""The places where a stored event can be for a sink. `SinkLedger` has an attribute of each name, and their sum must be
equal to `Ledger.stored`."""


class SinkLedger(msgspec.Struct, frozen=True):
    """The counts of one sink: how many of the stored events are in each place, such as `delivered` or `waiting`.

    Attributes:
        delivered: the number of events that the sink accepted.
        dead: the number of events that the sink rejected, and that are dead letters now.
        discarded: the number of events whose dead letters an operator discarded.
        skipped: the number of events that the sink never gets: they were stored before the sink was added, or their
            bodies were dropped while the sink was not configured.
        filtered: the number of events that the sink's settings (`only`, `except`) exclude.
        waiting: the number of events after `position`, plus the number of replays (events that are sent again) that the
            sink has not finished. The sink may already have some of the waiting events, if their results are not
            committed yet.
        position: a `seq`; the sink has finished every event up to and including this `seq`.
        oldest: when the oldest event after `position` was received; None if there is no event after `position`.
    """

    delivered: int
    dead: int
    discarded: int
    skipped: int
    filtered: int
    waiting: int
    position: int
    oldest: Micros | None


class Ledger(msgspec.Struct, frozen=True):
    """The counts of the whole store, and the ledger of each sink.

    Attributes:
        stored: the number of events ever stored, including alerts of rules and events that report actions.
        duplicates: the number of received copies of events that the store had already.
        rejected: the number of malformed events ever received. A malformed event is no longer counted if an operator
            sent it again and it could be parsed.
        sinks: the ledger of each sink, by the name of the sink. Contains the sinks that were configured when a
            forwarder last ran on the store.
        events: the number of events whose bodies the store holds.
        bytes: the size of the store on disk in bytes, including the WAL.
        used_bytes: the size of the used pages of the store in bytes: new events can use the others.
        wal_bytes: the size of the WAL in bytes.
        removed: for each sink that is no longer configured, by the name of the sink, the number of events that wait for
            the sink or are dead letters of the sink. A sink for which the number is 0 is left out.
        alerts: the number of events among `stored` that are alerts of rules.
        actions: the number of events among `stored` that report actions of reactions.
        receiver_dead: the number of malformed events that are dead letters now. Malformed events that an operator
            discarded, or that could be parsed later, are not counted.
    """

    stored: int
    duplicates: int
    rejected: int
    sinks: dict[str, SinkLedger]
    events: int
    bytes: int
    used_bytes: int = 0
    wal_bytes: int = 0
    removed: Mapping[str, int] = {}
    alerts: int = 0
    actions: int = 0
    receiver_dead: int = 0

    @property
    def waiting_bytes(self) -> int:
        """An estimate of the bytes in used pages of all events that wait for the sink with the most waiting events."""
        waiting = max((sink.waiting for sink in self.sinks.values()), default=0)
        return round(self.used_bytes * min(1.0, waiting / self.events)) if self.events else 0

    @property
    def imbalances(self) -> list[str]:
        """One text for each sink whose counts do not add up to `stored`; empty if the counts of every sink add up."""
        return [
            f"{name}: {total} accounted for, {self.stored} stored"
            for name, sink in self.sinks.items()
            if (total := sum(getattr(sink, place) for place in PLACES)) != self.stored
        ]

    @property
    def balanced(self) -> bool:
        """Whether the numbers of every sink add up to `stored`."""
        return not self.imbalances

    def as_json(self) -> dict[str, Any]:
        """Return the values that `forwarder stats --json` prints."""
        return {
            "stored": self.stored,
            "alerts": self.alerts,
            "actions": self.actions,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "sinks": {name: {place: getattr(sink, place) for place in PLACES} for name, sink in self.sinks.items()},
            "balanced": self.balanced,
            "events": self.events,
            "bytes": self.bytes,
        } | ({"removed_sinks": dict(self.removed)} if self.removed else {})
