"""The table `actions`, which has a row for each action of a reaction.

When an action changes, its whole row is rewritten. When an action has ended long ago, its row is dropped.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from forwarder.core.action import Action, ActionState
from forwarder.core.errors import StoreFormatError
from forwarder.core.time import SECOND, Micros

_KEPT = 30 * 86_400 * SECOND
_ALWAYS_KEPT = 2 * 86_400 * SECOND
"""An action that ended less than two days ago is never dropped: limits and holds need the actions of the last day."""

_STEP = 100  # the most rows that are dropped, or read, in one step
_ROW_BYTES = 300  # the bytes of a row and its index entries, without the JSON

WRITE = """
INSERT INTO actions (key, planned_at, changed_at, ended, action) VALUES (:key, :planned_at, :now, :ended, :action)
ON CONFLICT (key) DO UPDATE SET changed_at = excluded.changed_at, ended = excluded.ended, action = excluded.action
WHERE NOT :planned
"""
_LOAD = """
SELECT key, action FROM actions WHERE ended = 0 OR ended = 1 AND changed_at >= ? ORDER BY planned_at, id
"""

Row = Mapping[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Action).decode


def rows(actions: Iterable[Action], now: Micros) -> tuple[list[Row], int]:
    """Return (the parameters of `WRITE` for each of `actions`, the size of all rows in bytes)."""
    found: list[Row] = [
        {
            "key": action.key,
            "planned_at": action.planned_at,
            "now": now,
            "ended": not action.is_open,
            "planned": action.state is ActionState.PLANNED,
            "action": _encode(action),
        }
        for action in actions
    ]
    return found, sum(len(row["action"]) + _ROW_BYTES for row in found)


def load(db: sqlite3.Connection, since: Micros) -> list[Action]:
    """See `core.action.ActionStore.load_actions`."""
    return [read(*row) for row in db.execute(_LOAD, (since,))]


def newest(db: sqlite3.Connection, since: Micros, limit: int | None, *, only_open: bool) -> list[Action]:
    """See `store.interface.StoreCommands.newest_actions`."""
    states = "(0)" if only_open else "(0, 1)"
    rows = db.execute(
        f"SELECT key, action FROM actions WHERE id IN (SELECT id FROM actions WHERE ended IN {states} "  # noqa: S608
        "AND planned_at >= ? ORDER BY planned_at DESC, id DESC LIMIT ?) ORDER BY planned_at DESC, id DESC",
        (since, -1 if limit is None else limit),
    )
    return [read(*row) for row in rows]


def find(db: sqlite3.Connection, begin: str) -> list[Action]:
    """See `store.interface.StoreCommands.find_actions`. A key has only digits and lower-case letters, so `~` sorts
    after all keys that start with `begin`."""
    rows = db.execute(
        "SELECT key, action FROM actions WHERE key >= ? AND key < ? ORDER BY key LIMIT 10", (begin, begin + "~")
    )
    return [read(*row) for row in rows]


def mentioning(db: sqlite3.Connection, uuid: str, since: Micros) -> list[Action]:
    """Return the actions planned at `since` or later with the string `uuid` in their JSON, oldest first."""
    rows = db.execute(
        "SELECT key, action FROM actions WHERE ended IN (0, 1) AND planned_at >= ? "
        "AND instr(CAST(action AS TEXT), ?) ORDER BY planned_at, id",
        (since, json.dumps(uuid, ensure_ascii=False)),
    )
    return [read(*row) for row in rows]


def each(db: sqlite3.Connection, since: Micros) -> Iterator[Action]:
    """See `store.interface.StoreCommands.each_action`. Each query reads only 100 rows, because a long query blocks
    checkpoints."""
    after = 0
    while rows := db.execute(
        "SELECT id, key, action FROM actions WHERE id > ? AND planned_at >= ? ORDER BY id LIMIT ?",
        (after, since, _STEP),
    ).fetchall():
        for after, key, action in rows:  # noqa: B007  # the last one is where the next step begins
            yield read(key, action)


def read(key: str, action: bytes) -> Action:
    """Decode `action`, the JSON in the row `key`. Raise StoreFormatError if the JSON is damaged, or was written by a
    newer version."""
    try:
        return _decode(action)
    except msgspec.MsgspecError as error:
        raise StoreFormatError(
            f"the action {key[:12]} of the store cannot be read ({error}); restore the store from a backup"
        ) from error


def drop_old(db: sqlite3.Connection, now: Micros, at_least: Micros) -> bool:
    """Drop up to 100 actions that ended long ago. Return whether there may be more actions to drop.

    An action is kept for 30 days after its last change, or for `at_least` microseconds if `at_least` is longer than 30
    days.
    """
    dropped = db.execute(
        "DELETE FROM actions WHERE id IN (SELECT id FROM actions WHERE ended = 1 AND planned_at < :before "
        "AND changed_at < :before ORDER BY planned_at LIMIT :limit)",
        {"before": now - max(_KEPT, at_least), "limit": _STEP},
    )
    return dropped.rowcount == _STEP


def drop_oldest(db: sqlite3.Connection, now: Micros, at_least: int) -> int:
    """Drop at least `at_least` bytes of actions that ended more than two days ago, oldest first.

    Return the number of dropped bytes. It is smaller than `at_least` if there are not enough old actions.
    """
    freed, ids = 0, []
    rows = db.execute(
        "SELECT id, LENGTH(action) FROM actions WHERE ended = 1 AND changed_at < ? ORDER BY planned_at",
        (now - _ALWAYS_KEPT,),
    )
    for number, size in rows:
        if freed >= at_least:
            break
        ids.append(number)
        freed += size + _ROW_BYTES
    rows.close()
    db.execute("DELETE FROM actions WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))
    return freed
