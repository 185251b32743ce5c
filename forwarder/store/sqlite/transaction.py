"""The transactions of the writer thread. `Transaction.append` is the only code that puts events into the store."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from typing import Any

from forwarder.core.event import OKTA_SOURCES, Event, MalformedEvent, Source, digest
from forwarder.core.outcome import RejectReason
from forwarder.core.ports import Appended, Batch
from forwarder.core.time import SECOND, Micros
from forwarder.store.dead_letters import RECEIVER
from forwarder.store.sqlite import action_rows, prune, space_limit
from forwarder.store.sqlite.encoded_uuid import encode_uuid
from forwarder.store.sqlite.event_index import AddedEvent

_SMALL = 1024 * 1024
"""The most bytes of bodies that one statement inserts at once. Beyond this, a statement inserts one row, because
sqlite3 keeps in memory the values that were bound last to a cached statement."""

_LENGTHS = (64, 32, 16, 8, 4, 2, 1)
"""The numbers of rows for which there is a statement. One statement for many rows is faster: sqlite3 releases the GIL
for each statement, and getting the GIL back from the event loop takes longer than inserting a row."""


def _insert(table: str, columns: int) -> dict[int, str]:
    """Return a dict of INSERT statements for `table`: for each number in `_LENGTHS`, a statement that inserts this
    number of rows.

    Each row has `columns` values.
    """
    row = f"({', '.join('?' * columns)})"
    insert = f"INSERT INTO {table} VALUES "  # noqa: S608 - a constant
    return {rows: insert + ", ".join([row] * rows) for rows in _LENGTHS}


# One statement reads both the counters and the used bytes, because each statement releases the GIL.
_BEFORE = f"SELECT stored, duplicates, rejected, alerts, actions, {space_limit.USED} FROM counters"  # noqa: S608 - constants
_INSERT_IDS = _insert("known (org, uuid, since, log_copies, digest)", 5)
_INSERT_EVENTS = _insert("events", 9)
_INSERT_PENDING = _insert("awaited", 6)
_COUNT_COPIES = {
    source: {
        rows: f"UPDATE known SET {column} = IFNULL({column}, 0) + 1, {more}copied_at = ? "  # noqa: S608 - constants
        f"FROM (VALUES {', '.join(['(?, ?, ?)'] * rows)}) AS copy "
        f"WHERE org = copy.column1 AND uuid = copy.column2{returning}"
        for rows in _LENGTHS
    }
    for source, column, more, returning in (
        (Source.HOOK, "hook_copies", "", ""),
        (
            Source.LOG,
            "log_copies",
            "differs = digest <> copy.column3, ",
            " RETURNING org, uuid, differs = 1 AND log_copies = 1",
        ),
    )
}


_Known = tuple[int, bytes | str, int, int | None, bytes | None]
"""A row to insert into the table `known`: (id of the org, encoded uuid, since, log_copies, digest)."""


class _NoCountersError(sqlite3.DatabaseError):
    """Another program emptied the table `counters`."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    sqlite_errorname = "SQLITE_CORRUPT"


