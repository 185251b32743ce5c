"""The users of the events that rules evaluate, with what each was seen with: read from the store as they come up."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from forwarder.core.event import Event
from forwarder.core.sighting import Sighting
from forwarder.rules.derived import User, derive, user_of
from forwarder.store.engine import SightingReader

_MOST = 20_000  # users in memory

Decoded = tuple[Event, dict[str, Any]]


class Users:
    """Users in memory. What they are newly seen with waits in `noted` until the position of the rules is committed."""

    def __init__(self, store: SightingReader | None = None) -> None:
        """Read from `store`; without one, `read` cannot be used: the caller finds what is `missing`, and calls `keep`."""
        self._store = store
        self._users: dict[tuple[str, str], User] = {}
        self.noted: dict[tuple[str, str, str, str], Sighting] = {}

    async def read(self, events: Iterable[Decoded]) -> None:
        """Read the users of these events that are not in memory.

        Raises:
            StoreError: the store cannot be read.
        """
        for org, names in self.missing(events).items():
            assert self._store is not None
            self.keep(org, names, await self._store.sightings(org, names))

    def missing(self, events: Iterable[Decoded]) -> dict[str, set[str]]:
        """Return the users of these events that are not in memory, by org."""
        found: dict[str, set[str]] = {}
        for event, raw in events:
            name = user_of(raw)
            if name is not None and (event.org, name) not in self._users:
                found.setdefault(event.org, set()).add(name)
        return found

    def keep(self, org: str, names: Iterable[str], found: Sequence[Sighting]) -> None:
        """Keep these users of `org` with what the store has of them."""
        # Those that wait to be written are newer than what was read.
        rows = {(one.user, one.kind, one.value): one for one in found}
        rows |= {key[1:]: one for key, one in self.noted.items() if key[0] == org}
        of_each: dict[str, list[Sighting]] = {name: [] for name in names}
        for one in rows.values():
            if one.user in of_each:
                of_each[one.user].append(one)
        self._users |= {(org, name): User(sightings) for name, sightings in of_each.items()}

    def derive(self, event: Event, raw: dict[str, Any], *, note: bool = True) -> None:
        """Put the derived fields of an event into it. Without `note`, the store knows what it shows."""
        name = user_of(raw)
        fields, sightings = derive(event, raw, self._users.get((event.org, name)) if name else None)
        raw.pop("forwarder", None)
        raw["forwarder"] = fields  # last, so that no other spelling of the key hides it
        if note:
            self.noted |= {(one.org, one.user, one.kind, one.value): one for one in sightings}

    def written(self) -> None:
        """Forget what waited, which is written now, and users beyond those that fit into memory."""
        self.noted.clear()
        for key in list(islice(self._users, max(0, len(self._users) - _MOST))):
            del self._users[key]
