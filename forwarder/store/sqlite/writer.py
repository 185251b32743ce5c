"""The writer thread: the only thread of the forwarder that writes to the store.

The thread takes a group of operations from its queue, commits the group in one transaction, and then resolves the
futures of the operations. If a future has a result, its operation is on disk (fsynced). Before it takes a group, the
thread lets the event loop queue the POSTs that have already arrived. It never waits for more: while the thread fsyncs
one group, the operations of the next group are queued.

If a commit fails because of the disk, the whole group is rolled back, and each operation of the group fails. After an
I/O error, the thread opens the file again, because a second fsync on the old file descriptor may succeed although the
data was lost.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from forwarder import logs
from forwarder.core.errors import StoreError, StoreFormatError, StoreFullError, StoreMovedError
from forwarder.core.event import Source
from forwarder.core.ports import Appended, Batch
from forwarder.metrics import Metrics
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import operations, schema
from forwarder.store.sqlite.connection import Operation, WriteConnection, is_disk_error
from forwarder.store.sqlite.event_index import AddedEvent
from forwarder.store.sqlite.maintenance import Maintenance
from forwarder.store.sqlite.transaction import Transaction

T = TypeVar("T")

_GROUP_BYTES = 8 * 1024 * 1024  # a group with this number of bytes, or more, takes no further operations
_GROUP_OPERATIONS = 1000  # a group with this number of operations, or more, takes no further operations
_QUEUE_BYTES = 32 * 1024 * 1024  # the most bytes in the queue: a hanging disk must not fill the memory
_IDLE = 0.5  # seconds without an operation, after which the WAL is checkpointed
_PROBE_INTERVAL = 1.0  # seconds between two checks whether events can be stored again

_logger = logs.get("store")


class PendingOperation(msgspec.Struct, eq=False):
    """An operation or a batch in the queue of the writer thread.

    Attributes:
        work: the operation to run, or the batch to append.
        size: the size of the batch in bytes; 0 for an operation.
        future: gets the result or the error of `work`. Cancelling the future neither stops nor undoes `work`.
    """

    work: Operation[Any] | Batch
    size: int
    future: asyncio.Future[Any]


_Result = tuple[PendingOperation, Any, Exception | None]


def run_group(tx: Transaction, group: Sequence[PendingOperation]) -> tuple[list[Any], list[AddedEvent]]:
    """Run the operations of `group`, and append its batches, in the order of `group`.

    Consecutive batches are appended in one call, which is faster than a call for each batch.

    Returns:
        The results of the operations and batches, in the order of `group`; and all events that `tx` has stored.
    """
    results: list[Any] = []
    batches: list[Batch] = []
    for pending in group:
        if isinstance(pending.work, Batch):
            batches.append(pending.work)
            continue
        results += tx.append(batches)
        batches = []
        results.append(pending.work(tx))
    results += tx.append(batches)
    return results, tx.added


class Writer:
    """The writer thread and its queue. Create this object and call its methods on the event loop.

    Attributes:
        not_ready_reason: the reason why events cannot be stored now; None while they can be stored.
    """

    def __init__(
        self, connection: WriteConnection, settings: StoreSettings, metrics: Metrics, on_commit: Callable[[int], None]
    ) -> None:
        """Start the thread.

        The thread alone uses `connection`, and closes it when the thread ends. After each commit, `on_commit` is called
        on the event loop with the number of events ever stored.
        """
        self.not_ready_reason: str | None = None
        self._settings = settings
        self._connection = connection
        self._maintenance = Maintenance(connection, settings)
        self._added: list[AddedEvent] = []  # the events stored since the last maintenance
        self._duration = metrics.store_commit_duration
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[list[PendingOperation] | None] = queue.SimpleQueue()
        self._gathered: list[PendingOperation] = []  # submitted in this iteration of the event loop
        self._queued_bytes = 0  # the size of all gathered and queued batches; used on the event loop only
        self._closed = False
        self._moved = False  # whether the store's files were moved or replaced
        self._logged_reason: str | None = None  # as last logged by `store_unready`; None once `store_ready` was logged
        self._recoveries = logs.RecoveryLimit()
        # Whether the file was found to be damaged, and no event was stored since then. A successful probe does not
        # reset this, because the probe may not touch the damaged part of the file.
        self._damaged = False
        self._next_probe = 0.0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue `operation` for the writer thread.

        The thread runs several queued operations as a group, in one transaction. If an operation of the group fails,
        `operation` may run a second time, in a transaction of its own.

        Returns:
            A future. If it has a result, the result is what `operation` returned, and the commit is on disk (fsynced).
            If it has an exception (a StoreError, or what `operation` raised), `operation` was rolled back. But after a
            StoreMovedError, `operation` may be committed to files that were moved.

        Raises:
            StoreError: the store is closed.
        """
        return self._submit(operation, 0)

    def append(self, batch: Batch) -> asyncio.Future[Appended]:
        """Queue `batch` for the writer thread.

        Returns:
            A future. If it has a result, the result says which events were new, and the new events are on disk
            (fsynced). If it has a StoreError, nothing of `batch` was stored. But after a StoreMovedError, the events
            may be stored in files that were moved.

        Raises:
            StoreError: the store is closed; or the queue is full, because the disk is too slow or hangs.
        """
        size = 1 + sum(len(event.body) for event in batch.events)
        size += sum(len(element.body) for element in batch.malformed)
        if self._queued_bytes + size > _QUEUE_BYTES and self._queued_bytes:
            self.not_ready_reason = "the disk does not keep up: too many events wait to be committed"
            raise StoreError(self.not_ready_reason)
        return self._submit(batch, size)

    def _submit(self, work: Operation[Any] | Batch, size: int) -> asyncio.Future[Any]:
        if self._closed:
            raise StoreError("the store is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queued_bytes += size
        if not self._gathered:
            self._loop.call_soon(self._flush_to_thread)
        self._gathered.append(PendingOperation(work, size, future))
        return future

    def _flush_to_thread(self) -> None:
        """Queue all operations of this iteration of the event loop at once, so that one commit can store them."""
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._queue.put(gathered)

    async def close(self) -> None:
        """Commit the queued operations, close the connection, and end the thread. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._flush_to_thread()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # Everything below runs on the writer's thread, except `_resolve`.

    def _run(self) -> None:
        running = True
        while running:
            group, running = self._next_group()
            if group:
                self._commit(group)
            if running:
                try:
                    self._maintain(idle=not group)
                except StoreMovedError as error:
                    self._abandon(error)
                    self._maintenance.postpone(_IDLE)
                except Exception:  # if this thread ended, nothing would be stored any more
                    _logger.exception(
                        "the maintenance of the store failed. This is a bug: please report it",
                        action="store_maintenance_failed",
                    )
                    self._maintenance.postpone(_IDLE)
        self._connection.close()

    def _next_group(self) -> tuple[list[PendingOperation], bool]:
        """Take the next group of operations from the queue. Return (the group, whether the writer is still open).

        Wait for the first operation for at most 0.5 s, or less if maintenance is due earlier. If no operation is queued
        in this time, the group is empty. All operations of one iteration of the event loop are always in one group.
        """
        group: list[PendingOperation] = []
        size = 0
        try:
            due = self._maintenance.due - time.monotonic()
            submitted = self._queue.get(timeout=min(_IDLE, max(0.0, due)))
            # If the event loop is reading more POSTs, let it continue, so that they join this group. Without this, the two
            # threads would take the GIL from each other during the commit: with 2 to 32 connections, a POST would take 14
            # to 32 % more CPU time.
            time.sleep(0)
            while submitted is not None:
                group += submitted
                size += sum(pending.size for pending in submitted)
                if size >= _GROUP_BYTES or len(group) >= _GROUP_OPERATIONS:
                    return group, True
                submitted = self._queue.get_nowait()
        except queue.Empty:
            return group, True
        return group, False

    def _commit(self, group: list[PendingOperation]) -> None:
        started = time.perf_counter()
        try:
            (results, added), stored = self._connection.transact(partial(run_group, group=group))
        except sqlite3.Error as error:
            if is_disk_error(error):
                self._connection.recover(error)
                failure = schema.to_store_error(self._settings.path, error)
                if any(pending.size for pending in group):
                    self._set_not_ready(failure)
                self._complete([(pending, None, failure) for pending in group], None)
            else:
                self._retry_individually(group, schema.to_store_error(self._settings.path, error))
        except StoreMovedError as error:
            self._complete([(pending, None, error) for pending in group], None)
            self._abandon(error)
        except (OverflowError, UnicodeError) as error:  # a value that SQLite cannot hold
            self._retry_individually(group, StoreError(f"the store cannot hold the value: {error}"))
        except Exception as error:  # noqa: BLE001  # the caller of the operation gets it
            self._retry_individually(group, error)
        else:
            self._duration.observe(time.perf_counter() - started)
            if added or (not self._damaged and any(pending.size for pending in group)):
                self._set_ready()
            done = zip(group, results, strict=True)
            self._complete([(pending, result, None) for pending, result in done], stored)
            self._added += added

    def _retry_individually(self, group: list[PendingOperation], error: Exception) -> None:
        """Run each operation of a failed group in its own transaction, so that only the operations that cause errors
        fail.

        If the group has only one operation, do not run the operation again. It fails with `error`.
        """
        if len(group) > 1:
            for pending in group:
                self._commit([pending])
            return
        # Only a failed POST makes the store not ready. A page of the System Log can be fetched again. And a page may be
        # too large for the free space, although a smaller POST still fits.
        work = group[0].work
        is_post = isinstance(work, Batch) and work.source is Source.HOOK
        if is_post and isinstance(error, StoreFullError | StoreFormatError):
            self._set_not_ready(error)
        self._complete([(group[0], None, error)], None)

    def _abandon(self, error: StoreMovedError) -> None:
        """Close the files. No event is stored until the files are put back, or until a restart."""
        self._set_not_ready(error)
        self._connection.abandon()

    def _set_not_ready(self, error: StoreError) -> None:
        is_damage, is_move = isinstance(error, StoreFormatError), isinstance(error, StoreMovedError)
        is_new = (is_damage and not self._damaged) or (is_move and not self._moved)
        if is_new or self._logged_reason is None:
            self._logged_reason = str(error)
            _logger.error("events cannot be stored", action="store_unready", reason=str(error))
        self._damaged = self._damaged or is_damage
        self._moved = self._moved or is_move
        self.not_ready_reason = str(error)

    def _set_ready(self) -> None:
        self._moved = self._damaged = False
        self.not_ready_reason = None
        if self._logged_reason is not None and self._recoveries.allows(time.monotonic()):
            _logger.info("events can be stored again", action="store_ready", reason=self._logged_reason)
            self._logged_reason = None

    def _complete(self, results: list[_Result], stored: int | None) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed, so no caller waits for a future
            self._loop.call_soon_threadsafe(self._resolve, results, stored)

    def _resolve(self, results: list[_Result], stored: int | None) -> None:
        if stored is not None:
            self._on_commit(stored)
        for pending, result, error in results:
            self._queued_bytes -= pending.size
            if pending.future.done():
                continue
            if error is None:
                pending.future.set_result(result)
            else:
                pending.future.set_exception(error)

    def _maintain(self, *, idle: bool) -> None:
        now = time.monotonic()
        if self.not_ready_reason is not None and not self._damaged and now >= self._next_probe:
            self._next_probe = now + _PROBE_INTERVAL
            self._probe()
        added, self._added = self._added, []
        self._maintenance.run(added, idle=idle)

    def _probe(self) -> None:
        """Check whether events can be stored again: write a row and delete it.

        If events can be stored again, the store becomes ready. Without this check, the store would not become ready
        until a later append succeeds.
        """
        try:
            self._connection.transact(operations.write_probe)
            self._connection.transact(operations.delete_probe)
        except sqlite3.Error as error:
            self._connection.recover(error)
            self.not_ready_reason = str(schema.to_store_error(self._settings.path, error))
        except StoreFullError as error:
            self.not_ready_reason = str(error)
        else:
            self._set_ready()