class Transaction:
    """A transaction of the writer thread, in which a group of operations runs. Either the whole transaction is
    committed, or nothing.

    Attributes:
        db: the writer's connection, inside the transaction.
        now: the time when the transaction began.
        stored: the number of events ever stored, including those of this transaction; also the `seq` of the newest
            event.
        rejected: the number of malformed events ever received, without the malformed events that could be parsed later.
        added: the events that this transaction has stored so far, to be added to the event index.
    """

    def __init__(self, db: sqlite3.Connection, now: Micros, max_size: int) -> None:
        """Begin the transaction at the time `now`. `max_size` is `store.max_size` in bytes.

        Raises:
            sqlite3.Error: the transaction cannot begin.
        """
        db.execute("BEGIN IMMEDIATE")
        self.db = db
        self.now = now
        row = db.execute(_BEFORE).fetchone()
        if row is None:
            raise _NoCountersError("its table counters is empty")
        *counters, used = row
        self._before = tuple(counters)
        self.stored, self._duplicates, self.rejected, self._alerts, self._actions = counters
        self.added: list[AddedEvent] = []
        self._orgs: dict[str, int] = {}
        self._envelope: tuple[str, bytes | str] = ("", "")  # the last id of an envelope, and its encoded form
        self._max_size = max_size
        self._reserve = space_limit.reserve(max_size)
        self._room = space_limit.room(max_size)
        self._free_bytes = self._room - used

    def commit(self) -> None:
        """Commit the transaction. When this returns, its data is on disk (fsynced).

        Raises:
            sqlite3.Error: the commit failed. The caller must roll back.
        """
        counters = (self.stored, self._duplicates, self.rejected, self._alerts, self._actions)
        if counters != self._before:
            self.db.execute(
                "UPDATE counters SET stored = ?, duplicates = ?, rejected = ?, alerts = ?, actions = ?", counters
            )
        self.db.execute("COMMIT")

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """Store `batches`, and return a result for each batch; see `core.ports.EventStore.append`.

        An event that the store knows already is counted as a duplicate, and not stored again.

        Raises:
            StoreFullError: there is not enough space.
        """
        events = [event for batch in batches for event in batch.events]
        keys, new = self._add(events)
        is_new = iter(new)
        stored_by_batch = []
        for batch in batches:
            stored = [event for event in batch.events if next(is_new)]
            if batch.expected_by_hook:
                self._add_pending([event for event in stored if event.uuid in batch.expected_by_hook])
            for element in batch.malformed:
                self._add_malformed(element, batch.source)
            if batch.cursor is not None:
                self.db.execute(
                    "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    batch.cursor,
                )
            stored_by_batch.append(stored)
        # Copies are counted after all inserts, so that a copy by the hook also deletes a pending entry that an earlier
        # batch of this call has made.
        differing: set[tuple[int, bytes | str]] = set()
        if not all(new):
            for source in OKTA_SOURCES:
                rows = zip(events, keys, new, strict=True)
                copies = [key for event, key, first in rows if not first and event.source is source]
                if source is Source.HOOK:
                    self._clear_pending(copies)
                differing |= self._count_copies(source, copies)
        return [
            Appended(stored, len(batch.events) - len(stored), self._named(differing, batch.events) if differing else ())
            for batch, stored in zip(batches, stored_by_batch, strict=True)
        ]

    def _add(self, events: Sequence[Event]) -> tuple[list[_Known], list[bool]]:
        """Store the new events among `events`. Return (the `known` row of each event, whether each event is new)."""
        since = self.now // SECOND
        # `log_copies` is 0 for a new event from the System Log, and NULL for any other new event. So the function
        # `claims` knows whether the event has ever come from the System Log.
        keys: list[_Known] = [
            (
                *self._key(event),
                since,
                0 if event.source is Source.LOG else None,
                digest(event) if event.source in OKTA_SOURCES else None,
            )
            for event in events
        ]
        new = [is_new for chunk in _chunks(keys) for is_new in self._add_ids(chunk)]
        rows = []
        size = 0  # bytes
        for event, (org, uuid, *_), is_new in zip(events, keys, new, strict=True):
            if is_new:
                self.stored += 1
                self.added.append(AddedEvent(self.stored, org, event))
                details = event.event_type, event.published, event.received_at, event.source.value
                envelope = self._envelope_key(event.envelope_id)
                size += len(event.body) + len(event.event_type) + 2 * len(uuid) + len(envelope)
                if event.source is Source.ALERT:
                    self._alerts += 1
                    self.db.execute("INSERT INTO alerts VALUES (?)", (self.stored,))
                self._actions += event.source is Source.ACTION
                rows.append((self.stored, org, uuid, *details, envelope, event.body))
        self._duplicates += len(events) - len(rows)
        if rows:
            self.reserve_space(size + len(rows) * prune.ROW_BYTES)
        for chunk in _chunks(rows):
            small = sum(len(row[-1]) for row in chunk) <= _SMALL
            for part in (chunk,) if small else ([row] for row in chunk):
                self.db.execute(_INSERT_EVENTS[len(part)], [*chain.from_iterable(part)])
        return keys, new

    def _add_ids(self, keys: Sequence[tuple[Any, ...]]) -> list[bool]:
        """Insert `keys` into the table `known`. Return a bool for each key: True if the event with this key is new."""
        try:
            # If an event is known already, SQLite rolls back this whole statement, but nothing else of the transaction.
            self.db.execute(_INSERT_IDS[len(keys)], [*chain.from_iterable(keys)])
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
                raise  # must not count as a duplicate: the event would be lost
            if len(keys) == 1:
                return [False]
            return [self._add_ids([key])[0] for key in keys]
        return [True] * len(keys)

    def _add_pending(self, events: Sequence[Event]) -> None:
        """Record `events` as pending: they came from the System Log, and the hook has not delivered them yet."""
        if events:
            self.reserve_space(sum(len(event.event_type) + prune.ROW_BYTES for event in events))
        rows = [(*self._key(event), event.event_type, event.published, event.received_at, None) for event in events]
        for chunk in _chunks(rows):
            self.db.execute(_INSERT_PENDING[len(chunk)], [*chain.from_iterable(chunk)])

    def _clear_pending(self, copies: Iterable[_Known]) -> None:
        """Delete the pending or missed entries of the events `copies`, because the hook has delivered these events."""
        self.db.executemany("DELETE FROM awaited WHERE org = ? AND uuid = ?", (row[:2] for row in copies))

    def _named(self, keys: set[tuple[int, bytes | str]], events: Sequence[Event]) -> tuple[str, ...]:
        """Return the uuids of those events in `events` that came from the System Log and whose keys are in `keys`."""
        of_log = (event for event in events if event.source is Source.LOG)
        return tuple(event.uuid for event in of_log if self._key(event) in keys)

    def _count_copies(self, source: Source, rows: Sequence[_Known]) -> set[tuple[int, bytes | str]]:
        """Count `rows` as copies from `source` of events that the store knows already.

        A copy from the System Log differs if its digest is not equal to the digest of the stored event. The store also
        records that a copy differs.

        Return the keys (id of the org, encoded uuid) of those events whose first copy from the System Log is in `rows`
        and differs.
        """
        copies = Counter(row[:2] for row in rows)
        digests = {row[:2]: row[4] for row in rows} if source is Source.LOG else {}
        differing: set[tuple[int, bytes | str]] = set()
        while copies:
            once = list(copies)
            for chunk in _chunks(once):
                values = (self.now // SECOND, *chain.from_iterable((*key, digests.get(key)) for key in chunk))
                found = self.db.execute(_COUNT_COPIES[source][len(chunk)], values).fetchall()
                differing.update((org, uuid) for org, uuid, is_other in found if is_other)
            copies -= Counter(once)
        return differing

    def _add_malformed(self, element: MalformedEvent, source: Source) -> None:
        """Store the malformed event `element` as a dead letter under the name `receiver`, not of a configured sink.

        The System Log is read again after a restart from an earlier time. So an element of the log is stored only once,
        as an event is: a digest takes the place of the uuid.
        """
        if source is Source.LOG:
            key = self.org(element.org), encode_uuid(f"malformed-{sha256(element.body).hexdigest()}")
            if not self._add_ids([(*key, self.now // SECOND, None, None)])[0]:
                return
        self.reserve_space(len(element.body) + len(element.detail) + prune.ROW_BYTES)
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
                encode_uuid(element.envelope_id),
                element.body,
            ),
        )

    @contextmanager
    def with_reserve(self) -> Iterator[None]:
        """Allow the `with` block to use the space that is reserved for changes of actions.

        The reserved space makes sure that an action can be undone in time even if the store is full.
        """
        self._room += self._reserve
        self._free_bytes += self._reserve
        try:
            yield
        finally:
            self._room -= self._reserve
            self._free_bytes -= self._reserve

    def reserve_space(self, size: int) -> None:
        """Make room for `size` more bytes in the store.

        If there is not enough space, drop the oldest bodies of events that every attached sink has finished. If there
        is still not enough space, drop the oldest actions that ended more than two days ago.

        Raises:
            StoreFullError: there is still not enough space, because sinks have not finished the other events.
            StoreTooSmallError: `size` bytes would not fit into the store even if all sinks had finished all events.
        """
        need = space_limit.on_disk(size)
        if self._free_bytes < need:
            freed = prune.drop_settled(self.db, at_least=need)
            if freed < need:
                freed += action_rows.drop_oldest(self.db, self.now, need - freed)
            self._free_bytes = self._room - space_limit.used_bytes(self.db)
            # SQLite frees only whole pages. The dropped bytes may not have freed a page yet, but they will when more
            # rows of the same page are dropped. So it is enough if `freed` is at least `size`.
            if self._free_bytes < need and freed < size:
                raise space_limit.full_error(need, self._max_size)
        self._free_bytes -= need

    def _envelope_key(self, envelope_id: str) -> bytes | str:
        if self._envelope[0] != envelope_id:
            self._envelope = (envelope_id, encode_uuid(envelope_id))
        return self._envelope[1]

    def _key(self, event: Event) -> tuple[int, bytes | str]:
        return self.org(event.org), encode_uuid(event.uuid)

    def org(self, name: str) -> int:
        """Return the id of the org `name` in the table `orgs`. If the org is new, insert it."""
        number = self._orgs.get(name)
        if number is None:
            row = self.db.execute("SELECT id FROM orgs WHERE name = ?", (name,)).fetchone()
            new = "INSERT INTO orgs (name) VALUES (?) RETURNING id"
            number = int((row or self.db.execute(new, (name,)).fetchone())[0])
            self._orgs[name] = number
        return number


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Split `rows` into as few chunks as possible. The length of each chunk is one of `_LENGTHS`."""
    at = 0
    for length in _LENGTHS:
        while len(rows) - at >= length:
            yield rows[at : at + length]
            at += length
