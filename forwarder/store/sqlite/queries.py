# ruff: noqa: S608 - statements are built from constants; every value is a parameter
"""The queries of the store. Each query is a function whose first argument is a connection."""

import sqlite3
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from forwarder.core.action import Claim
from forwarder.core.event import Event, Source, StoredEvent
from forwarder.core.ports import DeadLetterSelection
from forwarder.core.time import SECOND, Micros
from forwarder.store.dead_letters import RECEIVER, DeadLetter
from forwarder.store.gaps import Gap, Gaps
from forwarder.store.ledger import Ledger, SinkLedger
from forwarder.store.sqlite.encoded_uuid import decode_uuid, encode_uuid
from forwarder.store.sqlite.schema import file_bytes, wal_path
from forwarder.store.sqlite.space_limit import used_bytes

EVENT = "seq, name, uuid, event_type, published, received_at, via, envelope_id, body"
_DEAD_LETTER = "SELECT id, sink, seq, state, count, reason, detail, at, org, uuid, event_type"
_SELECTED = """
(:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))
AND (:sink IS NULL OR sink = :sink) AND (:reason IS NULL OR reason = :reason) AND (:last IS NULL OR id <= :last)
AND (:until IS NULL OR at <= :until)
"""

_MOST_BYTES = 2**62  # larger than any store, so it stands for no limit
_INTEGER = 2**63 - 1
"""The largest integer that SQLite can hold. An operator may enter a larger number, but no row can have it."""

RECEIPT_SLACK = 60 * SECOND
"""The log is not sorted exactly by the times when the events were received: an event may be received up to this time
earlier than an event before it. Commits can overtake each other, and the clock can be set back."""

_GAPS = "FROM awaited CROSS JOIN orgs ON id = org WHERE"
_MATCHING = "(:org IS NULL OR name = :org) AND (:since IS NULL OR published >= :since)"


def read(db: sqlite3.Connection, after: int, limit: int, max_bytes: int) -> list[StoredEvent]:
    """See `core.ports.EventLog.read`."""
    rows = db.execute(
        f"SELECT {EVENT} FROM events CROSS JOIN orgs ON id = org WHERE seq > ? ORDER BY seq LIMIT ?",
        (_clamped(after), limit),
    )
    return _events(rows, max_bytes)


def alerts(db: sqlite3.Connection, since: Micros) -> list[StoredEvent]:
    """See `store.interface.StoreCommands.alerts`."""
    rows = db.execute(
        f"SELECT {EVENT} FROM alerts CROSS JOIN events USING (seq) CROSS JOIN orgs ON id = org WHERE received_at >= ? ORDER BY seq",
        (since,),
    )
    return _events(rows, _MOST_BYTES)


def alerts_after(db: sqlite3.Connection, after: int, limit: int) -> list[StoredEvent]:
    """See `store.interface.Store.alerts_after`."""
    rows = db.execute(
        f"SELECT {EVENT} FROM alerts CROSS JOIN events USING (seq) CROSS JOIN orgs ON id = org WHERE seq > ? ORDER BY seq LIMIT ?",
        (_clamped(after), limit),
    )
    return _events(rows, _MOST_BYTES)


def first_received(db: sqlite3.Connection, first: int, last: int, at: Micros) -> int:
    """Return the first `seq` from `first` to `last` whose event was received at `at` or later; `last + 1` if there is
    no such event.

    The result is approximate, because it is a binary search and the events are not sorted exactly by the time when they
    were received. See `RECEIPT_SLACK`.
    """
    return first + bisect_left(range(first, last + 1), at, key=partial(received_at, db))


def received_at(db: sqlite3.Connection, seq: int) -> Micros:
    """Return when the event `seq` was received. The store must hold the body of the event."""
    return int(db.execute("SELECT received_at FROM events WHERE seq = ?", (seq,)).fetchone()[0])


def seq_range(db: sqlite3.Connection) -> tuple[int, int]:
    """See `store.interface.Tail.seq_range`."""
    oldest, newest = db.execute("SELECT (SELECT MIN(seq) FROM events), (SELECT stored FROM counters)").fetchone()
    return (newest + 1 if oldest is None else oldest), newest


def received_since(db: sqlite3.Connection, at: Micros) -> int:
    """See `store.interface.StoreCommands.received_since`."""
    with snapshot(db):  # otherwise bodies might be dropped between two queries
        return first_received(db, *seq_range(db), at - RECEIPT_SLACK)


