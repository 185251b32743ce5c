"""The ledger: where every stored event is. `stored = delivered + dead + discarded + skipped + filtered + waiting`.

The equation is true for each sink, and its two sides have separate sources: `stored` is a counter that each
commit of events increases; `delivered`, `discarded`, `skipped` and `filtered` are counters of the sink;
`dead` is counted from the dead letters in the store, `waiting` from its events.
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
"""Where a stored event can be, for a sink. The attributes of `SinkLedger` with these names sum to `stored`."""


class SinkLedger(msgspec.Struct, frozen=True):
    """Where the stored events are for one sink.

    Attributes:
        delivered: accepted by the sink.
        dead: rejected by the sink, and kept as dead letters.
        discarded: dead letters that an operator removed.
        skipped: stored before the sink began, or dropped while it was not configured.
        filtered: kept from the sink by its settings (`only`, `except`).
        waiting: after the position, most of them still to be sent; also dead letters that are sent again.
        position: every event up to here is finished.
        oldest: when the oldest waiting event of the log was received; None if none waits.
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
    """Where every event is, for each sink.

    Attributes:
        stored: events ever stored, alerts of rules and events of actions included.
        duplicates: copies of events that were stored already.
        rejected: malformed events ever received; each became a dead letter of the receiver.
        sinks: by name, the sinks that were configured when a forwarder last ran on the store.
        events: events whose bodies are held.
        bytes: the size on disk, with the WAL.
        wal_bytes: the size of the WAL.
        removed: by sink that is no longer configured, how many events wait for it, dead letters included.
        alerts: how many of `stored` are alerts of rules.
        actions: how many of `stored` report actions of reactions.
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

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the events that wait for the slowest sink, estimated from their number."""
        waiting = max((sink.waiting for sink in self.sinks.values()), default=0)
        return round(self.bytes * min(1.0, waiting / self.events)) if self.events else 0

    @property
    def imbalances(self) -> list[str]:
        """One line for each sink whose numbers do not add up to `stored`."""
        return [
            f"{name}: {total} accounted for, {self.stored} stored"
            for name, sink in self.sinks.items()
            if (total := sum(getattr(sink, place) for place in PLACES)) != self.stored
        ]

    @property
    def balanced(self) -> bool:
        """Whether every event is accounted for."""
        return not self.imbalances

    def as_json(self) -> dict[str, Any]:
        """Return what `stats --json` prints."""
        return {
            "stored": self.stored,
            "alerts": self.alerts,
            "actions": self.actions,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "sinks": {
                name: {place: getattr(sink, place) for place in PLACES} for name, sink in self.sinks.items()
            },
            "balanced": self.balanced,
            "events": self.events,
            "bytes": self.bytes,
        } | ({"removed_sinks": dict(self.removed)} if self.removed else {})
