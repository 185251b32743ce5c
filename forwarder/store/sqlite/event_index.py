"""Finds events by uuid, type or user without reading every body.

The log is divided into blocks. For each whole block a row holds the hashes of the uuids, types and users of its events, so
a search reads only the blocks that may have a match, and those that have no row yet.

The rows are written in small steps between commits, not when events are stored: a POST does not wait for them, and a
store of an older version gets them too.
"""

import bisect
import sqlite3
import zlib
from array import array
from collections.abc import Iterator, Sequence

from forwarder.core.time import Micros
from forwarder.store.sqlite import addresses
from forwarder.store.sqlite.searchable import Searchable, searchable

BLOCK = 1024
"""Events in a block. To find one event of 1,000,000, a search reads 12 MB of hashes and one block: 25 ms."""

_ROWS = 256  # events in a step: 4 ms, and up to 14 where the cores are busy
_LARGE = (
    65536  # bytes of a body; a block with a larger one is always read, so that a step needs little memory
)
_SEPARATOR = "\x1e"  # a control character, which JSON always escapes

_EVENTS = f"""
SELECT COUNT(*), MAX(seq), group_concat(org), group_concat(published), group_concat(text, '{_SEPARATOR}') FROM
(SELECT seq, org, published, iif(length(body) > {_LARGE}, '', CAST(body AS TEXT)) AS text FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT {_ROWS})
"""  # noqa: S608 - constants; one row, because sqlite3 releases the GIL at each, and may take long to get it back


def uuid_key(uuid: str) -> int:
    """Return the hash of `uuid` for the index."""
    return zlib.crc32(b"i" + uuid.encode())


def type_key(event_type: str) -> int:
    """Return the hash of `event_type` for the index."""
    return zlib.crc32(b"t" + event_type.encode())


def user_key(user: str) -> int:
    """Return the hash of `user`, an id or a login in any case, for the index."""
    return zlib.crc32(b"u" + user.lower().encode(errors="replace"))


def _keys(event: Searchable) -> tuple[int, ...]:
    return uuid_key(event.uuid), type_key(event.event_type), *map(user_key, event.users())


class Indexer:
    """Writes the rows of the index, in small steps. Runs on the writer's thread."""

    def __init__(self) -> None:
        self._at: int | None = None  # the last event that was read
        self._begin()

    def _begin(self) -> None:
        self._keys: set[int] = set()
        self._readable = True
        self._published: list[Micros] = []

    def step(self, db: sqlite3.Connection) -> bool:
        """Read the next 256 events, and write the row of a block once it is whole.

        Return whether there may be more events to read now.
        """
        try:
            return self._step(db)
        except BaseException:
            self._at = None  # the block is read again
            raise

    def _step(self, db: sqlite3.Connection) -> bool:
        held, last = db.execute(
            "SELECT (SELECT MIN(seq) FROM events), (SELECT MAX(block) FROM event_index)"
        ).fetchone()
        if held is None:
            return False
        begin = 0 if last is None else (last + 1) * BLOCK
        if self._at is None or self._at < held - 1:
            self._at = max(begin, held - 1)
            self._begin()
        block = self._at // BLOCK
        end = (block + 1) * BLOCK
        count, newest, orgs, published, text = db.execute(_EVENTS, (self._at, end)).fetchone()
        if not count:
            return False
        times = [int(at) for at in published.split(",")]
        seen: list[tuple[int, str, str, Micros]] = []
        for org, at, body in zip(orgs.split(","), times, text.split(_SEPARATOR), strict=True):
            event = searchable(body.encode())
            if event is None:
                self._readable = False
                continue
            self._keys.update(_keys(event))
            if user_at := event.user_at():
                seen.append((int(org), *user_at, at))
        addresses.note(db, seen)
        self._published += (min(times), max(times))
        self._at = int(newest)
        if newest == end:
            keys = array("I", sorted(self._keys)).tobytes() if self._readable else b""
            row = (block, min(self._published), max(self._published), keys)
            db.execute("INSERT OR REPLACE INTO event_index VALUES (?, ?, ?, ?)", row)
            self._begin()
        return bool(newest == end or count == _ROWS)


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