def replays(db: sqlite3.Connection, sink: str, limit: int, max_bytes: int) -> list[StoredEvent]:
    """See `core.ports.EventLog.replays`. The bodies of the returned events have at most `max_bytes` bytes together.
    Exception: the first event is always returned."""
    rows = db.execute(
        "SELECT seq, org, uuid, event_type, published, received_at, via, envelope_id, body "
        "FROM dead_letters WHERE sink = ? AND state = 'replaying' ORDER BY id LIMIT ?",
        (sink, limit),
    )
    return _events(rows, max_bytes)


def _events(
    rows: Iterable[tuple[int, str, bytes | str, str, int, int, str, bytes | str, bytes]], max_bytes: int
) -> list[StoredEvent]:
    events: list[StoredEvent] = []
    size = 0
    for seq, org, uuid, event_type, published, received_at, via, envelope_id, body in rows:
        size += len(body)
        if events and size > max_bytes:
            break
        event = Event(
            org, decode_uuid(uuid), event_type, published, received_at, Source(via), decode_uuid(envelope_id), body
        )
        events.append(StoredEvent(seq, event))
    return events


def cursor(db: sqlite3.Connection, name: str) -> str | None:
    """See `core.ports.EventStore.cursor`."""
    row = db.execute("SELECT value FROM cursors WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def cursors_with(db: sqlite3.Connection, prefix: str) -> dict[str, str]:
    """See `core.ports.EventStore.cursors_with`."""
    found = db.execute("SELECT name, value FROM cursors WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
    return {name.removeprefix(prefix): value for name, value in found}


def claims(db: sqlite3.Connection, org: str, uuids: Iterable[str]) -> dict[str, Claim]:
    """See `core.action.ClaimReader.claims`."""
    query = (
        "SELECT digest, log_copies IS NOT NULL, differs FROM known "
        "WHERE org = (SELECT id FROM orgs WHERE name = ?) AND uuid = ?"
    )
    found = {}
    for uuid in uuids:
        if (row := db.execute(query, (org, encode_uuid(uuid))).fetchone()) is not None:
            digest, is_logged, differs = row
            found[uuid] = Claim(digest, not differs if is_logged else None)
    return found


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Run the `with` block in one read transaction, so that all its queries see the same state of the store."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


def ledger(db: sqlite3.Connection, path: Path, *, exact: bool) -> Ledger:
    """Return the ledger of the store at `path`.

    If `exact` is True, count the waiting events one by one. This is slow, but shows a lost row of an event, because the
    counts of the ledger then do not add up. If `exact` is False, compute the number of waiting events from the first
    and the last `seq`. This is fast, but does not show a lost row.
    """
    with snapshot(db):
        stored, duplicates, rejected, alerts, actions = db.execute(
            "SELECT stored, duplicates, rejected, alerts, actions FROM counters"
        ).fetchone()
        first, last = db.execute("SELECT (SELECT MIN(seq) FROM events), (SELECT MAX(seq) FROM events)").fetchone()
        letters: dict[tuple[str, str], int] = {
            (sink, state): number
            for sink, state, number in db.execute(
                "SELECT sink, state, SUM(count) FROM dead_letters GROUP BY sink, state"
            )
        }
        sinks, removed = {}, {}
        for name, attached, position, delivered, discarded, skipped, filtered, oldest in db.execute(
            "SELECT sink, attached, seq, delivered, discarded, skipped, filtered, (SELECT received_at FROM events "
            "WHERE events.seq > positions.seq ORDER BY events.seq LIMIT 1) "
            "FROM positions ORDER BY sink"
        ).fetchall():
            after = 0 if last is None else max(0, last - max(position, first - 1))
            if exact:
                after = db.execute("SELECT COUNT(*) FROM events WHERE seq > ?", (position,)).fetchone()[0]
            dead = letters.get((name, "dead"), 0)
            waiting = after + letters.get((name, "replaying"), 0)
            if attached:
                sinks[name] = SinkLedger(delivered, dead, discarded, skipped, filtered, waiting, position, oldest)
            elif waiting + dead:
                removed[name] = waiting + dead
        used = used_bytes(db)
    bodies = 0 if last is None else last - first + 1
    wal = file_bytes(wal_path(path))
    size = file_bytes(path) + wal
    receiver_dead = letters.get((RECEIVER, "dead"), 0)
    return Ledger(stored, duplicates, rejected, sinks, bodies, size, used, wal, removed, alerts, actions, receiver_dead)


def damage(db: sqlite3.Connection, timeout: float) -> list[str] | None:
    """See `store.interface.StoreCommands.damage`."""
    until = time.monotonic() + timeout
    db.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    try:
        lines = [line for (line,) in db.execute("PRAGMA quick_check(10)")]
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    finally:
        db.set_progress_handler(None, 0)
    return [] if lines == ["ok"] else lines


def orgs(db: sqlite3.Connection) -> list[str]:
    """See `store.interface.StoreCommands.orgs`."""
    return [name for (name,) in db.execute("SELECT name FROM orgs ORDER BY name")]


def gaps(db: sqlite3.Connection, org: str | None, since: Micros | None, limit: int | None) -> Gaps:
    """See `store.interface.StoreCommands.gaps`."""
    matching = {"org": org, "since": since, "limit": -1 if limit is None else _clamped(limit)}
    with snapshot(db):
        names = [name for name in orgs(db) if org in (None, name)]
        read = {name for (name,) in db.execute("SELECT substr(name, 5) FROM cursors WHERE name LIKE 'log:%'")}
        found = Gaps({name: {} for name in names}, dict.fromkeys(names, 0), [], read)
        for name, event_type, count in db.execute(
            f"SELECT name, event_type, COUNT(*) {_GAPS} missed_at IS NOT NULL AND {_MATCHING} "
            "GROUP BY name, event_type ORDER BY name, COUNT(*) DESC, event_type",
            matching,
        ):
            found.missed[name][event_type] = count
        pending = f"SELECT name, COUNT(*) {_GAPS} missed_at IS NULL AND {_MATCHING} GROUP BY name"
        found.pending.update(db.execute(pending, matching).fetchall())
        found.events.extend(
            Gap(name, decode_uuid(uuid), *rest)
            for name, uuid, *rest in db.execute(
                f"SELECT name, uuid, event_type, published, since, missed_at {_GAPS} missed_at IS NOT NULL "
                f"AND {_MATCHING} ORDER BY published DESC, name, uuid LIMIT :limit",
                matching,
            )
        )
    return found


def dead_letters(db: sqlite3.Connection, which: DeadLetterSelection, limit: int) -> list[DeadLetter]:
    """See `store.interface.StoreCommands.dead_letters`."""
    rows = db.execute(
        f"{_DEAD_LETTER} FROM dead_letters WHERE {_SELECTED} ORDER BY id DESC LIMIT :limit",
        {**_parameters(which), "limit": _clamped(limit)},
    )
    return [_dead_letter(row) for row in rows]


def count_dead_letters(db: sqlite3.Connection, which: DeadLetterSelection) -> dict[tuple[str, str], int]:
    """See `store.interface.StoreCommands.count_dead_letters`."""
    rows = db.execute(
        f"SELECT sink, reason, SUM(count) FROM dead_letters WHERE state = 'dead' AND {_SELECTED} "
        "GROUP BY sink, reason ORDER BY sink, reason",
        _parameters(which),
    )
    return {(sink, reason): count for sink, reason, count in rows}


def dead_letter(db: sqlite3.Connection, number: int) -> DeadLetter | None:
    """See `store.interface.StoreCommands.dead_letter`."""
    row = db.execute(f"{_DEAD_LETTER}, body FROM dead_letters WHERE id = ?", (_clamped(number),)).fetchone()
    return None if row is None else _dead_letter(row)


def as_of_now(db: sqlite3.Connection, which: DeadLetterSelection) -> DeadLetterSelection:
    """See `store.interface.StoreCommands.as_of_now`."""
    last, until = db.execute(
        f"SELECT MAX(id), MAX(at) FROM dead_letters WHERE state = 'dead' AND {_SELECTED}", _parameters(which)
    ).fetchone()
    return msgspec.structs.replace(which, last=last or 0, until=until)


def dead_letter_ids(db: sqlite3.Connection, which: DeadLetterSelection) -> list[int]:
    """Return the ids of the selected dead letters, oldest first. Leave out dead letters that are being sent again."""
    rows = db.execute(
        f"SELECT id FROM dead_letters WHERE state = 'dead' AND {_SELECTED} ORDER BY id", _parameters(which)
    )
    return [number for (number,) in rows]


def _parameters(which: DeadLetterSelection) -> dict[str, str | int | None]:
    ids = None if which.ids is None else msgspec.json.encode(which.ids).decode()
    return {"ids": ids, "sink": which.sink, "reason": which.reason, "last": which.last, "until": which.until}


def _clamped(number: int) -> int:
    """Return `number`, or the nearest integer that SQLite can store if SQLite cannot store `number`."""
    return max(-_INTEGER, min(number, _INTEGER))


def _dead_letter(row: tuple[Any, ...]) -> DeadLetter:
    number, sink, seq, state, count, reason, detail, at, org, uuid, *rest = row
    return DeadLetter(number, sink, seq, state, count, reason, detail, at, org, decode_uuid(uuid), *rest)
