"""The SQLite store of a running forwarder."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from forwarder.core.action import Action, Claim
from forwarder.core.errors import StoreError, StoreTimeoutError
from forwarder.core.event import Event, StoredEvent
from forwarder.core.ports import Appended, Batch, Clock, Start
from forwarder.core.sighting import Sighting
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.store.backup import Backup, BackupProgress, OnProgress
from forwarder.store.dead_letters import DeadLetterSelection
from forwarder.store.ledger import Ledger
from forwarder.store.redelivery import Accepts, Range, RedeliveryCheckpoint
from forwarder.store.rule_counts import NONE, HeldBack
from forwarder.store.settings import StoreSettings, real_path
from forwarder.store.sqlite import action_rows, addresses, operations, queries, redelivery, schema, sightings
from forwarder.store.sqlite.backup import back_up
from forwarder.store.sqlite.connection import Reader, WriteConnection
from forwarder.store.sqlite.deadlines import Deadlines
from forwarder.store.sqlite.lock import FileLock
from forwarder.store.sqlite.open_files import OpenFiles
from forwarder.store.sqlite.operator_view import SqliteView
from forwarder.store.sqlite.sink_log import News, SinkLog
from forwarder.store.sqlite.writer import Writer

_LOCK_TIMEOUT = 1.0  # seconds to wait for a command that writes to the store
_ELEMENTS_AT_ONCE = 5000
"""The most elements of a batch that are stored in one commit, which takes 60 ms. Smaller steps would rewrite the pages of the
index of random ids too often."""

_MISSED_AT_ONCE = 250  # the most events in one operation, so that other commits do not wait long for it
_DEAD_LETTERS_AT_ONCE = 100  # the most dead letters in one operation, so that other commits do not wait long


class SqliteStore:
    """The store of one running forwarder, used on its event loop.

    `core.ports.EventStore` and `core.action.ActionStore` describe the methods that have no docstring here.
    """

    def __init__(
        self,
        settings: StoreSettings,
        clock: Clock,
        metrics: Metrics,
        lock: FileLock,
        db: sqlite3.Connection,
        files: OpenFiles,
    ) -> None:
        """Do not call this; call `open`."""
        self._path = real_path(settings.path)
        self._lock = lock
        self._files = files
        self._news = News(db.execute("SELECT stored FROM counters").fetchone()[0])
        self._deadlines = Deadlines(self._fail_late)
        connection = WriteConnection(db, files, settings, clock)
        self._writer = Writer(connection, settings, metrics, self._news.committed)
        self._log_reader = Reader(self._path, files, "store-log")
        self._query_reader = Reader(self._path, files, "store-query")  # so that a long query delays no sink
        self._view_reader = Reader(self._path, files, "store-view")
        self.view = SqliteView(self._view_reader, self._news)

    @classmethod
    async def open(cls, settings: StoreSettings, clock: Clock, metrics: Metrics) -> Self:
        """Open the store of a forwarder; create it if it does not exist.

        Raises:
            StoreLockedError: another process uses the store.
            StoreFormatError: the file is not our store, is damaged, or has a newer version. The file is left unchanged.
            StoreFullError: the disk is full.
            StoreError: the directory is missing or not writable, or the store cannot be opened for another reason.
        """
        lock = await asyncio.to_thread(FileLock, settings.path, timeout=_LOCK_TIMEOUT)
        try:
            db, files = await asyncio.to_thread(schema.open_store, settings.path)
            store = cls(settings, clock, metrics, lock, db, files)
        except BaseException:
            lock.release()
            raise
        try:
            # This query makes SQLite create its shared memory now, because it could not do that later on a full disk. So
            # stored events can be delivered even while nothing can be written.
            await store._log_reader.run(lambda _: None)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Commit the queued operations, then close the store's files and unlock them. Safe to call twice."""
        await self._log_reader.close()
        await self._query_reader.close()
        await self._view_reader.close()
        await self._writer.close()
        self._files.close()
        self._lock.release()

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        if batch.length <= _ELEMENTS_AT_ONCE:
            return await self._append(batch, timeout)
        # The batch is stored in steps, so that other batches are committed in between. If a step fails, the earlier steps
        # stay committed. The receiver then answers 503, Okta sends the batch again, and the events of the earlier steps
        # count as duplicates.
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
        return await committed

    def _fail_late(self, committed: asyncio.Future[Appended], timeout: float) -> None:
        # The next commit with events clears this reason, even if it is the commit that was late.
        reason = f"the disk is too slow: events were not committed within {timeout:g} s"
        self._writer.not_ready_reason = reason
        committed.set_exception(
            StoreTimeoutError(
                f"the events were not committed within {timeout:g} s; they may still be committed"
            )
        )

    async def cursor(self, name: str) -> str | None:
        return await self._query_reader.run(partial(queries.cursor, name=name))

    async def sightings(self, org: str, users: Collection[str]) -> list[Sighting]:
        """Return all sightings of `users`, given by their ids in Okta, in the org `org`.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._log_reader.run(partial(sightings.read, org=org, users=users))

    async def commit_rules(
        self, batch: Batch, noted: Sequence[Sighting], held_back: HeldBack = NONE
    ) -> Appended:
        """Commit the results of the rules in one transaction, and return which alerts are new.

        Args:
            batch: the alerts, and as the cursor, the new position of the rules.
            noted: the new or changed sightings of users.
            held_back: the numbers of matches that raised no alert.

        Raises:
            StoreError: the commit failed, or was not confirmed. Call this again with the same position: if the first call
                was committed after all, the second call counts nothing twice.
        """
        try:
            return await self._writer.submit(lambda tx: operations.commit_rules(tx, batch, noted, held_back))
        finally:  # also after an error, because the commit may have succeeded all the same
            if batch.events:
                self._news.alerts_committed()

    async def load_actions(self, since: Micros) -> list[Action]:
        return await self._query_reader.run(partial(action_rows.load, since=since))

    async def commit_actions(self, batch: Batch, actions: Sequence[Action]) -> frozenset[str]:
        return await self._writer.submit(lambda tx: operations.commit_actions(tx, batch, actions))

    @property
    def alert_commits(self) -> int:
        """The number of commits of alerts that this process has tried."""
        return self._news.alert_commits

    async def wait_for_alerts(self, commits: int) -> None:
        """Wait until `alert_commits` differs from `commits`. So reactions wake up only for alerts, not for every event."""
        await self._news.wait_for_alerts(commits)

    async def alerts_after(self, after: int, *, limit: int) -> list[StoredEvent]:
        """Return up to `limit` alerts with `seq > after` whose bodies the store holds, oldest first.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._log_reader.run(partial(queries.alerts_after, after=after, limit=limit))

    async def claims(self, org: str, uuids: Sequence[str]) -> Mapping[str, Claim]:
        return await self._query_reader.run(partial(queries.claims, org=org, uuids=uuids))

    async def users_at(self, org: str, address: str, since: Micros) -> int:
        return await self._query_reader.run(partial(addresses.users, org=org, address=address, since=since))

    async def mark_missed(self, org: str, before: Micros) -> int:
        """Do the same as `core.ports.EventStore.mark_missed`, in small steps.

        If a step after the first one fails, this returns the number of events marked so far. The next call marks the
        remaining events.
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
        """The reason why events cannot be stored now, as a text; None while they can be stored."""
        return self._writer.not_ready_reason

    async def log(self, sink: str, start: Start) -> tuple[SinkLog, int]:
        """Attach `sink` to the store, and return its log and its position.

        A sink that the store does not know begins at `start`. From now on, the store does not drop the body of an event
        before the sink has finished the event.

        Raises:
            StoreError: the name of the sink is reserved, or the change could not be committed.
        """
        position = await self._writer.submit(partial(operations.attach, sink=sink, start=start))
        return SinkLog(sink, self._log_reader, self._writer, self._news), position

    async def detach_except(self, sinks: Collection[str]) -> None:
        """Detach all sinks except `sinks`. The store may then drop a body that a detached sink has not finished.

        Call this after `log` was called for each of `sinks`.

        Raises:
            StoreError: the change could not be committed.
        """
        await self._writer.submit(partial(operations.detach_except, sinks=sinks))

    async def ledger(self) -> Ledger:
        """Return where every event is, for each sink. This is fast enough for each scrape of the metrics.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._query_reader.run(partial(queries.ledger, path=self._path, exact=False))

    async def backup(self, target: Path, on_progress: OnProgress) -> Backup:
        """Do the same as `SqliteCommands.backup`. If this call is cancelled, the backup stops, and no file is left."""
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
        """Do the same as `SqliteCommands.replay`, in small steps. An error does not undo earlier steps."""
        try:
            return await self._for_each(which, operations.replay)
        finally:
            self._news.replay_requested()

    async def redelivery_bounds(self, chosen: Range) -> tuple[int, int]:
        """Return (first `seq`, last `seq`): all events of the range `chosen` are from the first to the last.

        Events outside the range may be between them. If the store holds no event that may be in the range, the first
        number is one more than the last.
        """

        def bounds(db: sqlite3.Connection) -> tuple[int, int]:
            with queries.snapshot(db):  # otherwise events might be dropped between two queries
                return redelivery.bounds(db, chosen)

        return await self._query_reader.run(bounds)

    async def redelivery_step(
        self, chosen: Range, accepts: Accepts, *, after: int, last: int, limit: int
    ) -> tuple[list[int], int]:
        """Look through events from `after` + 1 up to `last` for those that must be delivered again.

        Returns:
            The `seq` numbers of up to `limit` events that are in the range `chosen` and whose types the sink accepts;
            and the `seq` of the last event looked at, which is the `after` for the next call.
        """
        step = partial(redelivery.step, chosen=chosen, accepts=accepts, after=after, last=last, limit=limit)
        return await self._query_reader.run(step)

    async def redeliver(self, sink: str, seqs: list[int], checkpoint: RedeliveryCheckpoint) -> int:
        """Make replays for `sink` of the events `seqs`, and return the number of replays made.

        No replay is made of an event that waits for the sink, is a dead letter of the sink, or was discarded. The same
        transaction stores `checkpoint`, with the number of replays added to its `taken`.
        """
        taken = await self._writer.submit(
            partial(redelivery.take, sink=sink, seqs=seqs, checkpoint=checkpoint)
        )
        if taken:
            self._news.replay_requested()
        return taken

    async def waiting_replays(self, sink: str) -> int:
        """Return the number of replays that wait for `sink`."""
        return await self._query_reader.run(partial(redelivery.waiting, sink=sink))

    async def discard(self, which: DeadLetterSelection) -> int:
        """Do the same as `SqliteCommands.discard`, in small steps. An error does not undo earlier steps."""
        return await self._for_each(which, operations.discard)

    async def forget_sink(self, sink: str, *, running: bool = True) -> int:
        """See `SqliteCommands.forget_sink`."""
        return await self._writer.submit(partial(operations.forget_sink, sink=sink, running=running))

    async def _for_each(self, which: DeadLetterSelection, operation: Callable[..., int]) -> int:
        ids = await self._query_reader.run(partial(queries.dead_letter_ids, which=which))
        count = 0
        for first in range(0, len(ids), _DEAD_LETTERS_AT_ONCE):
            step = partial(operation, ids=ids[first : first + _DEAD_LETTERS_AT_ONCE])
            count += await self._writer.submit(step)
        return count
