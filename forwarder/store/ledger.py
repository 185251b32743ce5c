"""The ledger: where every stored event is. `stored = delivered + dead + discarded + skipped + filtered + waiting`.

That holds for each sink. The two sides have different origins: `stored` is a counter that each commit moves;
`delivered`, `discarded`, `skipped` and `filtered` are counted with the sink's position; `dead` are the dead letters that
exist, `waiting` the events that exist.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from forwarder.control import Request
from forwarder.core.time import Micros


class ForgetSinkRequest(Request, frozen=True, tag="forget_sink"):
    """Asks the running forwarder to forget a sink that is no longer configured."""

    sink: str


PLACES = ("delivered", "dead", "discarded", "skipped", "filtered", "waiting")
"""Where a stored event can be, for a sink. The attributes of `SinkLedger` of these names add up to `stored`."""


class SinkLedger(msgspec.Struct, frozen=True):
    """Where the stored events are for one sink.

    Attributes:
        delivered: accepted by the sink.
        dead: rejected by the sink, and kept as dead letters.
        discarded: dead letters that an operator removed.
        skipped: never meant for the sink, or dropped before it was attached.
        filtered: kept from the sink by its settings (`only`, `except`).
        waiting: still to be sent, including dead letters that are sent again.
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
    """Where every event is.

    Attributes:
        stored: events ever stored, alerts of rules and events of actions included.
        duplicates: copies of events that were stored already.
        rejected: malformed events; dead letters of the receiver.
        sinks: by name; only those that were configured when a forwarder last ran on the store.
        events: events whose bodies are held.
        bytes: on disk, including the engine's own files.
        wal_bytes: those of them that are in the WAL.
        removed: sinks that are no longer configured, and how many events wait for each, dead letters included.
        alerts: those of `stored` that are alerts of rules.
        actions: those of `stored` that say what reactions did.
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
        """Bytes of the events that a sink waits for, estimated from their number."""
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
