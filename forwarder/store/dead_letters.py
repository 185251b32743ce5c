"""Dead letters as an operator sees them."""

import sqlite3
from typing import Any

import msgspec

from forwarder.control import Request
from forwarder.core.time import Micros
from forwarder.store.sqlite.uuid_key import unpack


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters are meant: those that fit all that is given; all of them where nothing is.

    Attributes:
        ids: these.
        sink: those of this sink; `receiver` for elements that were no event.
        reason: those with this reason.
    """

    ids: tuple[int, ...] | None = None
    sink: str | None = None
    reason: str | None = None


class ReplayRequest(Request, frozen=True, tag="replay"):
    """Asks the running forwarder to send these dead letters again."""

    selection: Selection


class DiscardRequest(Request, frozen=True, tag="discard"):
    """Asks the running forwarder to remove these dead letters for good."""

    selection: Selection


class DeadLetter(msgspec.Struct, frozen=True):
    """One event that a sink refused, one element that was no event, or a number of unattributed ones.

    Attributes:
        id: names it.
        sink: who refused it; `receiver` for an element that was no event.
        seq: its place in the log; None for the receiver's and for unattributed ones.
        state: `dead`, or `replaying` while it is sent again.
        count: how many events it stands for: 1, but for unattributed ones.
        reason: for counting.
        detail: the sink's own words.
        at: when it was refused last.
        org: the org's name; empty where unattributed, as the next two.
        uuid: of the event; empty where it has none.
        event_type: of the event; empty where it has none.
        body: as received; None where unattributed, and in a list.
    """

    id: int
    sink: str
    seq: int | None
    state: str
    count: int
    reason: str
    detail: str
    at: Micros
    org: str
    uuid: str
    event_type: str
    body: bytes | None = None

    @property
    def unattributed(self) -> bool:
        """The sink did not say which events it refused, so they cannot be sent again."""
        return not self.org


def find(db: sqlite3.Connection, which: Selection, limit: int) -> list[DeadLetter]:
    """The newest `limit` of `which`, newest first, without bodies."""
    rows = db.execute(
        "SELECT id, sink, seq, state, count, reason, detail, at, org, uuid, event_type FROM dead_letters "
        "WHERE (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids))) "
        "AND (:sink IS NULL OR sink = :sink) AND (:reason IS NULL OR reason = :reason) "
        "ORDER BY id DESC LIMIT :limit",
        {**_values(which), "limit": limit},
    )
    return [_letter(row) for row in rows]


def show(db: sqlite3.Connection, number: int) -> DeadLetter | None:
    """One, with its body; None where there is none with this id."""
    row = db.execute(
        "SELECT id, sink, seq, state, count, reason, detail, at, org, uuid, event_type, body FROM dead_letters "
        "WHERE id = ?",
        (number,),
    ).fetchone()
    return None if row is None else _letter(row)


def dead_ids(db: sqlite3.Connection, which: Selection) -> list[int]:
    """The ids of those of `which` that are not being sent again, oldest first."""
    rows = db.execute(
        "SELECT id FROM dead_letters WHERE state = 'dead' "
        "AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids))) "
        "AND (:sink IS NULL OR sink = :sink) AND (:reason IS NULL OR reason = :reason) ORDER BY id",
        _values(which),
    )
    return [number for (number,) in rows]


def _values(which: Selection) -> dict[str, str | None]:
    ids = None if which.ids is None else msgspec.json.encode(which.ids).decode()
    return {"ids": ids, "sink": which.sink, "reason": which.reason}


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    number, sink, seq, state, count, reason, detail, at, org, uuid, *rest = row
    return DeadLetter(number, sink, seq, state, count, reason, detail, at, org, unpack(uuid), *rest)
