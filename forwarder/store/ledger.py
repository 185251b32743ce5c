"""The ledger: where every stored event is, for each sink. `stored = delivered + dead + discarded + skipped + waiting`.

The two sides come from different places: `stored` from a counter that each commit moves, `delivered`, `discarded` and
`skipped` from the sink's own row, `dead` from the dead letters that exist, `waiting` from the events that exist.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from forwarder.core.time import Micros
from forwarder.store.sqlite import schema


class SinkLedger(msgspec.Struct, frozen=True):
    """Where the stored events are, as one sink sees it.

    Attributes:
        delivered: taken by it.
        dead: refused by it, and kept as dead letters.
        discarded: dead letters that an operator threw away.
        skipped: never meant for it.
        waiting: still to be sent, dead letters that are sent again included.
        position: every event up to here is finished.
        oldest: when the oldest waiting event of the log was received; None where none waits.
    """

    delivered: int
    dead: int
    discarded: int
    skipped: int
    waiting: int
    position: int
    oldest: Micros | None


class Ledger(msgspec.Struct, frozen=True):
    """Where every event is.

    Attributes:
        stored: events ever stored.
        duplicates: events that were known already.
        rejected: elements that were no event.
        sinks: by name, those that are configured (or were, when a forwarder last ran on the store).
        events: whose bodies are held.
        bytes: on disk, the log included.
    """

    stored: int
    duplicates: int
    rejected: int
    sinks: dict[str, SinkLedger]
    events: int
    bytes: int

    @property
    def faults(self) -> list[str]:
        """One line for each sink whose numbers do not add up to `stored`; empty when every event is accounted for."""
        return [
            f"{name}: {total} accounted for, {self.stored} stored"
            for name, sink in self.sinks.items()
            if (total := sink.delivered + sink.dead + sink.discarded + sink.skipped + sink.waiting)
            != self.stored
        ]

    @property
    def balanced(self) -> bool:
        """Whether every event is accounted for."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """What `stats --json` prints."""
        keys = ("delivered", "dead", "discarded", "skipped", "waiting")
        return {
            "stored": self.stored,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
            "sinks": {name: {key: getattr(sink, key) for key in keys} for name, sink in self.sinks.items()},
            "balanced": self.balanced,
            "events": self.events,
            "bytes": self.bytes,
        }


def read_ledger(path: Path) -> Ledger:
    """The ledger of the store at `path`, whether or not a forwarder runs on it. Reads only.

    It counts the waiting events one by one, so it takes as long as it takes to read their bodies.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    try:
        with closing(schema.connect_reader(path)) as db:
            return ledger(db, path, count=True)
    except sqlite3.Error as error:
        raise schema.trouble(path, error) from error


def ledger(db: sqlite3.Connection, path: Path, *, count: bool) -> Ledger:
    """The ledger as `db` sees it at one moment.

    Args:
        db: a reading connection.
        path: of the store.
        count: count waiting events one by one; else take the first and the last of them, which a hole between
            them would escape, and which takes no time.
    """
    with one_moment(db):
        stored, duplicates, rejected = db.execute(
            "SELECT stored, duplicates, rejected FROM counters"
        ).fetchone()
        first, last = db.execute(
            "SELECT (SELECT MIN(seq) FROM events), (SELECT MAX(seq) FROM events)"
        ).fetchone()
        letters: dict[tuple[str, str], int] = {
            (sink, state): number
            for sink, state, number in db.execute(
                "SELECT sink, state, SUM(count) FROM dead_letters GROUP BY sink, state"
            )
        }
        sinks = {}
        for name, position, delivered, discarded, skipped in db.execute(
            "SELECT sink, seq, delivered, discarded, skipped FROM positions WHERE attached ORDER BY sink"
        ).fetchall():
            after = 0 if last is None else max(0, last - max(position, first - 1))
            if count:
                after = db.execute("SELECT COUNT(*) FROM events WHERE seq > ?", (position,)).fetchone()[0]
            waiting = after + letters.get((name, "replaying"), 0)
            sinks[name] = SinkLedger(
                delivered,
                letters.get((name, "dead"), 0),
                discarded,
                skipped,
                waiting,
                position,
                _received_after(db, position),
            )
    held = 0 if last is None else last - first + 1
    return Ledger(stored, duplicates, rejected, sinks, held, disk_bytes(path))


def disk_bytes(path: Path) -> int:
    """Bytes of the file and its log."""
    total = 0
    for name in (path, path.with_name(path.name + "-wal")):
        try:
            total += name.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _received_after(db: sqlite3.Connection, position: int) -> Micros | None:
    row = db.execute(
        "SELECT received_at FROM events WHERE seq > ? ORDER BY seq LIMIT 1", (position,)
    ).fetchone()
    return None if row is None else int(row[0])


@contextmanager
def one_moment(db: sqlite3.Connection) -> Iterator[None]:
    """All queries inside see the same commit."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
