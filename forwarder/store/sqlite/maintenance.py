"""The work of the writer thread between commits: it checkpoints the WAL, drops old rows, and writes the event index."""

import math
import sqlite3
import time
from collections.abc import Iterable

from forwarder import logs
from forwarder.core.errors import StoreError, StoreMovedError
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.connection import Operation, WriteConnection, is_disk_error
from forwarder.store.sqlite.event_index import AddedEvent, Indexer
from forwarder.store.sqlite.prune import Pruner

_INTERVAL = 5.0  # seconds until the next step if the last step left no work
_PAUSE = 0.05  # seconds until the next step if the last step left work
_WAL_INTERVAL = 0.25  # seconds between two checks of the WAL's size
_WAL_LIMIT = 32 * 1024 * 1024
"""The size of the WAL in bytes above which a checkpoint is made even while operations are queued."""

_WAL_PATIENCE = 5.0  # seconds without a successful checkpoint until a warning is logged
_WAL_WARNING_INTERVAL = 600.0  # seconds between two warnings that the WAL cannot be emptied

_logger = logs.get("store")


class Maintenance:
    """The maintenance of a store. All methods run on the writer thread."""

    def __init__(self, connection: WriteConnection, settings: StoreSettings) -> None:
        self._connection = connection
        self._path = settings.path
        self._pruner = Pruner(settings)
        self._indexer = Indexer()
        self._wal_warning_due = math.inf
        self._reported: set[str] = set()  # the errors that were logged
        self._next_prune = self._next_index = self._next_wal_check = 0.0

    @property
    def due(self) -> float:
        """The time when the next step is due, in seconds of `time.monotonic()`."""
        return min(self._next_prune, self._next_index)

    def postpone(self, seconds: float) -> None:
        """Do no step for the next `seconds`. Without this pause, the writer thread would repeat a failed step in a busy
        loop."""
        later = time.monotonic() + seconds
        self._next_prune, self._next_index = max(self._next_prune, later), max(self._next_index, later)

    def run(self, added: Iterable[AddedEvent], *, idle: bool) -> None:
        """Do the maintenance that is due.

        `added` has the events that were committed since the last call. `idle` is True if no operation is queued.

        Raises:
            StoreMovedError: the store's files were moved or replaced.
        """
        self._indexer.add(added)
        now = time.monotonic()
        if idle or now >= self._next_wal_check:
            self._connection.check_files()
        if now >= self._next_prune:
            # This is set before the step, so that a step that fails is not repeated at once.
            self._next_prune = now + _INTERVAL
            if self._step(lambda tx: self._pruner.step(tx.db, tx.now)):
                self._next_prune = time.monotonic() + _PAUSE
        elif idle and self._connection.dirty:
            self._checkpoint(timeout_ms=0)
        elif now >= self._next_wal_check:
            self._next_wal_check = now + _WAL_INTERVAL
            if schema.file_bytes(self._connection.wal) > _WAL_LIMIT:
                self._checkpoint(timeout_ms=20)
        if now >= self._next_index or self._indexer.is_full:
            # The index is written in a transaction of its own. So old rows can be dropped even if the disk is too full
            # to write the index.
            self._next_index = now + _INTERVAL
            if self._step(lambda tx: self._indexer.step(tx.db)):
                self._next_index = time.monotonic() + _PAUSE

    def _checkpoint(self, *, timeout_ms: int) -> None:
        """Checkpoint and truncate the WAL. Log a warning if checkpoints have failed for 5 seconds."""
        self._connection.checkpoint(timeout_ms=timeout_ms)
        now = time.monotonic()
        if not self._connection.dirty:
            self._wal_warning_due = math.inf
        elif self._wal_warning_due == math.inf:
            self._wal_warning_due = now + _WAL_PATIENCE
        elif now >= self._wal_warning_due:
            self._wal_warning_due = now + _WAL_WARNING_INTERVAL
            self._warn_about_wal()

    def _warn_about_wal(self) -> None:
        size = schema.file_bytes(self._connection.wal)
        if self._connection.wal_in_use:
            _logger.warning(
                "the WAL of the store grows and cannot be emptied, because another process reads the store all the time; "
                "find that process with `fuser -v` and the path of the store, and end it",
                action="wal_in_use",
                path=str(self._path),
                bytes=size,
            )
        elif error := self._connection.checkpoint_error:
            _logger.warning(
                "the WAL of the store cannot be emptied; its events are safe",
                action="checkpoint_failed",
                error=str(schema.to_store_error(self._path, error)),
                bytes=size,
            )

    def _step(self, step: Operation[bool]) -> bool:
        """Run `step` in a transaction, and commit it. Return whether `step` has more work to do; False if `step`
        failed."""
        try:
            return self._connection.transact(step)[0]
        except (sqlite3.Error, StoreMovedError) as error:
            self._indexer = Indexer()  # the old indexer would not write the lost rows again
            if isinstance(error, StoreMovedError):
                raise
            if is_disk_error(error):
                self._connection.recover(error)  # not logged here, because the next append reports the error
            else:
                self._report(schema.to_store_error(self._path, error))
            return False

    def _report(self, error: StoreError) -> None:
        """Log `error`, unless an equal error was logged before, because a step may fail with one error every few
        seconds."""
        if str(error) not in self._reported:
            self._reported.add(str(error))
            _logger.error(
                "the maintenance of the store failed; new events are stored, but old events may stay in the "
                "store for too long",
                action="store_maintenance_failed",
                error=str(error),
            )
