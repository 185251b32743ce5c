"""What the writer's thread does between commits: empties the WAL, prunes, and writes the index of the log."""

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

_INTERVAL = 5.0  # seconds, after a step that found nothing
_PAUSE = 0.05  # seconds between steps while there is more
_WAL_INTERVAL = 0.25  # seconds between two checks of the WAL's size
_WAL_LIMIT = 32 * 1024 * 1024  # bytes; above it a checkpoint waits for readers, so that the WAL starts over
_WAL_PATIENCE = 5.0  # seconds for which other processes may keep the WAL from being emptied
_WAL_WARNING_INTERVAL = 600.0  # seconds

_logger = logs.get("store")


class Maintenance:
    """The maintenance of one store. Runs on the writer's thread."""

    def __init__(self, connection: WriteConnection, settings: StoreSettings) -> None:
        self._connection = connection
        self._path = settings.path
        self._pruner = Pruner(settings)
        self._indexer = Indexer()
        self._wal_warning_due = math.inf
        self._reported: set[str] = set()  # errors
        self._next_prune = self._next_index = self._next_wal_check = 0.0

    @property
    def due(self) -> float:
        """When the next step is due, by the monotonic clock, in seconds."""
        return min(self._next_prune, self._next_index)

    def postpone(self, seconds: float) -> None:
        """Let no step be due for `seconds`. After an error, the writer would try again at once, and keep a core busy."""
        later = time.monotonic() + seconds
        self._next_prune, self._next_index = max(self._next_prune, later), max(self._next_index, later)

    def run(self, added: Iterable[AddedEvent], *, idle: bool) -> None:
        """Do what is due.

        Args:
            added: the events that were committed since the last call.
            idle: whether no operation was queued for a while.

        Raises:
            StoreMovedError: the store's files were moved or replaced.
        """
        self._indexer.add(added)
        now = time.monotonic()
        if idle or now >= self._next_wal_check:
            self._connection.check_files()
        if now >= self._next_prune:
            # First, so that a step that fails is not repeated at once.
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
            # In a transaction of its own: on a full disk, pruning must not fail with it.
            self._next_index = now + _INTERVAL
            if self._step(lambda tx: self._indexer.step(tx.db)):
                self._next_index = time.monotonic() + _PAUSE

    def _checkpoint(self, *, timeout_ms: int) -> None:
        """Checkpoint and truncate the WAL; warn if another process has prevented this for 5 s."""
        self._connection.checkpoint(timeout_ms=timeout_ms)
        now = time.monotonic()
        if not self._connection.dirty:
            self._wal_warning_due = math.inf
        elif self._wal_warning_due == math.inf:
            self._wal_warning_due = now + _WAL_PATIENCE
        elif now >= self._wal_warning_due:
            self._wal_warning_due = now + _WAL_WARNING_INTERVAL
            _logger.warning(
                "the WAL of the store cannot be emptied, and grows, because another process reads the store all the time; "
                "end that process: `fuser -v` with the path shows it",
                action="wal_in_use",
                path=str(self._path),
                bytes=schema.file_bytes(self._connection.wal),
            )

    def _step(self, step: Operation[bool]) -> bool:
        """Commit one step of maintenance; return whether there may be more to do now."""
        try:
            return self._connection.transact(step)[0]
        except (sqlite3.Error, StoreMovedError) as error:
            self._indexer = Indexer()
            if isinstance(error, StoreMovedError):
                raise
            if is_disk_error(error):
                self._connection.recover(error)  # the next append reports it
            else:
                self._report(schema.to_store_error(self._path, error))
            return False

    def _report(self, error: StoreError) -> None:
        """Log `error`, once for each kind of step, because the step fails every few seconds from now on."""
        if str(error) not in self._reported:
            self._reported.add(str(error))
            _logger.error(
                "maintenance of the store failed: events are stored, but old ones may not be dropped",
                action="store_maintenance_failed",
                error=str(error),
            )
