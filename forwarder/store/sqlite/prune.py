"""Drops old data: the bodies of events, the uuids of events (after `store.dedup_window`), sightings, addresses and
actions.

Bodies are dropped in order of `seq`, beginning with the oldest, so the log never has a gap. The body of an event that
an attached sink has not finished is never dropped.
"""

import sqlite3
from bisect import bisect_left

from forwarder.core.time import SECOND, Micros
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import action_rows, event_index, queries, rule_hours, sightings, user_addresses

ROW_BYTES = 200
"""The number of bytes that the row of an event takes in addition to its body."""

_BODIES = 100  # the most bodies dropped in a step. It takes 2 to 3 ms, and must take less than 20 ms
_IDS = 250  # the most uuids checked in a step
_SWEEP_INTERVAL = 3600  # seconds between two sweeps over all uuids
_FIRST = (-1, "")  # a key that is lower than the key of every row of `known`


def _settled(db: sqlite3.Connection) -> int:
    """Return the `seq` up to which every attached sink has finished all events. If no sink is attached, return the
    newest `seq`."""
    row = db.execute(
        "SELECT COALESCE((SELECT MIN(seq) FROM positions WHERE attached), (SELECT stored FROM counters))"
    ).fetchone()
    return int(row[0])


def drop_settled(db: sqlite3.Connection, *, at_least: int) -> int:
    """Drop at least `at_least` bytes of bodies of events that all attached sinks have finished, oldest first.

    Return the number of dropped bytes. It is smaller than `at_least` if there are not enough finished events.
    """
    freed = last = 0
    rows = db.execute("SELECT seq, LENGTH(body) FROM events WHERE seq <= ? ORDER BY seq", (_settled(db),))
    for seq, size in rows:
        last = seq
        freed += size + ROW_BYTES
        if freed >= at_least:
            break
    rows.close()
    _drop(db, last)
    return freed


def _drop(db: sqlite3.Connection, last: int) -> None:
    """Drop the events with a `seq` up to `last`, and the records of what each known sink did with these events.

    The caller must ensure that all attached sinks have finished these events. Otherwise the events are lost.
    """
    db.execute("DELETE FROM events WHERE seq <= ?", (last,))
    db.execute("DELETE FROM alerts WHERE seq <= ?", (last,))
    event_index.forget(db, last)
    db.execute("DELETE FROM settlements WHERE sink IN (SELECT sink FROM positions) AND last <= ?", (last,))
    db.execute("DELETE FROM ended_letters WHERE sink IN (SELECT sink FROM positions) AND seq <= ?", (last,))


class Pruner:
    """Drops expired bodies, uuids, sightings, addresses and actions in small steps, on the writer thread."""

    def __init__(self, settings: StoreSettings) -> None:
        self._retention = int(settings.retention * SECOND)
        self._window = int(settings.dedup_window)
        self._interval = int(min(_SWEEP_INTERVAL, settings.dedup_window / 10)) * SECOND
        self._swept: Micros | None = None  # when the last sweep over all uuids ended; None during a sweep
        self._after: tuple[int, bytes | str] = _FIRST  # the key of the last uuid that was checked
        self._sightings_after = sightings.FIRST
        # When the last sweep over all sightings ended.
        self._sightings_swept: Micros = -_SWEEP_INTERVAL * SECOND
        self._addresses = user_addresses.Sweep()

    def step(self, db: sqlite3.Connection, now: Micros) -> bool:
        """Drop some expired rows, and return whether there may be more rows to drop now."""
        # Bodies come first, because a uuid may be dropped only after the body of its event was dropped.
        return (
            self._drop_bodies(db, now)
            or self._forget_ids(db, now)
            or self._forget_sightings(db, now)
            or self._addresses.step(db, now)
            or action_rows.drop_old(db, now, at_least=self._window * SECOND)
        )

    def _forget_sightings(self, db: sqlite3.Connection, now: Micros) -> bool:
        if abs(now - self._sightings_swept) < _SWEEP_INTERVAL * SECOND:  # the clock may be set back
            return False
        self._sightings_after = sightings.drop_old(db, self._sightings_after, now)
        more = self._sightings_after != sightings.FIRST
        if not more:
            rule_hours.drop_old(db, now)
            self._sightings_swept = now
        return more

    def _drop_bodies(self, db: sqlite3.Connection, now: Micros) -> bool:
        last, expired, settled = None, now - self._retention, _settled(db)
        rows = db.execute(
            "SELECT seq, received_at FROM events WHERE seq <= ? ORDER BY seq LIMIT ?", (settled, _BODIES)
        ).fetchall()
        in_future = rows and rows[0][1] > now
        if in_future:
            # The clock was set back after these events were received, so their times are in the future. So take the age
            # of the first later event whose time is not in the future: they are at least as old.
            first = rows[0][0]
            first += bisect_left(range(first, settled + 1), True, key=lambda seq: queries.received_at(db, seq) <= now)
            if first <= settled and queries.received_at(db, first) < expired:
                last = min(first - 1, rows[-1][0])
        for seq, received_at in rows:
            if received_at >= expired:
                break
            last = seq
        if last is not None:
            _drop(db, last)
        return last is not None and (bool(in_future) or last == rows[-1][0])

    def _forget_ids(self, db: sqlite3.Connection, now: Micros) -> bool:
        """Drop old uuids. Keep the uuid of each event whose body the store holds.

        If the store dropped the uuid of an event whose body it holds, a late copy of the event would be stored as a
        second event. Return whether there may be more uuids to drop now.
        """
        if self._swept is not None and abs(now - self._swept) < self._interval:
            return False
        oldest = db.execute("SELECT received_at FROM events ORDER BY seq LIMIT 1").fetchone()
        until = now // SECOND - self._window
        if oldest:
            until = min(until, oldest[0] // SECOND)
        rows = db.execute(
            "SELECT org, uuid, since FROM known WHERE (org, uuid) > (?, ?) ORDER BY org, uuid LIMIT ?",
            (*self._after, _IDS),
        ).fetchall()
        old = [(org, uuid) for org, uuid, since in rows if since < until]
        if old:
            db.executemany("DELETE FROM known WHERE org = ? AND uuid = ?", old)
            # An event whose uuid was dropped must not stay pending or missed. If the hook delivered the event now, it
            # would be stored as a new event, and the entry in `awaited` would stay.
            db.execute(
                "DELETE FROM awaited WHERE (org, uuid) > (?, ?) AND (org, uuid) <= (?, ?) AND NOT EXISTS "
                "(SELECT 1 FROM known WHERE known.org = awaited.org AND known.uuid = awaited.uuid)",
                (*self._after, *rows[-1][:2]),
            )
        more = len(rows) == _IDS
        self._after = rows[-1][:2] if more else _FIRST
        self._swept = None if more else now
        return more
