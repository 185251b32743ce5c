"""The event index, by which a search finds events by uuid, type or user without reading every body.

The log is divided into blocks of 1,024 events. For each complete block, the index has a row with the hashes of the
uuids, types and users of the block's events. A search reads only the blocks that may have a match, and the blocks
without a row.

The commit that stores events does not write the index. The rows of the index are written later, in small steps between
commits. So a POST does not wait for the index.

This module also extracts the acting user and the IP address from each event, because reactions need to know the
addresses of each user.
"""

import bisect
import sqlite3
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from forwarder.core.action_event import EVENT_TYPE as ACTION_EVENT_TYPE
from forwarder.core.event import Event
from forwarder.core.lenient_json import decode_leniently
from forwarder.core.time import Micros
from forwarder.store.sqlite import user_addresses

BLOCK = 1024
"""The events in a block. To find one event of 1,000,000, a search reads 12 MB of hashes and one block, in 25 ms."""

_ROWS = 256  # the most events read in a step. A step takes 4 ms, and up to 14 ms if the cores are busy
_LARGE = 65536
"""The largest body in bytes that a step reads from the store, so that the step needs little memory. If a step finds a
larger body, the row of its block has no hashes, and every search reads the block. The limit does not apply to events
that `Indexer.add` gets."""
_SEPARATOR = "\x1e"  # a control character, which JSON always escapes

# The result is one row, because sqlite3 releases the GIL for each row, and getting it back may take long.
_EVENTS = f"""
SELECT COUNT(*), group_concat(org), group_concat(published), group_concat(text, '{_SEPARATOR}') FROM
(SELECT org, published, iif(length(body) > {_LARGE}, '', CAST(body AS TEXT)) AS text FROM events WHERE seq > ? ORDER BY seq LIMIT {_ROWS})
"""  # noqa: S608 - constants

_MAX_ID = 100  # the most characters of a user's id
_MAX_NAME = 256  # the most characters of an id or a login in the index; those of Okta have at most 100
_SUCCESSES = ("SUCCESS", "ALLOW")
_MAX_ADDRESSES = 1024  # the number of addresses in memory at which a step is due at once; to write them takes 5 ms

_Other = str | int | float | bool | list[Any] | None
"""The types that a value may have in place of an object. So the other fields of such an event can still be read."""


class _Actor(msgspec.Struct, gc=False):
    id: Any = None
    type: Any = None
    login: Any = msgspec.field(name="alternateId", default=None)


class _Client(msgspec.Struct, gc=False):
    address: Any = msgspec.field(name="ipAddress", default=None)


class _Outcome(msgspec.Struct, gc=False):
    result: Any = None


class _Fields(msgspec.Struct, gc=False):
    """The fields of an event that the index needs. Values of unexpected types are accepted, and ignored."""

    uuid: str
    event_type: str = msgspec.field(name="eventType")
    actor: _Actor | _Other = None
    client: _Client | _Other = None
    outcome: _Outcome | _Other = None
    target: msgspec.Raw = msgspec.Raw(b"null")

    def actors(self) -> list[_Actor]:
        """Return the event's actor as a list, or an empty list if the event has no actor. If the event reports an
        action of a reaction, return the targets of the action."""
        if self.event_type != ACTION_EVENT_TYPE:
            return [self.actor] if isinstance(self.actor, _Actor) else []
        try:
            return _decode_actors(self.target)
        except (msgspec.MsgspecError, RecursionError):
            return []


_decode = msgspec.json.Decoder(_Fields).decode
_decode_actors = msgspec.json.Decoder(list[_Actor]).decode


class Searchable(msgspec.Struct, gc=False):
    """The texts of an event by which a search can find the event.

    Attributes:
        names: the id and the login of the event's actor, if they exist and have at most 256 characters. If the event
            reports an action of a reaction: the ids and the names of the action's targets.
        user_at: (IP address, id of the user) if a user did something and the outcome was a success; otherwise None.
    """

    uuid: str
    event_type: str
    names: Sequence[str]
    user_at: tuple[str, str] | None

    def users(self) -> list[str]:
        """Return `names` in lower case, because a search ignores case."""
        return [name.lower() for name in self.names]


