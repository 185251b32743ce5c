"""What leaves the store: bodies that every sink has settled, and uuids that no late copy is expected for any more.

Bodies leave from the lowest `seq` on, so the log never has a hole. An event that an attached sink still waits for
never leaves.
"""

import sqlite3

from forwarder.core.time import Micros
from forwarder.store.settings import StoreSettings

_BODIES = 100  # rows a step: with the keys below it takes 2 to 3 ms, and must stay under 20 on a bad day
_KEYS = 250  # rows a step
_SWEEP = 3600  # seconds from one look at all uuids to the next
_ROW = 200  # bytes that an event takes beside its body
_SECOND = 1_000_000  # in microseconds
_FIRST = (-1, "")  # before every key


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes in pages that hold something; what was dropped is free for the next events."""
    pages = db.execute("PRAGMA page_count").fetchone()[0] - db.execute("PRAGMA freelist_count").fetchone()[0]
    return int(pages * db.execute("PRAGMA page_size").fetchone()[0])


def settled(db: sqlite3.Connection) -> int:
    """The last `seq` that every attached sink has finished; all there are where no sink is attached."""
    row = db.execute(
        "SELECT COALESCE((SELECT MIN(seq) FROM positions WHERE attached), (SELECT stored FROM counters))"
    ).fetchone()
    return int(row[0])


def drop_settled(db: sqlite3.Connection, *, at_least: int) -> int:
    """Drop settled bodies, oldest first, until `at_least` bytes went or none is left.

    Returns:
        How many bytes went.
    """
    freed = last = 0
    rows = db.execute("SELECT seq, LENGTH(body) FROM events WHERE seq <= ? ORDER BY seq", (settled(db),))
    for seq, size in rows:
        last = seq
        freed += size + _ROW
        if freed >= at_least:
            break
    rows.close()
    db.execute("DELETE FROM events WHERE seq <= ?", (last,))
    return freed


class Pruner:
    """Drops in small steps what is past its time. Lives on the writer's thread."""

    def __init__(self, settings: StoreSettings) -> None:
        self._retention = int(settings.retention * _SECOND)
        self._window = int(settings.dedup_window)
        self._sweep = int(min(_SWEEP, settings.dedup_window / 10)) * _SECOND
        self._swept: Micros | None = None  # when the last look at all uuids ended
        self._after: tuple[int, bytes | str] = _FIRST

    def restart(self) -> None:
        """Look at the uuids from the first again, and now."""
        self._after, self._swept = _FIRST, None

    def step(self, db: sqlite3.Connection, now: Micros) -> bool:
        """Drop a little.

        Returns:
            Whether there may be more now.
        """
        # Bodies first: a uuid may go only after the body.
        return self._drop_bodies(db, now) or self._drop_keys(db, now)

    def _drop_bodies(self, db: sqlite3.Connection, now: Micros) -> bool:
        last = None
        rows = db.execute(
            "SELECT seq, received_at FROM events WHERE seq <= ? ORDER BY seq LIMIT ?", (settled(db), _BODIES)
        ).fetchall()
        for seq, received_at in rows:
            if received_at >= now - self._retention:
                break
            last = seq
        if last is not None:
            db.execute("DELETE FROM events WHERE seq <= ?", (last,))
        return bool(rows) and last == rows[-1][0]

    def _drop_keys(self, db: sqlite3.Connection, now: Micros) -> bool:
        """Forget old uuids, but never that of an event whose body is held: it would be stored twice."""
        if self._swept is not None and abs(now - self._swept) < self._sweep:
            return False
        oldest = db.execute("SELECT received_at FROM events ORDER BY seq LIMIT 1").fetchone()
        until = now // _SECOND - self._window
        if oldest:
            until = min(until, oldest[0] // _SECOND)
        rows = db.execute(
            "SELECT org, uuid, since FROM known WHERE (org, uuid) > (?, ?) ORDER BY org, uuid LIMIT ?",
            (*self._after, _KEYS),
        ).fetchall()
        old = [(org, uuid) for org, uuid, since in rows if since < until]
        if old:
            db.executemany("DELETE FROM known WHERE org = ? AND uuid = ?", old)
            # What is not known is not awaited: as a new event, its copy by hook would not end the wait.
            db.execute(
                "DELETE FROM awaited WHERE (org, uuid) > (?, ?) AND (org, uuid) <= (?, ?) AND NOT EXISTS "
                "(SELECT 1 FROM known WHERE known.org = awaited.org AND known.uuid = awaited.uuid)",
                (*self._after, *rows[-1][:2]),
            )
        more = len(rows) == _KEYS
        self._after = rows[-1][:2] if more else _FIRST
        self._swept = None if more else now
        return more
