"""The queries and the operation of a redelivery. The queries find the events of a range. The operation makes replays of
the found events: copies that wait to be sent to the sink again."""

import sqlite3
from collections import Counter

import msgspec

from forwarder.core.event_types import EventTypes
from forwarder.core.time import SECOND, Micros
from forwarder.store.redelivery import Accepts, Range, RedeliveryCheckpoint, RedeliveryPlan, checkpoint_name
from forwarder.store.sqlite import prune, queries
from forwarder.store.sqlite.find import sink_life
from forwarder.store.sqlite.transaction import Transaction

_MAX_ROWS = 2_000  # the most rows that one query reads

_INSERT_REPLAY = """
INSERT INTO dead_letters (sink, seq, state, count, reason, detail, at,
  org, uuid, event_type, published, received_at, via, envelope_id, body)
SELECT ?, seq, 'replaying', 1, 'replay', 'delivered again by an operator', ?,
  name, uuid, event_type, published, received_at, via, envelope_id, body
FROM events CROSS JOIN orgs ON id = org WHERE seq = ?
"""


def bounds(db: sqlite3.Connection, chosen: Range) -> tuple[int, int]:
    """See `store.interface.Store.redelivery_bounds`. Call this within `queries.snapshot`."""
    low, high = db.execute(
        "SELECT (SELECT MIN(seq) FROM events), (SELECT MAX(seq) FROM events)"  # one SELECT would read all rows
    ).fetchone()
    if low is None:
        return 1, 0
    first = queries.first_received(db, low, high, chosen.since - queries.RECEIPT_SLACK)
    return first, queries.first_received(db, low, high, chosen.until + queries.RECEIPT_SLACK) - 1


def plan(db: sqlite3.Connection, sink: str, chosen: Range, accepts: Accepts) -> RedeliveryPlan:
    """See `store.interface.StoreCommands.redelivery_plan`."""
    with queries.snapshot(db):
        counts = _count(db, sink, chosen, accepts, *bounds(db, chosen))
        low, stored = db.execute("SELECT (SELECT MIN(seq) FROM events), stored FROM counters").fetchone()
        oldest = db.execute("SELECT received_at FROM events WHERE seq = ?", (low,)).fetchone()
        gone = _count_dropped(db, chosen, oldest and oldest[0], stored if low is None else low - 1)
        return RedeliveryPlan(**counts, gone=gone, oldest=oldest and oldest[0])


def step(
    db: sqlite3.Connection, chosen: Range, accepts: Accepts, *, after: int, last: int, limit: int
) -> tuple[list[int], int]:
    """See `store.interface.Store.redelivery_step`. One call checks at most 2,000 events, so it may return fewer than
    `limit` events although the range has more events."""
    seqs: list[int] = []
    matches = _Matches(chosen, accepts)
    rows = db.execute(
        "SELECT seq, name, event_type, received_at FROM events CROSS JOIN orgs ON id = org "
        "WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (after, last, _MAX_ROWS),
    )
    reached = after
    for reached, *row in rows:
        if matches(*row):
            seqs.append(reached)
            if len(seqs) >= limit:
                return seqs, reached
    more = db.execute("SELECT 1 FROM events WHERE seq > ? AND seq <= ? LIMIT 1", (reached, last)).fetchone()
    return seqs, reached if more else last


def make_replays(tx: Transaction, sink: str, seqs: list[int], checkpoint: RedeliveryCheckpoint) -> int:
    """See `store.interface.Store.redeliver`."""
    row = tx.db.execute(
        "SELECT seq, delivered, skipped, filtered, attached FROM positions WHERE sink = ?", (sink,)
    ).fetchone()
    taken: Counter[str] = Counter()
    if row is not None:
        position, delivered, skipped, filtered, attached = row
        counters = {"delivered": delivered, "skipped": skipped, "filtered": filtered}
        for seq in seqs:
            place = sink_life(tx.db, seq, sink, position, attached).place
            if place in {"waiting", "dead", "discarded"}:
                continue
            counter = _counter_name(place, seq, skipped, {name: counters[name] - taken[name] for name in counters})
            if counter is not None and _make_replay(tx, sink, seq):
                taken[counter] += 1
        tx.db.execute(
            "UPDATE positions SET delivered = delivered - ?, skipped = skipped - ?, filtered = filtered - ? "
            "WHERE sink = ?",
            (taken["delivered"], taken["skipped"], taken["filtered"], sink),
        )
    checkpoint = msgspec.structs.replace(checkpoint, taken=checkpoint.taken + taken.total())
    tx.db.execute(
        "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (checkpoint_name(sink), msgspec.json.encode(checkpoint).decode()),
    )
    return taken.total()


