"""The table `sightings`: the values, such as countries, with which each user was seen. Old rows are dropped."""

import json
import sqlite3
from collections.abc import Collection

from forwarder.core.sighting import USER, Sighting
from forwarder.core.time import SECOND, Micros

_KEPT = 32 * 86_400 * SECOND
"""The time after which a sighting is dropped if its value was not seen again. After that, the value counts as new."""

_KEPT_USER = 366 * 86_400 * SECOND
"""The time after which the sighting of the user itself is dropped. It is a year, so that a user who returns after
months does not count as a new user."""

_ROWS = 250  # the number of rows checked in one step

Key = tuple[int, str, str, str]
FIRST: Key = (-1, "", "", "")


def read(db: sqlite3.Connection, org: str, users: Collection[str]) -> list[Sighting]:
    """See `store.interface.SightingReader.sightings`."""
    rows = db.execute(
        "SELECT user, kind, value, since, last, data FROM sightings WHERE org = (SELECT id FROM orgs WHERE name = ?) "
        "AND user IN (SELECT value FROM json_each(?))",
        (org, json.dumps(list(users))),
    )
    return [Sighting(org, *row) for row in rows]


def drop_old(db: sqlite3.Connection, after: Key, now: Micros) -> Key:
    """Drop the old rows among the 250 rows after the key `after`.

    Return the key that the caller must pass as `after` to the next call. At the end of the table, the returned key is
    `FIRST`.
    """
    rows = db.execute(
        "SELECT org, user, kind, value, last FROM sightings WHERE (org, user, kind, value) > (?, ?, ?, ?) "
        "ORDER BY org, user, kind, value LIMIT ?",
        (*after, _ROWS),
    ).fetchall()
    old = [row[:4] for row in rows if row[4] < now - (_KEPT_USER if row[2] == USER else _KEPT)]
    db.executemany("DELETE FROM sightings WHERE org = ? AND user = ? AND kind = ? AND value = ?", old)
    last: Key = rows[-1][:4] if len(rows) == _ROWS else FIRST
    return last
