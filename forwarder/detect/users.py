"""Keeps in memory the users of the events that rules evaluate, with the sightings of each user.

A sighting is a record that a user was seen with a value, such as a country. The sightings of a user are read from the
store when an event needs them.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from forwarder.core.event import Event
from forwarder.core.sighting import Sighting
from forwarder.rules.evaluation.derived_fields import UserHistory, derive, user_of
from forwarder.store.interface import SightingReader

MOST_USERS = 20_000
"""The maximum number of users in memory. Each user takes about 4 kB."""

Decoded = tuple[Event, dict[str, Any]]
_Key = tuple[str, str]  # org and user


class Users:
    """The users in memory. If there are more than the maximum, the users that were used longest ago are removed.

    The users of open batches, and users with sightings that are not stored yet, are never removed.

    Attributes:
        unsaved: the new sightings that are not stored yet. The caller stores them, then calls `mark_saved`.
    """

    def __init__(self, most: int = MOST_USERS) -> None:
        self._most = most
        self._users: dict[_Key, UserHistory] = {}  # in the order of their last use
        self._in_use: list[set[_Key]] = []  # the users of each open batch
        self.unsaved: dict[tuple[str, str, str, str], Sighting] = {}

    def __len__(self) -> int:
        return len(self._users)

    @contextmanager
    def batch(self, events: Iterable[Decoded]) -> Iterator[None]:
        """Keep the users of `events` in memory until the `with` block ends.

        Within the block, call `read` (or `missing`, then `keep`), then `derive`. Two batches may be open at once: one
        of the live evaluation, and one of new rules that read earlier events.
        """
        keys = {(event.org, name) for event, raw in events if (name := user_of(raw)) is not None}
        for key in keys & self._users.keys():
            self._users[key] = self._users.pop(key)
        self._in_use.append(keys)
        try:
            yield
        finally:
            self._in_use.remove(keys)
            self._evict_oldest()

    def _evict_oldest(self) -> None:
        if (excess := len(self._users) - self._most) > 0:
            # Keep users with new sightings: when the user is read again, the store may not have these sightings yet.
            kept = {key[:2] for key in self.unsaved}.union(*self._in_use)
            for key in list(islice((key for key in self._users if key not in kept), excess)):
                del self._users[key]

    async def read(self, store: SightingReader, events: Iterable[Decoded]) -> None:
        """Read from `store` the users of `events` that are not in memory.

        Raises:
            StoreError: the store cannot be read.
        """
        for org, names in self.missing(events).items():
            self.keep(org, names, await store.sightings(org, names))

    def missing(self, events: Iterable[Decoded]) -> dict[str, set[str]]:
        """Return the ids of the users in `events` that are not in memory, by org."""
        found: dict[str, set[str]] = {}
        for event, raw in events:
            name = user_of(raw)
            if name is not None and (event.org, name) not in self._users:
                found.setdefault(event.org, set()).add(name)
        return found

    def keep(self, org: str, names: Iterable[str], found: Sequence[Sighting]) -> None:
        """Add the users `names` of `org` to memory, with `found`, their stored sightings. Users that are in memory do
        not change."""
        # Sightings that are not stored yet are newer than those that were read.
        rows = {(each.user, each.kind, each.value): each for each in found}
        rows |= {key[1:]: each for key, each in self.unsaved.items() if key[0] == org}
        by_user: dict[str, list[Sighting]] = {name: [] for name in names}
        for sighting in rows.values():
            if sighting.user in by_user:
                by_user[sighting.user].append(sighting)
        for name, sightings in by_user.items():
            if (org, name) not in self._users:
                self._users[org, name] = UserHistory(sightings)

    def derive(self, event: Event, raw: dict[str, Any], *, remember: bool = True) -> None:
        """Put the derived fields of `event` into `raw`, its decoded body. If `remember` is True, add the new sightings
        to `unsaved`."""
        name = user_of(raw)
        fields, sightings = derive(event, raw, self._users.get((event.org, name)) if name else None)
        raw.pop("forwarder", None)
        raw["forwarder"] = fields  # last, so that no other spelling of the key hides it
        if remember:
            self.unsaved |= {(each.org, each.user, each.kind, each.value): each for each in sightings}

    def mark_saved(self) -> None:
        """Clear `unsaved`, after the caller has stored the sightings in it."""
        self.unsaved.clear()
        self._evict_oldest()
