"""The ledger: for each sink, where every stored event is.

For each sink, `stored = delivered + dead + discarded + skipped + filtered + waiting` must be true. If an event were lost
or counted twice, the equation would show it, because the two sides have separate sources: `stored` is one counter for the
whole store, which each commit of events increases; `delivered`, `discarded`, `skipped` and `filtered` are counters of the
sink; `dead` is the number of the sink's dead letters in the store, and `waiting` is counted from the events in the store.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from forwarder.control_socket import ControlRequest
from forwarder.core.time import Micros


class ForgetSinkRequest(ControlRequest, frozen=True, tag="forget_sink"):
    """Asks the running forwarder to forget a sink that is no longer configured."""

    sink: str


PLACES = ("delivered", "dead", "discarded", "skipped", "filtered", "waiting")
"""The places where a stored event can be for a sink. The sum of the attributes of `SinkLedger` with these names must be
`Ledger.stored`."""


class SinkLedger(msgspec.Struct, frozen=True):
    """The numbers of stored events in each place, for one sink.

    Attributes:
        delivered: the number of events that the sink accepted.
        dead: the number of events that the sink rejected, and that are dead letters.
        discarded: the number of dead letters that an operator removed.
        skipped: the number of events that the sink never gets: those from before its start, and those whose bodies were
            dropped while it was not configured.
        filtered: the number of events that the sink's settings (`only`, `except`) exclude.
        waiting: the number of events after the position (most are not sent yet, some may be finished but not committed),
            plus the number of dead letters that are sent again.
        position: the `seq` up to which the sink has finished every event.
        oldest: when the oldest event after the position was received; None if there is none.
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
    """The counts of the store, and for each sink where every stored event is.

    Attributes:
        stored: the number of events ever stored, including alerts of rules and events that report actions.
        duplicates: the number of copies of events that were stored already.
        rejected: the number of malformed events ever received, each of which became a dead letter of the receiver. An
            event that a replay could read after all no longer counts.
        sinks: the ledger of each sink, by its name, for the sinks that were configured when a forwarder last ran on
            the store.
        events: the number of events whose bodies the store holds.
        bytes: the size of the store on disk in bytes, including the WAL.
        wal_bytes: the size of the WAL in bytes.
        removed: for each sink that is no longer configured, by its name, the number of events that wait for it or are
            its dead letters; a sink without any is left out.
        alerts: the number of events among `stored` that are alerts of rules.
        actions: the number of events among `stored` that report actions of reactions.
        receiver_dead: the number of malformed events that are dead letters now: neither replayed nor discarded.
    """

    stored: int
    duplicates: int
    rejected: int
    sinks: dict[str, SinkLedger]
    events: int
    bytes: int
    wal_bytes: int = 0
    removed: Mapping[str, int] = {}
    alerts: int = 0
    actions: int = 0
    receiver_dead: int = 0

    @property
    def waiting_bytes(self) -> int:
        """The size in bytes of the events that wait for the slowest sink, estimated from their number."""
        waiting = max((sink.waiting for sink in self.sinks.values()), default=0)
        return round(self.bytes * min(1.0, waiting / self.events)) if self.events else 0

    @property
    def imbalances(self) -> list[str]:
        """One line of text for each sink whose numbers do not add up to `stored`."""
        return [
            f"{name}: {total} accounted for, {self.stored} stored"
            for name, sink in self.sinks.items()
            if (total := sum(getattr(sink, place) for place in PLACES)) != self.stored
        ]

    @property
    def balanced(self) -> bool:
        """Whether the numbers of each sink add up to `stored`."""
        return not self.imbalances

    def as_json(self) -> dict[str, Any]:
        """Return what `stats --json` prints."""
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