def waiting(db: sqlite3.Connection, sink: str) -> int:
    """See `store.interface.Store.waiting_replays`."""
    return int(
        db.execute("SELECT COUNT(*) FROM dead_letters WHERE sink = ? AND state = 'replaying'", (sink,)).fetchone()[0]
    )


def _counter_name(place: str, seq: int, skipped: int, counters: dict[str, int]) -> str | None:
    """Return the name of the counter of the sink that must be reduced by 1 when a replay of the event `seq` is made.

    `counters` has the counters `delivered`, `skipped` and `filtered`. The result is the counter of `place`, the event's
    place. If the counter of `place` is 0, the result is another counter that is not 0. If all counters are 0, the
    result is None, and no replay may be made. A counter can be too low, because an event that the sink rejected without
    naming it has the place `delivered`, but is not counted in `delivered`.

    The place `finished` means that an older version of the forwarder did not record how the event was finished. In this
    case, the function assumes the place `skipped` for the first `skipped` events of the log, and `delivered` for later
    events.
    """
    if place == "finished":
        place = "skipped" if seq <= skipped else "delivered"
    order = sorted(counters, key=lambda name: name != place)
    return next((name for name in order if counters[name] > 0), None)


def _make_replay(tx: Transaction, sink: str, seq: int) -> bool:
    size = tx.db.execute("SELECT LENGTH(body) FROM events WHERE seq = ?", (seq,)).fetchone()
    if size is None:
        return False
    # This may drop bodies to make space, even the body of this event. Then no row is copied.
    tx.reserve_space(size[0] + prune.ROW_BYTES)
    return tx.db.execute(_INSERT_REPLAY, (sink, tx.now, seq)).rowcount == 1


class _Matches:
    """A filter for events: whether an event is in the range `chosen`, and whether the sink accepts its type."""

    def __init__(self, chosen: Range, accepts: Accepts) -> None:
        self._chosen = chosen
        self._types = EventTypes(chosen.types) if chosen.types else None
        self._accepts = accepts

    def in_range(self, org: str, event_type: str, received_at: Micros) -> bool:
        return (
            self._chosen.since <= received_at < self._chosen.until
            and self._chosen.org in ("", org)
            and (self._types is None or event_type in self._types)
        )

    def accepts(self, event_type: str) -> bool:
        return self._accepts is None or self._accepts(event_type)

    def __call__(self, org: str, event_type: str, received_at: Micros) -> bool:
        return self.in_range(org, event_type, received_at) and self.accepts(event_type)


def _count(db: sqlite3.Connection, sink: str, chosen: Range, accepts: Accepts, first: int, last: int) -> dict[str, int]:
    matches = _Matches(chosen, accepts)
    position = (db.execute("SELECT seq FROM positions WHERE sink = ?", (sink,)).fetchone() or (0,))[0]
    states = dict(
        db.execute(
            "SELECT seq, state FROM dead_letters WHERE sink = ? AND seq BETWEEN ? AND ?", (sink, first, last)
        ).fetchall()
    )
    discarded = {
        seq
        for (seq,) in db.execute(
            "SELECT seq FROM ended_letters WHERE sink = ? AND place = 'discarded' AND seq BETWEEN ? AND ?",
            (sink, first, last),
        )
    }
    counts: Counter[str] = Counter()
    for seq, org, event_type, received_at in db.execute(
        "SELECT seq, name, event_type, received_at FROM events CROSS JOIN orgs ON id = org "
        "WHERE seq BETWEEN ? AND ? ORDER BY seq",
        (first, last),
    ):
        if not matches.in_range(org, event_type, received_at):
            continue
        if not matches.accepts(event_type):
            counts["filtered"] += 1
        elif states.get(seq) == "dead":
            counts["dead"] += 1
        elif seq > position or seq in states:
            counts["waiting"] += 1
        else:
            counts["discarded" if seq in discarded else "events"] += 1
    return dict(counts)


def _count_dropped(db: sqlite3.Connection, chosen: Range, oldest: Micros | None, dropped: int) -> int:
    """Return the number of events of the range `chosen` whose bodies were dropped.

    An event is not counted if its uuid was dropped too, because the store then knows nothing about the event any more.
    The types of `chosen` are ignored, because the types of the dropped events are not known.

    `oldest` is the time when the oldest event with a body was received; None if the store holds no bodies. `dropped` is
    the number of bodies that were ever dropped.
    """
    until = chosen.until if oldest is None else min(chosen.until, oldest)
    if not dropped or chosen.since >= until:
        return 0
    known = db.execute(
        "SELECT COUNT(*) FROM known CROSS JOIN orgs ON id = org WHERE since >= ? AND since < ? AND ? IN ('', name)",
        (chosen.since // SECOND, -(-until // SECOND), chosen.org),
    ).fetchone()[0]
    return min(int(known), dropped)
