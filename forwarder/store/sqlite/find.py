# ruff: noqa: S608 - statements are built from constants; every value is a parameter
"""The queries of `forwarder find`. They find events, and the place (such as `delivered` or `waiting`) of each event for
each sink."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from forwarder.core.action_event import about, state_text
from forwarder.core.event import BACKFILL, Source
from forwarder.core.event_types import EventTypes
from forwarder.core.time import SECOND
from forwarder.store.dead_letters import RECEIVER
from forwarder.store.event_search import (
    MAX_DETAILED,
    Life,
    Malformed,
    RelatedAction,
    RelatedAlert,
    Search,
    SearchResult,
    SinkLife,
)
from forwarder.store.sqlite import action_rows, event_index, queries
from forwarder.store.sqlite.encoded_uuid import decode_uuid, encode_uuid

_SKEW = 60 * SECOND
"""An action is planned after its event was received. But if the clock was set back, the action may have an earlier
time, by up to this difference."""

_MOST_ACTIONS = 100
_BY_UUID = "WHERE uuid = :uuid AND (:org IS NULL OR name = :org)"


def find(db: sqlite3.Connection, search: Search) -> SearchResult:
    """See `store.interface.StoreCommands.find`."""
    with queries.snapshot(db):
        lives = list(_by_uuid(db, search) if search.uuid is not None else _by_fields(db, search))
        if len(lives) <= MAX_DETAILED:
            lives = [replace(life, alerts=_alerts(db, life), actions=_actions(db, life)) for life in lives]
        oldest = db.execute("SELECT received_at FROM events ORDER BY seq LIMIT 1").fetchone()
        return SearchResult(
            sorted(lives[: search.limit], key=lambda life: -(life.published or 0)),
            len(lives) > search.limit,
            _malformed(db, search),
            oldest and oldest[0],
            dict(db.execute("SELECT substr(name, 5), value FROM cursors WHERE name LIKE 'log:%'").fetchall()),
        )


def _by_fields(db: sqlite3.Connection, search: Search) -> Iterator[Life]:
    """Yield the newest events that match `search`, newest first: up to `search.limit` + 1 events."""
    user = search.user.lower() if search.user is not None else None
    types = EventTypes([search.event_type]) if search.event_type is not None else None
    exact = search.event_type if types and "*" not in (search.event_type or "") else None
    keys = [event_index.type_key(exact)] if exact is not None else []
    keys += [event_index.user_key(user)] if user is not None else []
    where = {"org": search.org, "type": exact, "since": search.since, "until": search.until}
    found = 0
    for first, last in event_index.candidates(db, keys, search.since, search.until):
        rows = db.execute(
            f"SELECT {queries.EVENT} FROM events CROSS JOIN orgs ON id = org WHERE seq BETWEEN :first AND :last "
            "AND (:type IS NULL OR event_type = :type) AND (:org IS NULL OR name = :org) "
            "AND (:since IS NULL OR published >= :since) AND (:until IS NULL OR published <= :until) "
            "ORDER BY seq DESC",
            {**where, "first": first, "last": last},
        )
        for row in rows:
            if types is not None and row[3] not in types:
                continue
            if user is not None and not _is_by(user, row[-1]):
                continue
            yield _life(db, row)
            found += 1
            if found > search.limit:
                return


def _is_by(user: str, body: bytes) -> bool:
    event = event_index.searchable(body)
    return event is not None and user in event.users()


def _by_uuid(db: sqlite3.Connection, search: Search) -> Iterator[Life]:
    """Yield, for each org, the event with the uuid `search.uuid`, if the store knows this uuid.

    The event is read from the log. If the log no longer has the event, it is read from a dead letter. If the event has
    no dead letter either, the result has only what the table `known` says about the event.
    """
    assert search.uuid is not None
    key = encode_uuid(search.uuid)
    where = {"uuid": key, "org": search.org}
    seen = set()
    for first, last in event_index.candidates(db, [event_index.uuid_key(search.uuid)], None, None):
        rows = db.execute(
            f"SELECT {queries.EVENT} FROM events CROSS JOIN orgs ON id = org {_BY_UUID} AND seq BETWEEN :first AND :last",
            {**where, "first": first, "last": last},
        )
        for row in rows.fetchall():
            seen.add(row[1])
            yield _life(db, row)
    for row in db.execute(
        f"SELECT seq, org, uuid, event_type, published, received_at, via, envelope_id, body, MAX(at) "
        f"FROM dead_letters {_BY_UUID.replace('name', 'org')} AND seq IS NOT NULL GROUP BY org",
        where,
    ).fetchall():
        if row[1] not in seen:
            seen.add(row[1])
            yield _life(db, row[:-1])
    for name, _ in db.execute("SELECT name, id FROM orgs ORDER BY name").fetchall():
        known = _known_row(db, name, key)
        if known and name not in seen and search.org in (None, name):
            since, *copies = known
            sinks = [
                SinkLife(sink, "finished", attached=bool(attached))
                for sink, attached in db.execute("SELECT sink, attached FROM positions ORDER BY sink")
            ]
            yield Life(name, search.uuid, since * SECOND, sinks, **_copies(*copies))


def _life(db: sqlite3.Connection, row: tuple[Any, ...]) -> Life:
    seq, org, key, event_type, published, received_at, via, envelope_id, body = row
    since, *copies = _known_row(db, org, key) or (None, None, None, None)
    pending, missed = db.execute(
        "SELECT since, missed_at FROM awaited WHERE uuid = ? AND org = (SELECT id FROM orgs WHERE name = ?)", (key, org)
    ).fetchone() or (None, None)
    return Life(
        org,
        decode_uuid(key),
        since and since * SECOND,
        [
            sink_life(db, seq, *position)
            for position in db.execute("SELECT sink, seq, attached FROM positions ORDER BY sink").fetchall()
        ],
        seq,
        event_type,
        published,
        received_at,
        BACKFILL if (via, envelope_id) == (Source.LOG.value, BACKFILL) else via,
        body,
        pending_since=pending,
        missed_at=missed,
        **_copies(*copies),
    )


def _known_row(db: sqlite3.Connection, org: str, key: bytes | str) -> tuple[Any, ...] | None:
    found: tuple[Any, ...] | None = db.execute(
        "SELECT since, hook_copies, log_copies, copied_at FROM known "
        "WHERE uuid = ? AND org = (SELECT id FROM orgs WHERE name = ?)",
        (key, org),
    ).fetchone()
    return found


def _copies(hook: int | None, log: int | None, at: int | None) -> dict[str, Any]:
    return {"hook_copies": hook or 0, "log_copies": log or 0, "copied_at": at and at * SECOND}


def sink_life(db: sqlite3.Connection, seq: int, sink: str, position: int, attached: int) -> SinkLife:
    """Return the place of the event `seq` for `sink`, such as `delivered` or `waiting`.

    `position` is the position of the sink. `attached` is 1 if the sink is configured, otherwise 0.
    """
    is_attached = bool(attached)
    letter = db.execute(
        "SELECT id, state, at, reason, detail FROM dead_letters WHERE sink = ? AND seq = ?", (sink, seq)
    ).fetchone()
    if letter:
        number, state, at, reason, detail = letter
        text = f"{reason}: {detail}" if detail else reason
        if state == "dead":
            return SinkLife(sink, "dead", at, text, number, attached=is_attached)
        return SinkLife(sink, "waiting", None, text, number, replaying=True, attached=is_attached)
    if seq > position:
        return SinkLife(sink, "waiting", attached=is_attached)
    ended = db.execute("SELECT place, at FROM ended_letters WHERE sink = ? AND seq = ?", (sink, seq)).fetchone()
    if ended:
        place, at = ended
        return SinkLife(sink, place, at, attached=is_attached)
    settled = db.execute(
        "SELECT first, at, skipped, filtered, unattributed FROM settlements WHERE sink = ? AND last >= ? "
        "ORDER BY last LIMIT 1",
        (sink, seq),
    ).fetchone()
    if settled is None or settled[0] > seq:
        # An older version settled the event, and did not record its place.
        return SinkLife(sink, "finished", attached=is_attached)
    first, at, skipped, filtered, unattributed = settled
    if skipped:
        return SinkLife(sink, "skipped", at, attached=is_attached)
    if _is_set(filtered, seq - first):
        return SinkLife(sink, "filtered", at, attached=is_attached)
    return SinkLife(sink, "delivered", at, unattributed=unattributed, attached=is_attached)


def _is_set(bits: bytes | None, at: int) -> bool:
    return bits is not None and bool(bits[at // 8] >> at % 8 & 1)


class _Alert(msgspec.Struct):
    forwarder: dict[str, Any]


def _alerts(db: sqlite3.Connection, life: Life) -> list[RelatedAlert]:
    """Return the alerts that name the event `life`, oldest first."""
    rows = db.execute(
        "SELECT uuid, body FROM alerts CROSS JOIN events USING (seq) CROSS JOIN orgs ON id = org "
        "WHERE name = ? AND seq > ? AND instr(CAST(body AS TEXT), ?) ORDER BY seq",
        (life.org, life.seq or 0, life.uuid),
    )
    found = []
    for key, body in rows:
        alert = msgspec.json.decode(body, type=_Alert).forwarder["alert"]
        if life.uuid in alert["events"]:
            found.append(RelatedAlert(decode_uuid(key), alert["rule"]["title"], alert["rule"]["level"]))
    return found


def _actions(db: sqlite3.Connection, life: Life) -> list[RelatedAction]:
    """Return up to 100 actions that the event or alert `life` led to, in the order in which the actions were planned."""
    since = life.received_at if life.received_at is not None else life.stored_at or 0
    found = action_rows.mentioning(db, life.uuid, since - _SKEW)
    return [
        RelatedAction(action.id, action.name, about(action), state_text(action))
        for action in found
        if action.org == life.org and life.uuid in {action.alert, *action.events}
    ][:_MOST_ACTIONS]


def _malformed(db: sqlite3.Connection, search: Search) -> list[Malformed]:
    """Return up to `search.limit` malformed events whose text contains `search.uuid`, newest first.

    If the search is not by uuid, return an empty list.
    """
    if search.uuid is None:
        return []
    rows = db.execute(
        "SELECT id, org, at, detail FROM dead_letters WHERE sink = ? AND instr(CAST(body AS TEXT), ?) "
        "AND (? IS NULL OR org = ?) ORDER BY id DESC LIMIT ?",
        (RECEIVER, search.uuid, search.org, search.org, search.limit),
    )
    return [Malformed(*row) for row in rows]
