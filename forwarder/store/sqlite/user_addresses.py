"""The table `addresses`: the IP addresses from which each user did something. Reactions read the table. Old rows are
dropped.

Only events with a successful outcome count. Otherwise an attacker could try the passwords of a hundred users from one
address, and the address would look as if a hundred users shared it.
"""

import ipaddress
import json
import sqlite3
from collections.abc import Mapping
from functools import lru_cache

from forwarder.core.time import SECOND, Micros

_REFRESH = 3600 * SECOND
"""A row is updated only if the new event is newer by at least this time. So most events need no write."""

_KEPT = 8 * 86_400 * SECOND  # the age at which a row is dropped
_MOST_ROWS = 1_000_000
"""The number of rows above which rows are dropped at a lower age. This many rows take about 60 MB. Addresses in use
stay in the table, because their rows are new."""

_LONGEST = 64  # the most characters of an address: an IPv6 address may end with the name of an interface
_ROWS = 250  # the number of rows checked in one step
_INTERVAL = 3600 * SECOND  # the time between two sweeps

# One statement writes all rows, because sqlite3 releases the GIL for each statement, and getting it back may take long.
_UPSERT = f"""
INSERT INTO addresses SELECT {", ".join(f"json_extract(value, '$[{n}]')" for n in range(4))} FROM json_each(?) WHERE true
ON CONFLICT DO UPDATE SET last = excluded.last WHERE excluded.last >= last + {_REFRESH}
"""  # noqa: S608 - a constant


Key = tuple[int, str, str]
FIRST: Key = (-1, "", "")


def record(db: sqlite3.Connection, seen: Mapping[Key, Micros]) -> None:
    """Record in the table which addresses users have used.

    `seen` has a key for each address that a user used: (id of the org, address, id of the user). The value is the time
    of the newest event with this key, by Okta's clock. Invalid addresses are ignored.
    """
    latest: dict[Key, Micros] = {}
    for (org, spelled, user), at in seen.items():
        if address := canonical(spelled):
            key = org, address, user
            latest[key] = max(at, latest.get(key, at))
    if latest:
        db.execute(_UPSERT, (json.dumps([(*key, at) for key, at in latest.items()]),))


@lru_cache(maxsize=4096)  # to parse an address takes as long as all other work for an event
def canonical(address: str) -> str:
    """Return the IP address `address` as Python's `ipaddress` spells it; an empty text if `address` is invalid."""
    try:
        return str(ipaddress.ip_address(address[:_LONGEST]))
    except ValueError:
        return ""


def users(db: sqlite3.Connection, org: str, address: str, since: Micros) -> int:
    """See `core.action.ClaimReader.users_at`."""
    (count,) = db.execute(
        "SELECT COUNT(*) FROM addresses WHERE org = (SELECT id FROM orgs WHERE name = ?) AND address = ? AND last >= ?",
        (org, canonical(address), since - _REFRESH),
    ).fetchone()
    return int(count)


class Sweep:
    """Drops old rows of the table `addresses` in small steps, on the writer thread. A sweep over all rows begins once
    an hour."""

    def __init__(self, most_rows: int = _MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._after = FIRST  # the key of the last row that was checked
        self._swept: Micros = -_INTERVAL  # when the last sweep ended
        self._kept = _KEPT  # the age at which this sweep drops a row
        self._left = 0  # the number of rows that this sweep has checked and not dropped

    def step(self, db: sqlite3.Connection, now: Micros) -> bool:
        """Drop the old rows among the next 250 rows. Return whether this sweep has more rows to check.

        If the last sweep ended less than an hour ago, do nothing and return False.
        """
        if abs(now - self._swept) < _INTERVAL:  # the clock may be set back
            return False
        rows = db.execute(
            "SELECT org, address, user, last FROM addresses WHERE (org, address, user) > (?, ?, ?) "
            "ORDER BY org, address, user LIMIT ?",
            (*self._after, _ROWS),
        ).fetchall()
        old = [row[:3] for row in rows if row[3] < now - self._kept]
        db.executemany("DELETE FROM addresses WHERE org = ? AND address = ? AND user = ?", old)
        self._left += len(rows) - len(old)
        if len(rows) == _ROWS:
            self._after = rows[-1][:3]
            return True
        self._kept = min(_KEPT, self._kept * self._most_rows // max(1, self._left))
        self._after, self._left, self._swept = FIRST, 0, now
        return False
