"""The one thread that writes: takes all work that waits, commits it once, resolves its futures.

No lingering: while one group is being fsynced the next one gathers. When this thread says that something is
committed, an fsync has returned after it; when a commit fails, everybody in the group is told so, and nothing of
it stays. After an I/O error the connection is opened anew: a second fsync on the same handle may succeed without
having written anything.
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
from forwarder.core.errors import StoreError, StoreFullError
from forwarder.core.event import Source
from forwarder.core.ports import Appended, Batch, Clock
from forwarder.metrics import Metrics
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import operations, schema
from forwarder.store.sqlite.connection import Connection, Work, is_disk_fault
from forwarder.store.sqlite.prune import Pruner
from forwarder.store.sqlite.transaction import Transaction

T = TypeVar("T")

_GROUP_BYTES = 8 * 1024 * 1024  # in one commit
_GROUP_JOBS = 1000  # in one commit
_WAITING_BYTES = 32 * 1024 * 1024  # in the queue; more means that the disk hangs, and memory is not for that
_IDLE = 0.5  # seconds without work, after which the log is emptied
_PROBE_EVERY = 1.0  # seconds
_PRUNE_EVERY = 5.0  # seconds, when the last step found nothing
_PRUNE_NEXT = 0.05  # seconds between steps while there is more
_LOOK_EVERY = 0.25  # seconds between looks at the size of the log
_LOG_LIMIT = 32 * 1024 * 1024  # bytes of log, beyond which readers are waited for so that it can start over


class _Job(msgspec.Struct, eq=False):
    """One piece of work and who waits for it.

    Attributes:
        work: what to do, or events to append.
        size: bytes of events that it brings; 0 where it brings none.
        future: on the event loop; cancelled by whoever no longer waits, which takes nothing back.
    """

    work: Work[Any] | Batch
    size: int
    future: asyncio.Future[Any]


def _do(tx: Transaction, group: Sequence[_Job]) -> list[Any]:
    """All work of `group` in its order; batches that follow each other go in together."""
    results: list[Any] = []
    batches: list[Batch] = []
    for job in group:
        if isinstance(job.work, Batch):
            batches.append(job.work)
            continue
        results += operations.append(tx, batches)
        batches = []
        results.append(job.work(tx))
    return results + operations.append(tx, batches)


class Writer:
    """Owns the writing connection. Made and used on the event loop; `work` runs on its thread.

    Attributes:
        not_ready_reason: why an event could not be stored at the last try; None while it can.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        settings: StoreSettings,
        clock: Clock,
        metrics: Metrics,
        committed: Callable[[int], None],
    ) -> None:
        """Start the thread.

        Args:
            db: from `schema.open_writer`; the writer closes it.
            settings: where the store is and how large it may be.
            clock: for the times that are written.
            metrics: for the duration of commits.
            committed: called on the event loop after each commit with the number of events ever stored.
        """
        self.not_ready_reason: str | None = None
        self.pruner = Pruner(settings)
        self._connection = Connection(db, settings, clock)
        self._path = settings.path
        self._duration = metrics.store_commit_duration
        self._committed = committed
        self._log = logs.get("store")
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._gathered: list[_Job] = []  # on their way to the queue
        self._waiting = 0  # bytes on their way and in the queue; touched on the event loop only
        self._closed = False
        self._next_probe = self._next_prune = self._next_look = 0.0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, task: Work[T]) -> asyncio.Future[T]:
        """Let `task` be part of one of the next commits.

        Args:
            task: runs on the writer's thread, perhaps twice (alone, after its group failed).

        Returns:
            Its result, once it is fsynced; or StoreError, or what `task` raised: then nothing of it stays.

        Raises:
            StoreError: closed.
        """
        return self._submit(task, 0)

    def append(self, batch: Batch) -> asyncio.Future[Appended]:
        """Let `batch` be part of one of the next commits.

        Returns:
            What was new, once it is fsynced; or StoreError: then nothing of it stays.

        Raises:
            StoreError: closed, or so much waits already that the disk must be hanging.
        """
        size = (
            1
            + sum(len(event.body) for event in batch.events)
            + sum(len(element.body) for element in batch.malformed)
        )
        if self._waiting + size > _WAITING_BYTES and self._waiting:
            self.not_ready_reason = "the disk does not keep up: too many events wait to be committed"
            raise StoreError(self.not_ready_reason)
        return self._submit(batch, size)

    def _submit(self, task: Work[Any] | Batch, size: int) -> asyncio.Future[Any]:
        if self._closed:
            raise StoreError("the store is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting += size
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(_Job(task, size, future))
        return future

    def _hand_over(self) -> None:
        """Give the thread all that this turn of the loop has brought: to wake it for each alone makes small groups."""
        jobs, self._gathered = self._gathered, []
        for job in jobs:
            self._queue.put(job)

    async def close(self) -> None:
        """Commit what waits, empty the log into the file, and end the thread."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # All below runs on the writer's thread, but for `_resolve`.

    def _run(self) -> None:
        going = True
        while going:
            group, going = self._take()
            if group:
                self._commit(group)
            if going:
                try:
                    self._chores(idle=not group)
                except Exception:  # noqa: BLE001  # without this thread nothing is ever stored again
                    self._log.exception("a chore of the store failed", action="store_maintenance_failed")
        self._connection.close()

    def _take(self) -> tuple[list[_Job], bool]:
        """All work that waits, within bounds; empty when there was none for a while. False once closed."""
        group: list[_Job] = []
        size = 0
        try:
            job = self._queue.get(timeout=self._patience())
            while job is not None:
                group.append(job)
                size += job.size
                if size >= _GROUP_BYTES or len(group) >= _GROUP_JOBS:
                    return group, True
                job = self._queue.get_nowait()
        except queue.Empty:
            return group, True
        return group, False

    def _patience(self) -> float:
        return min(_IDLE, max(0.0, self._next_prune - time.monotonic()))

    def _commit(self, group: list[_Job]) -> None:
        started = time.perf_counter()
        try:
            results, stored = self._connection.transact(partial(_do, group=group))
        except sqlite3.Error as error:
            if is_disk_fault(error):
                self._connection.recover(error)
                if any(job.size for job in group):
                    self._cannot_store(str(schema.trouble(self._path, error)))
                self._answer([(job, None, schema.trouble(self._path, error)) for job in group], None)
            else:
                self._separate(group, StoreError(f"the store refuses it: {error}"))
        except (OverflowError, UnicodeError) as error:  # a value that SQLite cannot hold
            self._separate(group, StoreError(f"the store cannot hold it: {error}"))
        except Exception as error:  # noqa: BLE001  # goes to the one who asked for this work
            self._separate(group, error)
        else:
            self._duration.observe(time.perf_counter() - started)
            if any(job.size for job in group):
                self.not_ready_reason = None
            self._answer([(job, result, None) for job, result in zip(group, results, strict=True)], stored)

    def _separate(self, group: list[_Job], error: Exception) -> None:
        """One of the group is at fault: give each a transaction of its own, so that it fails alone."""
        if len(group) > 1:
            for job in group:
                self._commit([job])
            return
        # A page of the System Log can be fetched again, and POSTs may fit where a page does not.
        work = group[0].work
        if isinstance(error, StoreFullError) and isinstance(work, Batch) and work.source is Source.HOOK:
            self._cannot_store(str(error))
        self._answer([(group[0], None, error)], None)

    def _cannot_store(self, why: str) -> None:
        if self.not_ready_reason is None:
            self._log.error("events cannot be stored", action="store_unready", reason=why)
        self.not_ready_reason = why

    def _answer(self, answers: list[tuple[_Job, Any, Exception | None]], stored: int | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, and everybody who waited with it
            self._loop.call_soon_threadsafe(self._resolve, answers, stored)

    def _resolve(self, answers: list[tuple[_Job, Any, Exception | None]], stored: int | None) -> None:
        if stored is not None:
            self._committed(stored)
        for job, result, error in answers:
            self._waiting -= job.size
            if job.future.done():
                continue
            if error is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(error)

    def _chores(self, *, idle: bool) -> None:
        now = time.monotonic()
        if self.not_ready_reason is not None and now >= self._next_probe:
            self._next_probe = now + _PROBE_EVERY
            self._probe()
        if now >= self._next_prune:
            more = self._prune()
            self._next_prune = time.monotonic() + (_PRUNE_NEXT if more else _PRUNE_EVERY)
        elif idle and self._connection.dirty:
            self._connection.empty_log(patience=0)
        elif now >= self._next_look:
            self._next_look = now + _LOOK_EVERY
            if self._connection.log_bytes() > _LOG_LIMIT:
                self._connection.empty_log(patience=20)

    def _probe(self) -> None:
        """Find out whether events can be stored again, so that no POST must fail to learn it."""
        before = self.not_ready_reason
        try:
            self._connection.transact(operations.fill_probe)
            self._connection.transact(operations.empty_probe)
        except sqlite3.Error as error:
            self._connection.recover(error)
            self.not_ready_reason = str(schema.trouble(self._path, error))
        except StoreFullError as error:
            self.not_ready_reason = str(error)
        else:
            self.not_ready_reason = None
            self._log.info("events can be stored again", action="store_ready", reason=before)

    def _prune(self) -> bool:
        try:
            return bool(self._connection.transact(lambda tx: self.pruner.step(tx.db, tx.now))[0])
        except sqlite3.Error as error:  # if the disk is at fault, the next append says so
            self._connection.recover(error)
            return False
