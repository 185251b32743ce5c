"""An operator's commands on an SQLite store.

A command that reads opens the store itself. Only one process may write to a store. So a command that writes asks the
running forwarder to do it. If no forwarder runs, the command opens the store and writes itself.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from forwarder.control_socket import ask
from forwarder.core.action import Action
from forwarder.core.errors import StoreFormatError
from forwarder.core.event import StoredEvent
from forwarder.core.ports import Clock
from forwarder.core.sighting import Sighting
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.store.backup import Backup, BackupProgress, BackupRequest, OnProgress, check_target
from forwarder.store.dead_letters import DeadLetter, DeadLetterSelection, DiscardRequest, ReplayRequest
from forwarder.store.event_life import Search, SearchResult
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
    """Within the `with` block, raise a StoreError in place of an error that SQLite raises for the store at `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise schema.to_store_error(path, error) from error


class SqliteTail:
    """Reads the events of a store while a forwarder in another process may write to the store.

    The methods block. They raise StoreError if the store cannot be read.

    Each query is a transaction of its own. So between two queries, an open tail blocks neither checkpoints nor the dropping
    of bodies.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def held(self) -> tuple[int, int]:
        """Return (the `seq` of the oldest event whose body the store holds, the `seq` of the newest event).

        If the store holds no bodies, the first number is one more than the second (an empty range).
        """
        with _errors(self._path):
            return queries.held(self._db)

    def received_since(self, at: Micros) -> int:
        """See `SqliteCommands.received_since`."""
        with _errors(self._path):
            return queries.received_since(self._db, at)

    def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """See `core.ports.EventLog.read`."""
        with _errors(self._path):
            return queries.read(self._db, after, limit, max_bytes)


class SqliteCommands:
    """An operator's commands on a store, whether or not a forwarder runs on it. The methods block.

    Each method raises StoreError if the store does not exist or cannot be used.
    """

    def __init__(self, settings: StoreSettings, clock: Clock) -> None:
        self._settings = settings
        self._path = real_path(settings.path)
        self._clock = clock

    def ledger(self) -> Ledger:
        """Return where every event is, for each sink. Slow, because it reads all waiting events to count them."""
        return self._read(partial(queries.ledger, path=self._path, exact=True))

    def damage(self, timeout: float) -> list[str] | None:
        """Return a line for each damage of the store's file; None if the check takes longer than `timeout` seconds."""
        try:
            return self._read(partial(queries.damage, timeout=timeout))
        except StoreFormatError as error:  # the store is so damaged that it cannot be opened or checked
            return [str(error)]

    def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        """Copy the store into the new file `target`, check the copy, and fsync it.

        A running forwarder continues to store and to deliver events meanwhile. `on_progress` is called for each part that
        was copied.

        Raises:
            StoreError: the copy cannot be written, `target` exists, or the store is damaged. No file of the backup is left.
        """
        check_target(self._path, target)

        def progress(report: Any) -> None:
            on_progress(msgspec.convert(report, BackupProgress))

        made = ask(self._path, BackupRequest(str(target.absolute())), progress, timeout=None)
        if made is not None:
            return msgspec.convert(made, Backup)
        return self._read(lambda db: back_up(db, self._path, target, threading.Event(), on_progress))

    def orgs(self) -> list[str]:
        """Return the names of all orgs that the store knows, also of those that are no longer configured."""
        return self._read(queries.orgs)

    def gaps(self, *, org: str | None = None, since: Micros | None = None, limit: int | None = None) -> Gaps:
        """Return the missed and the pending events.

        Args:
            org: the name of the org whose events are returned; None for all orgs.
            since: the earliest time of publication of the events; None for any time.
            limit: the most missed events to list; None to list all. The numbers of events are always complete.
        """
        return self._read(partial(queries.gaps, org=org, since=since, limit=limit))

    @contextmanager
    def tail(self) -> Iterator[SqliteTail]:
        """Open the store to read its events in order, and also those that are stored while it is open."""
        with closing(schema.connect_reader(self._path)) as db:
            yield SqliteTail(db, self._path)

    def find(self, search: Search) -> SearchResult:
        """Return the events that match `search`, each with its place for each sink."""
        return self._read(partial(find, search=search))

    def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """See `core.ports.EventLog.read`."""
        return self._read(partial(queries.read, after=after, limit=limit, max_bytes=max_bytes))

    def received_since(self, at: Micros) -> int:
        """Return a `seq` from which on a reader finds every event that was received at `at` or later.

        The event with this `seq` may have been received up to a minute before `at`, because events are not stored exactly
        in the order in which they were received. If no event was received at `at` or later, the result may be one more
        than the newest `seq`.
        """
        return self._read(partial(queries.received_since, at=at))

    def alerts(self, since: Micros) -> list[StoredEvent]:
        """Return the alerts that were stored at `since` or later and whose bodies the store holds, oldest first."""
        return self._read(partial(queries.alerts, since=since))

    def actions(self, since: Micros) -> list[Action]:
        """Return all open actions, and the ended actions that changed at `since` or later, oldest first."""
        return self._read(partial(action_rows.load, since=since))

    def newest_actions(self, since: Micros, *, only_open: bool, limit: int | None) -> list[Action]:
        """Return the newest actions planned at `since` or later, newest first: up to `limit`, or all if `limit` is None.

        With `only_open`, leave out the actions that have ended.
        """
        return self._read(partial(action_rows.newest, since=since, only_open=only_open, limit=limit))

    def find_actions(self, begin: str) -> list[Action]:
        """Return up to ten actions whose keys begin with `begin`."""
        return self._read(partial(action_rows.find, begin=begin))

    def each_action(self, since: Micros) -> Iterator[Action]:
        """Yield every action that was planned at `since` or later, oldest first."""
        with _errors(self._path), closing(schema.connect_reader(self._path)) as db:
            yield from action_rows.each(db, since)

    def cursor(self, name: str) -> str | None:
        """See `core.ports.EventStore.cursor`."""
        return self._read(partial(queries.cursor, name=name))

    def sightings(self, org: str, users: Collection[str]) -> list[Sighting]:
        """See `SqliteStore.sightings`."""
        return self._read(partial(sightings.read, org=org, users=users))

    def rule_counts(self, since: Micros) -> dict[str, RuleCounts]:
        """Return the counts of each rule since the hour of `since`, by the rule's id, without rules that have none."""
        return self._read(partial(rule_hours.read, since=since))

    def redelivery_plan(self, sink: str, chosen: Range, accepts: Accepts) -> RedeliveryPlan:
        """Count the events of the range `chosen` that would be delivered to `sink` again, and those that would not."""
        return self._read(partial(redelivery.plan, sink=sink, chosen=chosen, accepts=accepts))

    def dead_letters(self, which: DeadLetterSelection, *, limit: int = 100) -> list[DeadLetter]:
        """Return up to `limit` of the selected dead letters, newest first, without their bodies."""
        return self._read(partial(queries.dead_letters, which=which, limit=limit))

    def count_dead_letters(self, which: DeadLetterSelection) -> dict[tuple[str, str], int]:
        """Return the number of events that the selected dead letters stand for, by (sink, reason).

        Leaves out dead letters that are being sent again.
        """
        return self._read(partial(queries.count_dead_letters, which=which))

    def as_of_now(self, which: DeadLetterSelection) -> DeadLetterSelection:
        """Return a selection of those dead letters that match `which` now, so that later rejections do not match.

        Dead letters that are being sent again now do not match either, even if the sink rejects them again later.
        """
        return self._read(partial(queries.as_of_now, which=which))

    def dead_letter(self, number: int) -> DeadLetter | None:
        """Return the dead letter with the id `number`, including its body; None if no dead letter has this id."""
        return self._read(partial(queries.dead_letter, number=number))

    def replay(self, which: DeadLetterSelection) -> int:
        """Mark the selected dead letters to be sent again, and return their number.

        The running forwarder sends them now; if no forwarder runs, the next one that starts does. Malformed events are
        parsed again instead: those that this version can read are stored as events, and count in the result.
        Unattributed dead letters are left out, because they have no bodies.
        """
        return self._write(ReplayRequest(which))

    def discard(self, which: DeadLetterSelection) -> int:
        """Remove the selected dead letters for good, except those that are being sent again.

        Return the number of events that the removed dead letters stood for.
        """
        return self._write(DiscardRequest(which))

    def forget_sink(self, sink: str) -> int:
        """Forget `sink`, which must no longer be configured: its position, its counts and its dead letters.

        After that, no event waits for the sink. If it is configured again, it begins as a new sink.

        Return the number of events that the dead letters stood for.

        Raises:
            StoreError: the store does not know the sink, or the running forwarder delivers to the sink.
        """
        return self._write(ForgetSinkRequest(sink))

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        with _errors(self._path), closing(schema.connect_reader(self._path)) as db:
            return query(db)

    def _write(self, request: ReplayRequest | DiscardRequest | ForgetSinkRequest) -> int:
        # If there is no store, this raises a clear error. `_write_here` would create one.
        self._read(lambda _: None)
        done: int | None = ask(self._path, request)
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
