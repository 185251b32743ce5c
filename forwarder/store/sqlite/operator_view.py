"""The part of the SQLite store that the status page, its API, the rules and the reactions read."""

from collections.abc import Mapping, Sequence
from functools import partial

from forwarder.core.event import StoredEvent
from forwarder.core.ports import DeadLetterSelection
from forwarder.core.time import Micros
from forwarder.store.dead_letters import DeadLetter
from forwarder.store.gaps import Gaps
from forwarder.store.rule_counts import RuleCounts
from forwarder.store.sqlite import queries, rule_hours
from forwarder.store.sqlite.connection import Reader
from forwarder.store.sqlite.sink_log import Notifier


class SqliteView:
    """Implements `store.interface.StoreView` for an SQLite store. The interface describes the methods.

    The view has a connection of its own, so that a slow query of an operator delays neither a sink nor the status.
    """

    def __init__(self, reader: Reader, notifier: Notifier) -> None:
        self._reader = reader
        self._notifier = notifier

    @property
    def newest(self) -> int:
        return self._notifier.stored

    async def wait(self, after: int) -> None:
        await self._notifier.wait(after, self._notifier.replay_requests)

    async def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        return await self._reader.run(partial(queries.read, after=after, limit=limit, max_bytes=max_bytes))

    async def received_since(self, at: Micros) -> int:
        return await self._reader.run(partial(queries.received_since, at=at))

    async def dead_letters(self, which: DeadLetterSelection, *, limit: int) -> Sequence[DeadLetter]:
        return await self._reader.run(partial(queries.dead_letters, which=which, limit=limit))

    async def count_dead_letters(self, which: DeadLetterSelection) -> Mapping[tuple[str, str], int]:
        return await self._reader.run(partial(queries.count_dead_letters, which=which))

    async def dead_letter(self, number: int) -> DeadLetter | None:
        return await self._reader.run(partial(queries.dead_letter, number=number))

    async def gaps(self, *, limit: int) -> Gaps:
        return await self._reader.run(partial(queries.gaps, org=None, since=None, limit=limit))

    async def rule_counts(self, since: Micros) -> Mapping[str, RuleCounts]:
        return await self._reader.run(partial(rule_hours.read, since=since))
