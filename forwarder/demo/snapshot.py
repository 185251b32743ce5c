"""The data that the demo shows at one moment: numbers that add up, and the newest events."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from forwarder.app import Forwarder
from forwarder.core.event import Source, StoredEvent
from forwarder.ecs.document import DocumentOptions, document
from forwarder.emulator.emulator import Emulator
from forwarder.okta.hooks.event_type_presets import ALL_ELIGIBLE, resolve

ORG, SINK = "demo", "archive"

HOOK, LOG_ONLY, MISSED = "hook", "log", "missed"
"""How the forwarder got an event: by the hook; from the System Log, because hooks cannot carry its event
type; or from the System Log, although hooks can carry its type, so the hook missed it."""

_MOST_ROWS = 100
_MOST_BYTES = 1 << 20
_ELIGIBLE = resolve(ALL_ELIGIBLE)


class EventRow(NamedTuple):
    """One event in the list of the picture, as texts."""

    seq: int
    time: str
    source: str
    event_type: str
    user: str
    outcome: str
    address: str
    country: str


class Snapshot(NamedTuple):
    """The numbers of the demo at one moment, and its newest events.

    `happened` = `on_the_way` + `stored`; `stored` = `by_hook` + `by_log` = `delivered` + `waiting` + `dead`.

    Attributes:
        on_the_way: the number of events that happened, but that the forwarder has not stored yet.
        log_only: the number of events from the System Log whose types hooks cannot carry.
        missed: the number of events from the System Log that the hook should have delivered.
        refused: the number of requests to the hook receiver that got a response other than 200.
        hook: the state of the hook, such as `live`.
        next_try: the seconds until the sink tries again; None if it does not wait for a retry.
    """

    happened: int
    on_the_way: int
    by_hook: int
    by_log: int
    log_only: int
    missed: int
    refused: int
    hook: str
    stored: int
    duplicates: int
    delivered: int
    waiting: int
    dead: int
    next_try: float | None
    rows: Sequence[EventRow]


class Watcher:
    """Takes snapshots of a forwarder and its emulated org."""

    def __init__(self, forwarder: Forwarder, emulator: Emulator) -> None:
        self._forwarder = forwarder
        self._emulator = emulator
        self._view = forwarder.store.view
        self._rows: list[EventRow] = []

    async def look(self) -> Snapshot:
        """Take a snapshot.

        Raises:
            StoreError: the store cannot be read.
        """
        status = await self._forwarder.status.gather()
        await self._read_rows()
        ledger = self._emulator.ledger()
        okta, sink, stored = status["okta"][ORG], status["sinks"][SINK], status["stored"]
        codes = _counted(self._forwarder, "hook_requests", "code")
        by_log = _counted(self._forwarder, "events_received", "via").get(Source.LOG.value, 0)
        missed = min(okta["log"]["missed"], by_log)
        return Snapshot(
            happened=(happened := max(len(ledger.events) + len(ledger.own), stored)),
            on_the_way=happened - stored,
            by_hook=stored - by_log,
            by_log=by_log,
            log_only=by_log - missed,
            missed=missed,
            refused=sum(codes.values()) - codes.get("200", 0),
            hook=okta["hook"]["condition"],
            stored=stored,
            duplicates=status["duplicates"],
            delivered=sink["delivered"],
            waiting=sink["waiting"],
            dead=sink["dead"],
            next_try=sink["next_try_in_seconds"],
            rows=self._rows,
        )

    async def _read_rows(self) -> None:
        newest = self._view.newest
        after = max(self._rows[-1].seq if self._rows else 0, newest - _MOST_ROWS)
        found = await self._view.events(after, limit=_MOST_ROWS, max_bytes=_MOST_BYTES)
        self._rows = [*self._rows, *(_row(event) for event in found)][-_MOST_ROWS:]


def _row(stored: StoredEvent) -> EventRow:
    event = stored.event
    tree: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(event, DocumentOptions())))
    client = tree.get("client", {})
    source = HOOK if event.source is Source.HOOK else MISSED if event.event_type in _ELIGIBLE else LOG_ONLY
    return EventRow(
        seq=stored.seq,
        time=str(tree["@timestamp"])[11:19],
        source=source,
        event_type=event.event_type,
        user=str(tree.get("user", {}).get("name", "")),
        outcome=str(tree["event"].get("outcome", "")),
        address=str(client.get("ip", "")),
        country=str(client.get("geo", {}).get("country_name", "")),
    )


def _counted(forwarder: Forwarder, counter: str, label: str) -> Mapping[str, int]:
    """Return the values of one counter of the forwarder, added up for each value of `label`.

    `counter` is the name of an attribute of `Metrics`.
    """
    counts: Counter[str] = Counter()
    for sample in getattr(forwarder.metrics, counter).collect()[0].samples:
        if sample.name.endswith("_total"):
            counts[sample.labels[label]] += int(sample.value)
    return counts
