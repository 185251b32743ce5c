"""Queries for a reading connection: events, and where the reader of another source goes on."""

import sqlite3
from collections.abc import Iterable

from forwarder.core.event import Event, Source, StoredEvent
from forwarder.store.sqlite.uuid_key import unpack


def read(db: sqlite3.Connection, after: int, limit: int, max_bytes: int) -> list[StoredEvent]:
    """As `core.ports.EventLog.read`."""
    rows = db.execute(
        "SELECT seq, name, uuid, event_type, published, received_at, via, envelope_id, body "
        "FROM events CROSS JOIN orgs ON id = org WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    )
    return _events(rows, max_bytes)


def replays(db: sqlite3.Connection, sink: str, limit: int, max_bytes: int) -> list[StoredEvent]:
    """As `core.ports.EventLog.replays`, within `max_bytes` of bodies."""
    rows = db.execute(
        "SELECT seq, org, uuid, event_type, published, received_at, via, envelope_id, body "
        "FROM dead_letters WHERE sink = ? AND state = 'replaying' ORDER BY id LIMIT ?",
        (sink, limit),
    )
    return _events(rows, max_bytes)


def cursor(db: sqlite3.Connection, name: str) -> str | None:
    """As `core.ports.EventStore.cursor`."""
    row = db.execute("SELECT value FROM cursors WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


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
            org, unpack(uuid), event_type, published, received_at, Source(via), unpack(envelope_id), body
        )
        events.append(StoredEvent(seq, event))
    return events