def searchable(body: bytes) -> Searchable | None:
    """Return the texts by which a search can find the event with the JSON `body`; None if `body` cannot be decoded."""
    try:
        fields = decode_leniently(_decode, body)[0]
    except (msgspec.MsgspecError, RecursionError):
        return None
    names = [
        name
        for actor in fields.actors()
        for name in (actor.id, actor.login)
        if isinstance(name, str) and 0 < len(name) <= _MAX_NAME
    ]
    actor, client, outcome = fields.actor, fields.client, fields.outcome
    user_at = None
    if (
        isinstance(actor, _Actor)
        and isinstance(client, _Client)
        and isinstance(outcome, _Outcome)
        and outcome.result in _SUCCESSES
        and actor.type == "User"
        and isinstance(actor.id, str)
        and 0 < len(actor.id) <= _MAX_ID
        and isinstance(client.address, str)
    ):
        user_at = client.address, actor.id
    return Searchable(fields.uuid, fields.event_type, names, user_at)


def searchable_from(event: Event) -> Searchable | None:
    """Return the result of `searchable(event.body)`, computed from the fields that `event` has in memory, if it has
    them.

    This takes a third of the time of `searchable`, because the body is not decoded again.
    """
    essentials = event.essentials
    if essentials is None or event.event_type == ACTION_EVENT_TYPE:
        return searchable(event.body)
    actor, client, outcome = essentials.actor, essentials.client, essentials.outcome
    if actor is None:
        return Searchable(event.uuid, event.event_type, (), None)
    user_at = None
    if (
        client is not None
        and outcome is not None
        and outcome.result in _SUCCESSES
        and actor.type == "User"
        and actor.id
        and len(actor.id) <= _MAX_ID
        and client.address is not None
    ):
        user_at = client.address, actor.id
    names = [name for name in (actor.id, actor.login) if name and len(name) <= _MAX_NAME]
    return Searchable(event.uuid, event.event_type, names, user_at)


def uuid_key(uuid: str) -> int:
    """Return the hash of `uuid` for the index."""
    return zlib.crc32(b"i" + uuid.encode())


def type_key(event_type: str) -> int:
    """Return the hash of `event_type` for the index."""
    return zlib.crc32(b"t" + event_type.encode())


def user_key(user: str) -> int:
    """Return the hash of `user`, an id or a login, for the index. The case of the letters does not change the hash."""
    return zlib.crc32(b"u" + user.lower().encode(errors="replace"))


class AddedEvent(msgspec.Struct, gc=False):
    """An event that a transaction has stored. `org` is the id of the event's org in the table `orgs`."""

    seq: int
    org: int
    event: Event


