"""The methods with which the commands of an operator use an SQLite store.

A command that reads opens the store itself. But only one process may write to a store. So a command that writes sends a
request to the running forwarder. If no forwarder runs, the command opens the store and writes to it.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from forwarder.control_socket.client import ask
from forwarder.core.action import Action
from forwarder.core.errors import StoreFormatError, StoreVersionError
from forwarder.core.event import StoredEvent
from forwarder.core.ports import Clock, DeadLetterSelection
from forwarder.core.sighting import Sighting
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.store.backup import Backup, BackupRequest, OnProgress, check_target
from forwarder.store.dead_letters import DeadLetter, DiscardRequest, ReplayRequest
from forwarder.store.event_search import Search, SearchResult
from forwarder.store.gaps import Gaps
from forwarder.store.ledger import ForgetSinkRequest, Ledger
from forwarder.store.redelivery import Accepts, Range, RedeliveryPlan
from forwarder.store.rule_counts import RuleCounts
from forwarder.store.settings import StoreSettings, real_path
from forwarder.store.sqlite import action_rows, queries, redelivery, rule_hours, schema, sightings
from forwarder.store.sqlite.backup import back_up
from forwarder.store.sqlite.find import find
from forwarder.store.sqlite.store import SqliteStore

T = TypeVar("T")


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Convert each sqlite3.Error that the `with` block raises to a StoreError about the store at `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise schema.to_store_error(path, error) from error


class SqliteTail:
    """Implements `store.interface.Tail` with one connection. The interface describes the methods.

    Each query is a transaction of its own. So an open tail does not prevent checkpoints between two queries.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def seq_range(self) -> tuple[int, int]:
        with _errors(self._path):
            return queries.seq_range(self._db)

    def received_since(self, at: Micros) -> int:
        with _errors(self._path):
            return queries.received_since(self._db, at)

    def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        with _errors(self._path):
            return queries.read(self._db, after, limit, max_bytes)


class SqliteCommands:
    """Implements `store.interface.StoreCommands` for an SQLite store. The interface describes the methods."""

    def __init__(self, settings: StoreSettings, clock: Clock) -> None:
        self._settings = settings
        self._path = real_path(settings.path)
        self._clock = clock

    def ledger(self) -> Ledger:
        return self._read(partial(queries.ledger, path=self._path, exact=True))

    def damage(self, timeout: float) -> list[str] | None:
        try:
            return self._read(partial(queries.damage, timeout=timeout))
        except StoreVersionError:
            raise
        except StoreFormatError as error:  # the store is so damaged that it cannot be opened or checked
            return [str(error)]

    def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        check_target(self._path, target)

        request, hint = BackupRequest(str(target.absolute())), "run the same command again"
        backup: Backup | None = ask(self._path, request, on_progress, timeout=None, hint=hint)
        if backup is not None:
            return backup
        return self._read(lambda db: back_up(db, self._path, target, threading.Event(), on_progress))

    def orgs(self) -> list[str]:
        return self._read(queries.orgs)

    def gaps(self, *, org: str | None = None, since: Micros | None = None, limit: int | None = None) -> Gaps:
        return self._read(partial(queries.gaps, org=org, since=since, limit=limit))

    @contextmanager
    def tail(self) -> Iterator[SqliteTail]:
        with closing(schema.connect_reader(self._path)) as db:
            yield SqliteTail(db, self._path)

    def find(self, search: Search) -> SearchResult:
        return self._read(partial(find, search=search))

    def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        return self._read(partial(queries.read, after=after, limit=limit, max_bytes=max_bytes))

    def received_since(self, at: Micros) -> int:
        return self._read(partial(queries.received_since, at=at))

    def alerts(self, since: Micros) -> list[StoredEvent]:
        return self._read(partial(queries.alerts, since=since))

    def actions(self, since: Micros) -> list[Action]:
        return self._read(partial(action_rows.load, since=since))

    def newest_actions(self, since: Micros, *, only_open: bool, limit: int | None) -> list[Action]:
        return self._read(partial(action_rows.newest, since=since, only_open=only_open, limit=limit))

    def find_actions(self, begin: str) -> list[Action]:
        return self._read(partial(action_rows.find, begin=begin))

    def each_action(self, since: Micros) -> Iterator[Action]:
        with _errors(self._path), closing(schema.connect_reader(self._path)) as db:
            yield from action_rows.each(db, since)

    def cursor(self, name: str) -> str | None:
        return self._read(partial(queries.cursor, name=name))

    def sightings(self, org: str, users: Collection[str]) -> list[Sighting]:
        return self._read(partial(sightings.read, org=org, users=users))

    def rule_counts(self, since: Micros) -> dict[str, RuleCounts]:
        return self._read(partial(rule_hours.read, since=since))

    def redelivery_plan(self, sink: str, chosen: Range, accepts: Accepts) -> RedeliveryPlan:
        return self._read(partial(redelivery.plan, sink=sink, chosen=chosen, accepts=accepts))

    def dead_letters(self, which: DeadLetterSelection, *, limit: int = 100) -> list[DeadLetter]:
        return self._read(partial(queries.dead_letters, which=which, limit=limit))

    def count_dead_letters(self, which: DeadLetterSelection) -> dict[tuple[str, str], int]:
        return self._read(partial(queries.count_dead_letters, which=which))

    def as_of_now(self, which: DeadLetterSelection) -> DeadLetterSelection:
        return self._read(partial(queries.as_of_now, which=which))

    def dead_letter(self, number: int) -> DeadLetter | None:
        return self._read(partial(queries.dead_letter, number=number))

    def replay(self, which: DeadLetterSelection) -> int:
        return self._write(ReplayRequest(which))

    def discard(self, which: DeadLetterSelection) -> int:
        return self._write(DiscardRequest(which))

    def forget_sink(self, sink: str) -> int:
        return self._write(ForgetSinkRequest(sink))

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        with _errors(self._path), closing(schema.connect_reader(self._path)) as db:
            return query(db)

    def _write(self, request: ReplayRequest | DiscardRequest | ForgetSinkRequest) -> int:
        # This raises an error if there is no store. Without it, `_write_here` would create an empty store.
        self._read(lambda _: None)
        see = "stats" if isinstance(request, ForgetSinkRequest) else "dead-letters list"
        done: int | None = ask(self._path, request, hint=f"see: forwarder {see}")
        return asyncio.run(self._write_here(request)) if done is None else done

    async def _write_here(self, request: ReplayRequest | DiscardRequest | ForgetSinkRequest) -> int:
        store = await SqliteStore.open(self._settings, self._clock, Metrics())
        try:
            if isinstance(request, ForgetSinkRequest):
                return await store.forget_sink(request.sink, running=False)
            write = store.replay if isinstance(request, ReplayRequest) else store.discard
            return await write(request.selection)
        finally:
            await store.close()
