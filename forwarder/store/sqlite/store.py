"""The durable log of events: `EventStore` for the sources, an `EventLog` for each sink, and what an operator asks of it."""

import asyncio
import sqlite3
from collections.abc import Collection, Sequence
from functools import partial
from typing import Protocol, Self

from forwarder.core.errors import StoreError, StoreTimeoutError
from forwarder.core.ports import Appended, Batch, Clock, Start
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.store import dead_letters
from forwarder.store import ledger as ledgers
from forwarder.store.dead_letters import Selection
from forwarder.store.ledger import Ledger
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import operations, queries, schema
from forwarder.store.sqlite.deadlines import Deadlines
from forwarder.store.sqlite.lock import FileLock
from forwarder.store.sqlite.reader import Reader
from forwarder.store.sqlite.sink_log import News, SinkLog
from forwarder.store.sqlite.transaction import Transaction
from forwarder.store.sqlite.writer import Writer

_LOCK = 1.0  # seconds for a command that is just writing to the store
_MISSES = 250  # events given up in one piece of work, as below
_LETTERS = 100  # dead letters in one piece of work, so that no commit waits long behind them


class _Letters(Protocol):
    """Work on dead letters."""

    def __call__(self, tx: Transaction, ids: Sequence[int]) -> int: ...


class SqliteStore:
    """The store of one running forwarder, open from `open` to `close`. All methods belong to the event loop."""

    def __init__(
        self, settings: StoreSettings, clock: Clock, metrics: Metrics, lock: FileLock, db: sqlite3.Connection
    ) -> None:
        """Use `open`."""
        self._path = settings.path
        self._lock = lock
        self._news = News(db.execute("SELECT stored FROM counters").fetchone()[0])
        self._deadlines = Deadlines(self._late)
        self._writer = Writer(db, settings, clock, metrics, self._news.committed)
        self._log_reader = Reader(self._path, "store-log")
        self._desk_reader = Reader(self._path, "store-desk")  # an operator's long look holds up no sink

    @classmethod
    async def open(cls, settings: StoreSettings, clock: Clock, metrics: Metrics) -> Self:
        """Lock the store, make it where there is none, check it and bring it up to date.

        Raises:
            StoreLockedError: another forwarder uses it; names its pid.
            StoreFormatError: not ours, damaged, or of a newer version. It is left as it is.
            StoreFullError: the disk is full.
            StoreError: its directory is missing or may not be written, or another reason.
        """
        lock = await asyncio.to_thread(FileLock, settings.path, patience=_LOCK)
        try:
            db = await asyncio.to_thread(schema.open_writer, settings.path)
            store = cls(settings, clock, metrics, lock, db)
        except BaseException:
            lock.release()
            raise
        try:
            # Open from the start, and with it SQLite's shared memory, which a full disk could not make any more:
            # what is stored can be delivered even while nothing can be written.
            await store._log_reader.run(lambda _: None)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Commit what waits, then let go of everything. Safe to call twice."""
        await self._log_reader.close()
        await self._desk_reader.close()
        await self._writer.close()
        self._lock.release()

    async def log(self, sink: str, start: Start) -> tuple[SinkLog, int]:
        """As `store.engine.Store.log`."""
        position = await self._writer.submit(partial(operations.attach, sink=sink, start=start))
        return SinkLog(sink, self._log_reader, self._writer, self._news), position

    async def detach_except(self, sinks: Collection[str]) -> None:
        """As `store.engine.Store.detach_except`."""
        await self._writer.submit(partial(operations.detach_except, sinks=sinks))

    # EventStore

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        """As `core.ports.EventStore.append`."""
        committed = self._writer.append(batch)
        self._deadlines.watch(committed, timeout)
        return await committed

    async def cursor(self, name: str) -> str | None:
        """As `core.ports.EventStore.cursor`."""
        return await self._desk_reader.run(partial(queries.cursor, name=name))

    async def mark_missed(self, org: str, before: Micros) -> int:
        """As `core.ports.EventStore.mark_missed`, in small steps.

        After the first step an error only ends it early: the caller hears of what is committed, and the next call
        marks the rest.
        """
        missed = 0
        while True:
            try:
                more = await self._writer.submit(
                    partial(operations.mark_missed, org=org, before=before, limit=_MISSES)
                )
            except StoreError:
                if missed:
                    return missed
                raise
            missed += more
            if more < _MISSES:
                return missed

    def _late(self, committed: asyncio.Future[Appended], timeout: float) -> None:
        # Cleared by the next commit, this one included.
        self._writer.not_ready_reason = (
            f"the disk was too slow: an append was not committed within {timeout:g} s"
        )
        committed.set_exception(StoreTimeoutError(f"not committed within {timeout:g} s; it still may be"))

    @property
    def not_ready_reason(self) -> str | None:
        """Why an event could not be stored at the last try; None while it can."""
        return self._writer.not_ready_reason

    # What an operator asks

    async def ledger(self) -> Ledger:
        """Where every event is; cheap enough for each scrape.

        Raises:
            StoreError: the store cannot be read.
        """
        return await self._desk_reader.run(partial(ledgers.ledger, path=self._path, count=False))

    async def replay(self, which: Selection) -> int:
        """Send dead letters again; those of the receiver are read again.

        Returns:
            How many are on their way.

        Raises:
            StoreError: not all of them could be committed.
        """
        try:
            return await self._for_each(which, operations.replay)
        finally:
            self._news.replay_requested()

    async def discard(self, which: Selection) -> int:
        """Throw dead letters away for ever; not those that are being sent again.

        Returns:
            How many events went.

        Raises:
            StoreError: not all of them could be committed.
        """
        return await self._for_each(which, operations.discard)

    async def prune(self) -> None:
        """Drop all that is past its time now, rather than in small steps beside the operations.

        Raises:
            StoreError: it could not be committed.
        """
        pruner = self._writer.pruner
        await self._writer.submit(lambda _: pruner.restart())
        while await self._writer.submit(lambda tx: pruner.step(tx.db, tx.now)):
            pass

    async def set_cursor(self, name: str, value: str) -> None:
        """Remember `value` under `name`, durably.

        Raises:
            StoreError: it could not be committed.
        """
        await self._writer.submit(partial(operations.set_cursor, name=name, value=value))

    async def _for_each(self, which: Selection, do: _Letters) -> int:
        ids = await self._desk_reader.run(partial(dead_letters.dead_ids, which=which))
        count = 0
        for first in range(0, len(ids), _LETTERS):
            count += await self._writer.submit(partial(do, ids=ids[first : first + _LETTERS]))
        return count