class Indexer:
    """Writes the rows of the event index and of the table `addresses` in small steps, on the writer thread.

    The writer thread passes each event to `add` after the commit. But after a start of the forwarder, and after a
    failed step, the store has events that were not passed to `add` of this object. The method `step` reads them from
    the store.
    """

    def __init__(self) -> None:
        # The `seq` of the last event that needs no more reading; None before the first step.
        self._last_seq: int | None = None
        self._addresses: dict[user_addresses.Key, Micros] = {}  # addresses to write
        self._rows: list[tuple[int, Micros, Micros, bytes]] = []  # rows to write, of complete blocks
        self._block = _Block()  # the block that is not complete yet

    @property
    def is_full(self) -> bool:
        """Whether so many addresses are in memory that a step is due at once."""
        return len(self._addresses) >= _MAX_ADDRESSES

    def add(self, added: Iterable[AddedEvent]) -> None:
        """Add `added`, the events of the last commits in order of `seq`, to the block in memory. Write nothing yet.

        If there is a gap between `added` and the last event that this object has read or got, ignore `added`. The
        method `step` then reads the missing events and `added` from the store.
        """
        for stored in added:
            if self._last_seq == stored.seq - 1:
                event = stored.event
                self._add_to_block(stored.seq, stored.org, event.published, searchable_from(event))

    def step(self, db: sqlite3.Connection) -> bool:
        """Read up to 256 events that `add` did not get. Then write the rows of complete blocks, and the addresses.

        Return whether there may be more events to read now. If the transaction of this step fails, the caller must
        create a new indexer, because this indexer would not write the lost rows again.
        """
        oldest, last_block, stored = db.execute(
            "SELECT (SELECT MIN(seq) FROM events), (SELECT MAX(block) FROM event_index), stored FROM counters"
        ).fetchone()
        if self._last_seq is None or (oldest is not None and self._last_seq < oldest - 1):
            indexed = 0 if last_block is None else (last_block + 1) * BLOCK
            self._last_seq = stored if oldest is None else max(indexed, oldest - 1)
            self._block = _Block()
        count = self._read(db, self._last_seq)
        user_addresses.record(db, self._addresses)
        db.executemany("INSERT OR REPLACE INTO event_index VALUES (?, ?, ?, ?)", self._rows)
        self._addresses, self._rows = {}, []
        return count == _ROWS

    def _read(self, db: sqlite3.Connection, after: int) -> int:
        count, orgs, published, text = db.execute(_EVENTS, (after,)).fetchone()
        if count:
            parts = zip(orgs.split(","), published.split(","), text.split(_SEPARATOR), strict=True)
            for seq, (org, at, body) in enumerate(parts, after + 1):
                self._add_to_block(seq, int(org), int(at), searchable(body.encode()))
        return int(count)

    def _add_to_block(self, seq: int, org: int, at: Micros, event: Searchable | None) -> None:
        self._last_seq = seq
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
                self._addresses[key] = max(at, self._addresses.get(key, at))
        if not seq % BLOCK:
            self._rows.append((seq // BLOCK - 1, min(block.published), max(block.published), block.keys()))
            self._block = _Block()


class _Block:
    """The texts of the events of one block, in memory until the block is complete.

    The texts are hashed when the block is complete, so that a repeated text is hashed only once. This halves the time.
    """

    def __init__(self) -> None:
        self.uuids: list[str] = []
        self.types: set[str] = set()
        self.names: set[str] = set()
        self.published: list[Micros] = []
        self.readable = True

    def keys(self) -> bytes:
        """Return the value of the column `keys` in the row of this block; empty if an event could not be read."""
        if not self.readable:
            return b""
        hashes = {*map(uuid_key, self.uuids), *map(type_key, self.types), *map(user_key, self.names)}
        return array("I", sorted(hashes)).tobytes()


def candidates(
    db: sqlite3.Connection, keys: Sequence[int], since: Micros | None, until: Micros | None
) -> Iterator[tuple[int, int]]:
    """Yield the ranges (first `seq`, last `seq`) of events that may contain a match, the newest range first.

    An event matches if it has all of the hashes `keys`, and was published at `since` or later and at `until` or
    earlier. If `since` or `until` is None, it does not limit the time.
    """
    first, last = db.execute(
        "SELECT (SELECT MIN(seq) FROM events), (SELECT MAX(seq) FROM events)"  # one SELECT would read all rows
    ).fetchone()
    if first is None:
        return
    indexed = {block for (block,) in db.execute("SELECT block FROM event_index")}
    in_time = {
        block
        for (block,) in db.execute(
            "SELECT block FROM event_index WHERE (:since IS NULL OR published_to >= :since) "
            "AND (:until IS NULL OR published_from <= :until)",
            {"since": since, "until": until},
        )
    }
    for block in range((last - 1) // BLOCK, (first - 1) // BLOCK - 1, -1):
        if block not in indexed or (block in in_time and _has_all(db, block, keys)):
            yield max(first, block * BLOCK + 1), min(last, (block + 1) * BLOCK)


def _has_all(db: sqlite3.Connection, block: int, keys: Sequence[int]) -> bool:
    if not keys:
        return True
    (data,) = db.execute("SELECT keys FROM event_index WHERE block = ?", (block,)).fetchone()
    hashes = memoryview(data).cast("I")
    if not hashes:
        return True
    for key in keys:
        at = bisect.bisect_left(hashes, key)
        if at == len(hashes) or hashes[at] != key:
            return False
    return True


def forget(db: sqlite3.Connection, last: int) -> None:
    """Drop the rows of blocks without events. `last` is the `seq` of the last event that was dropped from the log."""
    db.execute("DELETE FROM event_index WHERE block < ?", (last // BLOCK,))
