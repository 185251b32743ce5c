"""The temporary database of a replay of rules.

It has the uuids of alerts, and the sightings of users (records that a user was seen with a value, such as a country).
Both may be too many for the memory.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from forwarder.core.errors import ForwarderError
from forwarder.core.sighting import Sighting

_SCHEMA = """
CREATE TABLE sightings (
  org TEXT, user TEXT, kind TEXT, value TEXT, since INTEGER, last INTEGER, data BLOB, PRIMARY KEY (org, user, kind, value)
) WITHOUT ROWID;
CREATE TABLE alerts (uuid TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class ReplayDatabase:
    """A temporary SQLite database. SQLite writes it to disk only if it outgrows the cache, and removes the file by
    itself."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def save_sightings(self, sightings: Iterable[Sighting]) -> None:
        """Save `sightings`. Each replaces the saved sighting with the same org, user, kind and value."""
        rows = [(each.org, each.user, each.kind, each.value, each.since, each.last, each.data) for each in sightings]
        with _errors():
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR REPLACE INTO sightings VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")

    def merge(self, found: Sequence[Sighting], org: str, users: Collection[str]) -> list[Sighting]:
        """Return the saved sightings of `users` in `org`, and the sightings in `found`.

        A saved sighting replaces the sighting in `found` with the same user, kind and value.
        """
        with _errors():
            saved = self._db.execute(
                "SELECT * FROM sightings WHERE org = ? AND user IN (SELECT value FROM json_each(?))",
                (org, json.dumps(list(users))),
            ).fetchall()
        rows = {(each.user, each.kind, each.value): each for each in found}
        rows |= {row[1:4]: Sighting(*row) for row in saved}
        return list(rows.values())

    def forget_sightings(self) -> None:
        """Delete all saved sightings. The saved alerts stay."""
        with _errors():
            self._db.execute("DELETE FROM sightings")

    def add_alert(self, uuid: str) -> None:
        with _errors():
            self._db.execute("INSERT OR IGNORE INTO alerts VALUES (?)", (uuid,))

    def has_alert(self, uuid: str) -> bool:
        with _errors():
            return bool(self._db.execute("SELECT 1 FROM alerts WHERE uuid = ?", (uuid,)).fetchall())


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ForwarderError(
            f"the replay cannot write a temporary file ({error}); free some space, or set SQLITE_TMPDIR to a folder with more"
        ) from error
