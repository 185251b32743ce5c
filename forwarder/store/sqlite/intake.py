"""The store as a command that reads a System Log has it: `core.ports.EventStore`, whether or not a forwarder runs on it.

A running forwarder alone may write, so it is asked to; where none runs, the store is locked and written here, for each
page anew: a forwarder may start or stop meanwhile, and the next page goes the other way.
"""

import asyncio
import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from forwarder.core.errors import StoreError, StoreLockedError, StoreTimeoutError
from forwarder.core.ports import Appended, Batch, Clock
from forwarder.core.time import Micros
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import control, operations, queries, schema
from forwarder.store.sqlite.connection import Connection
from forwarder.store.sqlite.lock import FileLock

_PATIENCE = (
    5.0  # seconds for whoever holds the lock and cannot be asked: it starts, it stops, or it is a command
)
_LOOK = 0.05  # seconds between two tries to get hold of the store


class CommandIntake:
    """`core.ports.EventStore` for a process that is not the forwarder. It holds nothing between two calls."""

    def __init__(self, settings: StoreSettings, clock: Clock) -> None:
        """Args:
        settings: where the store is and how large it may be; it must have been made by a forwarder.
        clock: for the times that are written.
        """
        self._settings = settings
        self._path: Path = settings.path
        self._clock = clock

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        """As `core.ports.EventStore.append`; to get hold of the store may take some seconds more.

        Raises:
            StoreLockedError: another process holds the store, and cannot be asked.
        """
        try:
            async with asyncio.timeout(timeout + 2 * _PATIENCE):
                return await asyncio.to_thread(self._append, batch, timeout)
        except TimeoutError:
            raise StoreTimeoutError(f"not committed within {timeout:g} s; it still may be") from None

    async def mark_missed(self, org: str, before: Micros) -> int:
        """A command marks nothing as missed: only the process that receives hooks knows how long it could."""
        raise NotImplementedError

    async def cursor(self, name: str) -> str | None:
        """As `core.ports.EventStore.cursor`. Reading needs no forwarder."""

        def get() -> str | None:
            try:
                with closing(schema.connect_reader(self._path)) as db:
                    return queries.cursor(db, name)
            except sqlite3.Error as error:
                raise schema.trouble(self._path, error) from error

        return await asyncio.to_thread(get)

    def _append(self, batch: Batch, timeout: float) -> Appended:
        """By the running forwarder, or here."""
        # Says clearly what is wrong, and makes no store where there is none.
        schema.connect_reader(self._path).close()
        until = time.monotonic() + _PATIENCE
        while True:
            answer = control.ask(self._path, control.Append(batch, timeout), patience=timeout + _PATIENCE)
            if answer is not None:
                stored = [batch.events[at] for at in answer.new]
                return Appended(stored, len(batch.events) - len(stored))
            try:
                lock = FileLock(self._path)
                break
            except StoreLockedError:
                if time.monotonic() >= until:
                    raise
                time.sleep(_LOOK)
        try:
            return self._append_here(batch)
        finally:
            lock.release()

    def _append_here(self, batch: Batch) -> Appended:
        """Into the store, whose lock is held."""
        connection = Connection(schema.open_writer(self._path), self._settings, self._clock)
        try:
            return connection.transact(partial(operations.append, batches=[batch]))[0][0]
        except sqlite3.Error as error:
            raise schema.trouble(self._path, error) from error
        except (OverflowError, UnicodeError) as error:
            raise StoreError(f"the store cannot hold it: {error}") from error
        finally:
            connection.close()
