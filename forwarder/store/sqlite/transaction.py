"""One transaction of the writer, and what may be written in it: the only place that puts events into the store."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from forwarder.core.errors import StoreFullError
from forwarder.core.event import Event, MalformedEvent, Source
from forwarder.core.outcome import RejectReason
from forwarder.core.time import Micros
from forwarder.store.sqlite import prune
from forwarder.store.sqlite.uuid_key import pack

RECEIVER = "receiver"
"""The name under which elements that are no events are dead letters; no sink may have it."""

_ROW = 200  # bytes that an event takes beside its body
_SMALL = 1024 * 1024  # bytes of bodies that go in by one statement
_SLACK = 1.25  # a page is never quite full

# Rows go in by the piece, in statements of a few fixed lengths: sqlite3 lets go of the interpreter at every step, and
# to get it back from the event loop costs more than a row does.
_LENGTHS = (64, 32, 16, 8, 4, 2, 1)


def _insert(table: str, columns: int) -> dict[int, str]:
    """The statement for each length."""
    row = f"({', '.join('?' * columns)})"
    return {rows: f"INSERT INTO {table} VALUES {', '.join([row] * rows)}" for rows in _LENGTHS}  # noqa: S608  # a constant


_KNOW = _insert("known", 3)
_ADD = _insert("events", 9)
_AWAIT = _insert("awaited", 6)


class Transaction:
    """Begun, filled by the work of a group, then committed or rolled back as a whole.

    Attributes:
        db: inside the transaction.
        now: when it was begun.
        stored: events ever stored, this transaction included; also the last `seq`.
    """

    def __init__(self, db: sqlite3.Connection, now: Micros, max_size: int | None = None) -> None:
        """Begin.

        Args:
            db: the one connection that writes.
            now: by the wall clock.
            max_size: bytes that the store may hold; None sets no bound.

        Raises:
            sqlite3.Error: it cannot be begun.
        """
        db.execute("BEGIN IMMEDIATE")
        self.db = db
        self.now = now
        counters = db.execute("SELECT stored, duplicates, rejected FROM counters WHERE id = 1").fetchone()
        self.stored, self.duplicates, self.rejected = self._before = counters
        self._orgs: dict[str, int] = {}
        self._envelope: tuple[str, bytes | str] = (
            "",
            "",
        )  # the last one: its events come one after the other
        self._max_size = max_size
        self._room = 0 if max_size is None else max_size - prune.used_bytes(db)

    def commit(self) -> None:
        """Make it durable: when this returns, it has been fsynced.

        Raises:
            sqlite3.Error: it could not be; the caller rolls back.
        """
        counters = (self.stored, self.duplicates, self.rejected)
        if counters != self._before:
            self.db.execute(
                "UPDATE counters SET stored = ?, duplicates = ?, rejected = ? WHERE id = 1", counters
            )
        self.db.execute("COMMIT")

    def add(self, events: Sequence[Event]) -> list[bool]:
        """Store those of `events` that are not known. First seen wins.

        Returns:
            Whether each is new.

        Raises:
            StoreFullError: no room for them.
        """
        since = self.now // 1_000_000
        keys = [(self._org(event.org), pack(event.uuid), since) for event in events]
        new = [is_new for piece in _pieces(keys) for is_new in self._know(piece)]
        rows = []
        size = 0
        for event, (org, uuid, _), is_new in zip(events, keys, new, strict=True):
            if is_new:
                size += len(event.body) + _ROW
                self.stored += 1
                rows.append(
                    (
                        self.stored,
                        org,
                        uuid,
                        event.event_type,
                        event.published,
                        event.received_at,
                        event.source.value,
                        self._packed(event.envelope_id),
                        event.body,
                    )
                )
        self.duplicates += len(events) - len(rows)
        if rows:
            self.make_room(size)
        for piece in _pieces(rows):
            # A statement keeps a copy of what was bound to it last, so what is large takes the shortest one.
            small = sum(len(row[-1]) for row in piece) <= _SMALL
            for part in (piece,) if small else ([row] for row in piece):
                self.db.execute(_ADD[len(part)], [*chain.from_iterable(part)])
        return new

    def _know(self, keys: Sequence[tuple[Any, ...]]) -> list[bool]:
        """Remember `keys`; whether each is new."""
        try:
            # All or none: a key that is known takes back the whole statement, and nothing else of the transaction.
            self.db.execute(_KNOW[len(keys)], [*chain.from_iterable(keys)])
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
                raise  # anything else must not pass for an event that is known, which is dropped
            if len(keys) == 1:
                return [False]
            return [self._know([key])[0] for key in keys]
        return [True] * len(keys)

    def expect(self, events: Sequence[Event]) -> None:
        """Expect a hook delivery of events that the System Log showed first.

        Args:
            events: all new in this transaction.

        Raises:
            StoreFullError: no room to remember them.
        """
        if events:
            self.make_room(len(events) * _ROW)
        rows = [
            (
                self._org(event.org),
                pack(event.uuid),
                event.event_type,
                event.published,
                event.received_at,
                None,
            )
            for event in events
        ]
        for piece in _pieces(rows):
            self.db.execute(_AWAIT[len(piece)], [*chain.from_iterable(piece)])

    def clear_expected(self, events: Iterable[Event]) -> None:
        """Clear the pending or missed entries of events that the hook has delivered, late or not."""
        self.db.executemany(
            "DELETE FROM awaited WHERE org = ? AND uuid = ?",
            ((self._org(event.org), pack(event.uuid)) for event in events),
        )

    def add_malformed(self, element: MalformedEvent, source: Source) -> None:
        """Keep an element that is no event as a dead letter of the receiver.

        Args:
            element: the element.
            source: where it came from.

        Raises:
            StoreFullError: no room for it.
        """
        self.make_room(len(element.body) + _ROW)
        self.rejected += 1
        self.db.execute(
            "INSERT INTO dead_letters (sink, state, count, reason, detail, at, org, uuid, event_type, "
            "received_at, via, envelope_id, body) VALUES (?, 'dead', 1, ?, ?, ?, ?, '', '', ?, ?, ?, ?)",
            (
                RECEIVER,
                RejectReason.NOT_AN_EVENT.value,
                element.detail,
                self.now,
                element.org,
                element.received_at,
                source.value,
                pack(element.envelope_id),
                element.body,
            ),
        )

    def make_room(self, size: int) -> None:
        """See to it that `size` bytes fit: where `max_size` is reached, drop bodies that every sink has settled.

        Raises:
            StoreFullError: the rest is still waited for.
        """
        if self._max_size is None:
            return
        need = int(size * _SLACK)
        if self._room < need:
            freed = prune.drop_settled(self.db, at_least=need)
            self._room = self._max_size - prune.used_bytes(self.db)
            # Pages go free one by one, so a little that was dropped may not show yet; it is made up by the next.
            if self._room < need and freed < size:
                raise StoreFullError(
                    f"the store holds store.max_size ({self._max_size} bytes) of events that sinks wait for; "
                    "mend the sinks, or raise max_size"
                )
        self._room -= need

    def _packed(self, envelope_id: str) -> bytes | str:
        if self._envelope[0] != envelope_id:
            self._envelope = (envelope_id, pack(envelope_id))
        return self._envelope[1]

    def _org(self, name: str) -> int:
        number = self._orgs.get(name)
        if number is None:
            row = self.db.execute("SELECT id FROM orgs WHERE name = ?", (name,)).fetchone()
            new = "INSERT INTO orgs (name) VALUES (?) RETURNING id"
            number = int((row or self.db.execute(new, (name,)).fetchone())[0])
            self._orgs[name] = number
        return number


def _pieces(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """`rows` in as few pieces as `_LENGTHS` allows."""
    at = 0
    for length in _LENGTHS:
        while len(rows) - at >= length:
            yield rows[at : at + length]
            at += length
