"""Finds events by uuid, type or user without reading every body.

The log is divided into blocks. For each whole block a row holds the hashes of the uuids, types and users of its events, so
a search reads only the blocks that may have a match, and those that have no row yet.

The rows are written in small steps between commits, not when events are stored: a POST does not wait for them. Events that
an older version stored are read again for it.
"""

import bisect
import sqlite3
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from forwarder.core.event import Event
from forwarder.core.time import Micros
from forwarder.store.sqlite import addresses
from forwarder.store.sqlite.searchable import Searchable, searchable, searchable_from

BLOCK = 1024
"""Events in a block. To find one event of 1,000,000, a search reads 12 MB of hashes and one block: 25 ms."""

_ROWS = 256  # events in a step: 4 ms, and up to 14 where the cores are busy
_LARGE = 65536
"""Bytes of a body. A larger one is not read again for the index, so that a step needs little memory: its block is always read
by a search."""
_SEPARATOR = "\x1e"  # a control character, which JSON always escapes

_EVENTS = f"""
SELECT COUNT(*), group_concat(org), group_concat(published), group_concat(text, '{_SEPARATOR}') FROM
(SELECT org, published, iif(length(body) > {_LARGE}, '', CAST(body AS TEXT)) AS text FROM events WHERE seq > ? ORDER BY seq LIMIT {_ROWS})
"""  # noqa: S608 - constants; one row, because sqlite3 releases the GIL at each, and may take long to get it back

_MOST_SEEN = 1024  # addresses of users, which take 5 ms to write


def uuid_key(uuid: str) -> int:
    """Return the hash of `uuid` for the index."""
    return zlib.crc32(b"i" + uuid.encode())


def type_key(event_type: str) -> int:
    """Return the hash of `event_type` for the index."""
    return zlib.crc32(b"t" + event_type.encode())


def user_key(user: str) -> int:
    """Return the hash of `user`, an id or a login in any case, for the index."""
    return zlib.crc32(b"u" + user.lower().encode(errors="replace"))


class AddedEvent(msgspec.Struct, gc=False):
    """An event that a transaction has stored, with its number in the store and that of its org."""

    seq: int
    org: int
    event: Event


class Indexer:
    """Writes the rows of the index, in small steps. Runs on the writer's thread.

    It learns of new events as they are committed. Those of which it did not, because the forwarder has just started or
    an earlier step failed, it reads from the store.
    """

    def __init__(self) -> None:
        self._at: int | None = None  # the last event that was read
        self._seen: dict[addresses.Key, Micros] = {}
        self._rows: list[tuple[int, Micros, Micros, bytes]] = []  # of whole blocks
        self._block = _Block()

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be written that a step is due at once."""
        return len(self._seen) >= _MOST_SEEN

    def add(self, added: Iterable[AddedEvent]) -> None:
        """Note events that were committed just now, in the order of `seq`; write nothing yet."""
        for one in added:
            if self._at == one.seq - 1:
                event = one.event
                self._note(one.seq, one.org, event.published, searchable_from(event))

    def step(self, db: sqlite3.Connection) -> bool:
        """Read up to 256 events that were not noted yet; write the rows of whole blocks, and addresses.

        Return whether there may be more events to read now. If the step is not committed, use a new indexer: this one
        takes for written what is not.
        """
        held, last, stored = db.execute(
            "SELECT (SELECT MIN(seq) FROM events), (SELECT MAX(block) FROM event_index), stored FROM counters"
        ).fetchone()
        if self._at is None or (held is not None and self._at < held - 1):
            indexed = 0 if last is None else (last + 1) * BLOCK
            self._at = stored if held is None else max(indexed, held - 1)
            self._block = _Block()
        count = self._read(db, self._at)
        addresses.note(db, self._seen)
        db.executemany("INSERT OR REPLACE INTO event_index VALUES (?, ?, ?, ?)", self._rows)
        self._seen, self._rows = {}, []
        return count == _ROWS

    def _read(self, db: sqlite3.Connection, after: int) -> int:
        count, orgs, published, text = db.execute(_EVENTS, (after,)).fetchone()
        if count:
            parts = zip(orgs.split(","), published.split(","), text.split(_SEPARATOR), strict=True)
            for seq, (org, at, body) in enumerate(parts, after + 1):
                self._note(seq, int(org), int(at), searchable(body.encode()))
        return int(count)

    def _note(self, seq: int, org: int, at: Micros, event: Searchable | None) -> None:
        self._at = seq
        block = self._block
        block.published.append(at)
        if event is None:
            block.readable = False
        else:
            block.uuids.append(event.uuid)
            block.types.add(event.event_type)
            block.names.update(event.names)
            if event.user_at:
                key = org, *event.user_at
                self._seen[key] = max(at, self._seen.get(key, at))
        if not seq % BLOCK:
            self._rows.append((seq // BLOCK - 1, min(block.published), max(block.published), block.keys()))
            self._block = _Block()


class _Block:
    """What was noted of the events of one block. To hash each text once, at the end, takes half the time."""

    def __init__(self) -> None:
        self.uuids: list[str] = []
        self.types: set[str] = set()
        self.names: set[str] = set()
        self.published: list[Micros] = []
        self.readable = True

    def keys(self) -> bytes:
        """Return the column `keys` of its row."""
        if not self.readable:
            return b""
        hashes = {*map(uuid_key, self.uuids), *map(type_key, self.types), *map(user_key, self.names)}
        return array("I", sorted(hashes)).tobytes()


def candidates(
    db: sqlite3.Connection, keys: Sequence[int], since: Micros | None, until: Micros | None
) -> Iterator[tuple[int, int]]:
    """Yield ranges (first `seq`, last `seq`) that may hold a matching event, the newest first.

    Args:
        db: the connection.
        keys: hashes; a matching event has all of them.
        since: the earliest time of publication of a matching event; None for any.
        until: the latest time of publication of a matching event; None for any.
    """
    first, last = db.execute(
        "SELECT (SELECT MIN(seq) FROM events), (SELECT MAX(seq) FROM events)"  # one SELECT would read all rows
    ).fetchone()
    if first is None:
        return
    indexed = {block for (block,) in db.execute("SELECT block FROM event_index")}
    fit = {
        block
        for (block,) in db.execute(
            "SELECT block FROM event_index WHERE (:since IS NULL OR published_to >= :since) "
            "AND (:until IS NULL OR published_from <= :until)",
            {"since": since, "until": until},
        )
    }
    for block in range((last - 1) // BLOCK, (first - 1) // BLOCK - 1, -1):
        if block not in indexed or (block in fit and _has(db, block, keys)):
            yield max(first, block * BLOCK + 1), min(last, (block + 1) * BLOCK)


def _has(db: sqlite3.Connection, block: int, keys: Sequence[int]) -> bool:
    if not keys:
        return True
    (data,) = db.execute("SELECT keys FROM event_index WHERE block = ?", (block,)).fetchone()
    held = memoryview(data).cast("I")
    if not held:
        return True
    for key in keys:
        at = bisect.bisect_left(held, key)
        if at == len(held) or held[at] != key:
            return False
    return True


def forget(db: sqlite3.Connection, last: int) -> None:
    """Drop the rows of blocks whose events were all dropped: those up to the `seq` `last`."""
    db.execute("DELETE FROM event_index WHERE block < ?", (last // BLOCK,))
