"""The SQLite store of a running forwarder."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from forwarder.core.action import Action, Claim
from forwarder.core.errors import StoreError, StoreTimeoutError
from forwarder.core.event import Event, StoredEvent
from forwarder.core.ports import Appended, Batch, Clock, DeadLetterSelection, Start
from forwarder.core.sighting import Sighting
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.store.backup import Backup, BackupProgress, OnProgress
from forwarder.store.ledger import Ledger
from forwarder.store.redelivery import Accepts, Range, RedeliveryCheckpoint
from forwarder.store.rule_counts import NONE, HeldBack
from forwarder.store.settings import StoreSettings, real_path
from forwarder.store.sqlite import action_rows, operations, queries, redelivery, schema, sightings, user_addresses
from forwarder.store.sqlite.backup import back_up
from forwarder.store.sqlite.connection import Reader, WriteConnection
from forwarder.store.sqlite.lock import FileLock
from forwarder.store.sqlite.open_files import OpenFiles
from forwarder.store.sqlite.operator_view import SqliteView
from forwarder.store.sqlite.sink_log import Notifier, SinkLog
from forwarder.store.sqlite.writer import Writer

_LOCK_TIMEOUT = 1.0  # seconds to wait for the lock, which a command that writes to the store may hold for a moment
_ELEMENTS_AT_ONCE = 5000
"""The most elements of a batch that one commit stores. Such a commit takes 60 ms. With smaller steps, the pages of the
tables that are sorted by random ids would be written too often."""

_MISSED_AT_ONCE = 250  # the most events in one operation, so that other commits do not wait long
_DEAD_LETTERS_AT_ONCE = 100  # the most dead letters in one operation, so that other commits do not wait long
_POLL_INTERVAL = 0.05  # seconds between two checks of the deadlines, so a timeout is at most this late


class SqliteStore:
    """Implements `store.interface.Store` with an SQLite file. The interface describes the methods."""

    def __init__(
        self,
        settings: StoreSettings,
        clock: Clock,
        metrics: Metrics,
        lock: FileLock,
        db: sqlite3.Connection,
        files: OpenFiles,
    ) -> None:
        """Use `open` to create a store."""
        self._path = real_path(settings.path)
        self._lock = lock
        self._files = files
        self._notifier = Notifier(db.execute("SELECT stored FROM counters").fetchone()[0])
        self._deadlines = Deadlines(self._fail_late)
        connection = WriteConnection(db, files, settings, clock)
        self._writer = Writer(connection, settings, metrics, self._notifier.committed)
        self._log_reader = Reader(self._path, files, "store-log")
        self._query_reader = Reader(self._path, files, "store-query")  # so that a long query delays no sink
        self._view_reader = Reader(self._path, files, "store-view")
        self.view = SqliteView(self._view_reader, self._notifier)

    @classmethod
    async def open(cls, settings: StoreSettings, clock: Clock, metrics: Metrics) -> Self:
        """See `store.interface.open_store`."""
        lock = await asyncio.to_thread(FileLock, settings.path, timeout=_LOCK_TIMEOUT)
        try:
            db, files = await asyncio.to_thread(schema.open_store, settings.path)
            store = cls(settings, clock, metrics, lock, db, files)
        except BaseException:
            lock.release()
            raise
        try:
            # This query makes SQLite create its `-shm` file now, which it could not do later if the disk is full. So
            # stored events can be delivered even while nothing can be written.
            await store._log_reader.run(lambda _: None)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        await self._log_reader.close()
        await self._query_reader.close()
        await self._view_reader.close()
        await self._writer.close()
        self._files.close()
        self._lock.release()

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        if batch.length <= _ELEMENTS_AT_ONCE:
            return await self._append(batch, timeout)
        # The batch is stored in steps, so that other batches can be committed between two steps. If a step fails, the
        # earlier steps stay committed. No event is lost: the receiver answers 503, Okta sends the batch again, and the
        # events of the earlier steps count as duplicates.
        until = asyncio.get_running_loop().time() + timeout
        stored: list[Event] = []
        differing: list[str] = []
        duplicates = 0
        for step in batch.split(_ELEMENTS_AT_ONCE):
            appended = await self._append(step, until - asyncio.get_running_loop().time())
            stored += appended.stored
            differing += appended.differing
            duplicates += appended.duplicates or 0
        return Appended(stored, duplicates, differing)

    async def _append(self, batch: Batch, timeout: float) -> Appended:
        committed = self._writer.append(batch)
        self._deadlines.watch(committed, timeout)
        try:
            return await committed
        finally:
            self._deadlines.forget(committed)

    def _fail_late(self, committed: asyncio.Future[Appended], timeout: float) -> None:
        # The next commit of events resets this reason, even if that is the commit that is late.
        reason = f"the disk is too slow: events were not committed within {timeout:g} s"
        self._writer.not_ready_reason = reason
        committed.set_exception(
            StoreTimeoutError(f"the events were not committed within {timeout:g} s; they may still be committed")
        )

    async def cursor(self, name: str) -> str | None:
        return await self._query_reader.run(partial(queries.cursor, name=name))

    async def cursors_with(self, prefix: str) -> dict[str, str]:
        return await self._query_reader.run(partial(queries.cursors_with, prefix=prefix))

    async def sightings(self, org: str, users: Collection[str]) -> list[Sighting]:
        return await self._log_reader.run(partial(sightings.read, org=org, users=users))

    async def commit_rules(
        self, batch: Batch, new_sightings: Sequence[Sighting], held_back: HeldBack = NONE
    ) -> Appended:
        try:
            return await self._writer.submit(lambda tx: operations.commit_rules(tx, batch, new_sightings, held_back))
        finally:  # also after an error, because the commit may have succeeded nevertheless
            if batch.events:
                self._notifier.alerts_committed()

    async def load_actions(self, since: Micros) -> list[Action]:
        return await self._query_reader.run(partial(action_rows.load, since=since))

    async def commit_actions(self, batch: Batch, actions: Sequence[Action]) -> frozenset[str]:
        return await self._writer.submit(lambda tx: operations.commit_actions(tx, batch, actions))

    @property
    def alert_commits(self) -> int:
        return self._notifier.alert_commits

    async def wait_for_alerts(self, commits: int) -> None:
        await self._notifier.wait_for_alerts(commits)

    async def alerts_after(self, after: int, *, limit: int) -> list[StoredEvent]:
        return await self._log_reader.run(partial(queries.alerts_after, after=after, limit=limit))

    async def claims(self, org: str, uuids: Sequence[str]) -> Mapping[str, Claim]:
        return await self._query_reader.run(partial(queries.claims, org=org, uuids=uuids))

    async def users_at(self, org: str, address: str, since: Micros) -> int:
        return await self._query_reader.run(partial(user_addresses.users, org=org, address=address, since=since))

    async def mark_missed(self, org: str, before: Micros) -> int:
        """See `core.ports.EventStore.mark_missed`. Each step marks up to 250 events in one commit.

        If the first step fails, raise its error. If a later step fails, return the number of events that were marked;
        the next call marks the other events.
        """
        step = partial(operations.mark_missed, org=org, before=before, limit=_MISSED_AT_ONCE)
        missed = 0
        while True:
            try:
                more = await self._writer.submit(step)
            except StoreError:
                if missed:
                    return missed
                raise
            missed += more
            if more < _MISSED_AT_ONCE:
                return missed

    @property
    def not_ready_reason(self) -> str | None:
        return self._writer.not_ready_reason

    async def log(self, sink: str, start: Start) -> tuple[SinkLog, int]:
        position = await self._writer.submit(partial(operations.attach, sink=sink, start=start))
        return SinkLog(sink, self._log_reader, self._writer, self._notifier), position

    async def detach_except(self, sinks: Collection[str]) -> None:
        await self._writer.submit(partial(operations.detach_except, sinks=sinks))

    async def ledger(self) -> Ledger:
        return await self._query_reader.run(partial(queries.ledger, path=self._path, exact=False))

    async def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        stop, loop = threading.Event(), asyncio.get_running_loop()
        reader = Reader(self._path, self._files, "store-backup")

        def progress(report: BackupProgress) -> None:
            loop.call_soon_threadsafe(on_progress, report)

        try:
            return await reader.run(lambda db: back_up(db, self._path, target, stop, progress))
        finally:
            stop.set()
            await reader.close()  # waits until the thread has removed an unfinished file

    async def replay(self, which: DeadLetterSelection) -> int:
        """See `store.interface.StoreCommands.replay`. Each commit has up to 100 dead letters.

        If a commit fails, the earlier commits stay.
        """
        try:
            return await self._for_each(which, operations.replay)
        finally:
            self._notifier.replay_requested()

    async def redelivery_bounds(self, chosen: Range) -> tuple[int, int]:
        def bounds(db: sqlite3.Connection) -> tuple[int, int]:
            with queries.snapshot(db):  # otherwise bodies might be dropped between two queries
                return redelivery.bounds(db, chosen)

        return await self._query_reader.run(bounds)

    async def redelivery_step(
        self, chosen: Range, accepts: Accepts, *, after: int, last: int, limit: int
    ) -> tuple[list[int], int]:
        step = partial(redelivery.step, chosen=chosen, accepts=accepts, after=after, last=last, limit=limit)
        return await self._query_reader.run(step)

    async def redeliver(self, sink: str, seqs: list[int], checkpoint: RedeliveryCheckpoint) -> int:
        taken = await self._writer.submit(partial(redelivery.make_replays, sink=sink, seqs=seqs, checkpoint=checkpoint))
        if taken:
            self._notifier.replay_requested()
        return taken

    async def waiting_replays(self, sink: str) -> int:
        return await self._query_reader.run(partial(redelivery.waiting, sink=sink))

    async def discard(self, which: DeadLetterSelection) -> int:
        """See `store.interface.StoreCommands.discard`. Each commit has up to 100 dead letters.

        If a commit fails, the earlier commits stay.
        """
        return await self._for_each(which, operations.discard)

    async def forget_sink(self, sink: str, *, running: bool = True) -> int:
        return await self._writer.submit(partial(operations.forget_sink, sink=sink, running=running))

    async def _for_each(self, which: DeadLetterSelection, operation: Callable[..., int]) -> int:
        ids = await self._query_reader.run(partial(queries.dead_letter_ids, which=which))
        count = 0
        for first in range(0, len(ids), _DEAD_LETTERS_AT_ONCE):
            step = partial(operation, ids=ids[first : first + _DEAD_LETTERS_AT_ONCE])
            count += await self._writer.submit(step)
        return count


class Deadlines:
    """The timeouts of appends, checked by one timer. A timer for each append would take 5 % of the time of a POST."""

    def __init__(self, on_expired: Callable[[asyncio.Future[Any], float], None]) -> None:
        """Set the callback for a future that is not done when its timeout ends. The callback gets the future and the
        timeout in seconds."""
        self._on_expired = on_expired
        self._loop = asyncio.get_running_loop()
        self._watched: dict[asyncio.Future[Any], tuple[float, float]] = {}  # by future: deadline and timeout
        self._polling = False

    def watch(self, future: asyncio.Future[Any], seconds: float) -> None:
        """Call `on_expired` when `seconds` have passed, unless `future` is done by then."""
        self._watched[future] = self._loop.time() + seconds, seconds
        if seconds < _POLL_INTERVAL:
            self._loop.call_later(seconds, self._check)
        if not self._polling:
            self._polling = True
            self._loop.call_later(_POLL_INTERVAL, self._poll)

    def forget(self, future: asyncio.Future[Any]) -> None:
        """Stop watching `future`, so that the memory of its result can be freed."""
        self._watched.pop(future, None)

    def _check(self) -> None:
        """Call `on_expired` for each future whose timeout has ended. Stop watching these futures and the futures that
        are done."""
        now = self._loop.time()
        for future, (deadline, seconds) in list(self._watched.items()):
            if future.done():
                self.forget(future)
            elif deadline <= now:
                self.forget(future)
                self._on_expired(future, seconds)

    def _poll(self) -> None:
        self._check()
        self._polling = bool(self._watched)
        if self._polling:
            self._loop.call_later(_POLL_INTERVAL, self._poll)
