"""Keeps in memory the users of the events that rules evaluate, with the sightings of each user
(`core.sighting`). Reads the sightings from the store when an event needs them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from forwarder.core.event import Event
from forwarder.core.sighting import Sighting
from forwarder.rules.evaluation.derived import UserHistory, derive, user_of
from forwarder.store.interface import SightingReader

MOST = 20_000
"""The largest number of users in memory; each takes about 4 kB."""

Decoded = tuple[Event, dict[str, Any]]
_Key = tuple[str, str]  # org and user


class Users:
    """The users in memory: the users of the open batches, those with sightings that are not stored yet, and those that were
    used last.

    Attributes:
        noted: new sightings, until the caller has stored them and calls `written`.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._users: dict[_Key, UserHistory] = {}  # in the order of their last use
        self._in_use: list[set[_Key]] = []  # one for each open batch
        self.noted: dict[tuple[str, str, str, str], Sighting] = {}

    def __len__(self) -> int:
        return len(self._users)

    @contextmanager
    def batch(self, events: Iterable[Decoded]) -> Iterator[None]:
        """Keep the users of these events in memory until the `with` block ends. In the block, call `read` (or `missing`, then
        `keep`), then `derive`.

        Two batches may be open at once: one of the live evaluation, and one of new rules that read earlier events.
        """
        keys = {(event.org, name) for event, raw in events if (name := user_of(raw)) is not None}
        for key in keys & self._users.keys():
            self._users[key] = self._users.pop(key)
        self._in_use.append(keys)
        try:
            yield
        finally:
            self._in_use.remove(keys)
            self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        if (excess := len(self._users) - self._most) > 0:
            # Keep users with noted sightings: the store may not have these sightings yet when it is read again.
            kept = {key[:2] for key in self.noted}.union(*self._in_use)
            for key in list(islice((key for key in self._users if key not in kept), excess)):
                del self._users[key]

    async def read(self, store: SightingReader, events: Iterable[Decoded]) -> None:
        """Read the users of these events that are not in memory from `store`.

        Raises:
            StoreError: the store cannot be read.
        """
        for org, names in self.missing(events).items():
            self.keep(org, names, await store.sightings(org, names))

    def missing(self, events: Iterable[Decoded]) -> dict[str, set[str]]:
        """Return, for each org, the ids of those users in `events` that are not in memory."""
        found: dict[str, set[str]] = {}
        for event, raw in events:
            name = user_of(raw)
            if name is not None and (event.org, name) not in self._users:
                found.setdefault(event.org, set()).add(name)
        return found

    def keep(self, org: str, names: Iterable[str], found: Sequence[Sighting]) -> None:
        """Keep the users `names` of `org` with their stored sightings `found`. Users that are in memory already do not
        change."""
        # Sightings that wait to be written are newer than those that were read.
        rows = {(one.user, one.kind, one.value): one for one in found}
        rows |= {key[1:]: one for key, one in self.noted.items() if key[0] == org}
        of_each: dict[str, list[Sighting]] = {name: [] for name in names}
        for one in rows.values():
            if one.user in of_each:
                of_each[one.user].append(one)
        for name, sightings in of_each.items():
            if (org, name) not in self._users:
                self._users[org, name] = UserHistory(sightings)

    def derive(self, event: Event, raw: dict[str, Any], *, note: bool = True) -> None:
        """Put the derived fields of an event into `raw`. With `note`, add the event's new sightings to `noted`."""
        name = user_of(raw)
        fields, sightings = derive(event, raw, self._users.get((event.org, name)) if name else None)
        raw.pop("forwarder", None)
        raw["forwarder"] = fields  # last, so that no other spelling of the key hides it
        if note:
            self.noted |= {(one.org, one.user, one.kind, one.value): one for one in sightings}

    def written(self) -> None:
        """Clear `noted`: its sightings are stored now."""
        self.noted.clear()
        self._forget_the_oldest()
