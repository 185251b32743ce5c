"""What the hook never brought, and what it still may: read from the store, whether or not a forwarder runs on it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from forwarder.core.time import Micros
from forwarder.store.ledger import one_moment
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.uuid_key import unpack

_WHICH = "(:org IS NULL OR name = :org) AND (:since IS NULL OR published >= :since)"

_TYPES = f"""
SELECT name, event_type, COUNT(*) FROM awaited CROSS JOIN orgs ON id = org
WHERE missed_at IS NOT NULL AND {_WHICH} GROUP BY name, event_type ORDER BY name, COUNT(*) DESC, event_type
"""  # noqa: S608  # constants

_AWAITED = f"""
SELECT name, COUNT(*) FROM awaited CROSS JOIN orgs ON id = org WHERE missed_at IS NULL AND {_WHICH} GROUP BY name
"""  # noqa: S608  # constants

_EVENTS = f"""
SELECT name, uuid, event_type, published, since, missed_at FROM awaited CROSS JOIN orgs ON id = org
WHERE missed_at IS NOT NULL AND {_WHICH} ORDER BY published DESC, name, uuid LIMIT :limit
"""  # noqa: S608  # constants


class Gap(msgspec.Struct, frozen=True):
    """An event that the System Log brought and our hook did not, in its grace or until now.

    Attributes:
        org: the org's name.
        uuid: of the event.
        event_type: of the event.
        published: when it happened, by Okta's clock.
        since: when the log brought it, by our clock.
        missed_at: when we gave up on the hook.
    """

    org: str
    uuid: str
    event_type: str
    published: Micros
    since: Micros
    missed_at: Micros


class Gaps(msgspec.Struct, frozen=True):
    """What is missed, and what is awaited. What left with `store.dedup_window` is in neither.

    Attributes:
        missed: by org, how many events of each type; an org without any is there, and empty.
        awaited: by org, how many events the hook is still to bring.
        events: what is missed, the newest first; not more than were asked for.
    """

    missed: dict[str, dict[str, int]]
    awaited: dict[str, int]
    events: list[Gap]

    @property
    def count(self) -> int:
        """How many are missed, whatever `events` shows of them."""
        return sum(sum(types.values()) for types in self.missed.values())


def read_gaps(
    path: Path, *, org: str | None = None, since: Micros | None = None, limit: int | None = None
) -> Gaps:
    """The gaps in the store at `path`. Reads only.

    Args:
        path: of the store.
        org: only of this one.
        since: only what happened then or later.
        limit: at most so many events; None for all of them.

    Raises:
        StoreError: there is no store at `path`, or it cannot be read.
    """
    which = {"org": org, "since": since, "limit": -1 if limit is None else limit}
    try:
        with closing(schema.connect_reader(path)) as db, one_moment(db):
            orgs = [name for (name,) in db.execute("SELECT name FROM orgs ORDER BY name")]
            gaps = Gaps({name: {} for name in orgs if org in (None, name)}, {}, [])
            gaps.awaited.update(dict.fromkeys(gaps.missed, 0))
            for name, event_type, count in db.execute(_TYPES, which):
                gaps.missed[name][event_type] = count
            gaps.awaited.update(db.execute(_AWAITED, which).fetchall())
            gaps.events.extend(
                Gap(name, unpack(uuid), *rest) for name, uuid, *rest in db.execute(_EVENTS, which)
            )
            return gaps
    except sqlite3.Error as error:
        raise schema.trouble(path, error) from error
