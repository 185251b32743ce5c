"""The store as a command that reads a System Log has it: `core.ports.LogIntake`, whether or not a forwarder runs on it.

A running forwarder alone may write, so it is asked to; where none runs, the store is locked and written here, for each
page anew: a forwarder may start or stop meanwhile, and the next page goes the other way.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from forwarder.core.errors import StoreError, StoreLockedError, StoreTimeoutError
from forwarder.core.event import Micros
from forwarder.core.ports import Appended, Clock, Page
from forwarder.store import control, log, schema, work
from forwarder.store.connection import Connection, Work
from forwarder.store.lock import FileLock
from forwarder.store.settings import StoreSettings

T = TypeVar("T")

_PATIENCE = (
    5.0  # seconds for whoever holds the lock and cannot be asked: it starts, it stops, or it is a command
)
_LOOK = 0.05  # seconds between two tries to get hold of the store
_MISS = 30.0  # seconds for the work of one `miss`
_MISSES = 250  # events given up in one transaction


class CommandIntake:
    """`core.ports.LogIntake` for a process that is not the forwarder. It holds nothing between two calls."""

    def __init__(self, settings: StoreSettings, clock: Clock) -> None:
        """Args:
        settings: where the store is and how large it may be; it must have been made by a forwarder.
        clock: for the times that are written.
        """
        self._settings = settings
        self._path: Path = settings.path
        self._clock = clock

    async def append_page(self, page: Page, *, timeout: float) -> Appended:
        """As `core.ports.LogIntake.append_page`; to get hold of the store may take some seconds more.

        Raises:
            StoreLockedError: another process holds the store, and cannot be asked.
        """

        def in_it(answer: control.Answer) -> Appended:
            stored = [page.events[at] for at in answer.new]
            return Appended(stored, len(page.events) - len(stored))

        ask = control.Append(page, timeout)
        return await self._do(ask, in_it, self._transact(partial(work.append_page, page=page)), timeout)

    async def cursor(self, name: str) -> str | None:
        """As `core.ports.LogIntake.cursor`. Reading needs no forwarder."""

        def get() -> str | None:
            try:
                with closing(schema.connect_reader(self._path)) as db:
                    return log.cursor(db, name)
            except sqlite3.Error as error:
                raise schema.trouble(self._path, error) from error

        return await asyncio.to_thread(get)

    async def miss(self, org: str, before: Micros) -> int:
        """As `core.ports.LogIntake.miss`.

        Raises:
            StoreLockedError: another process holds the store, and cannot be asked.
        """
        step = self._transact(partial(work.miss, org=org, before=before, limit=_MISSES))

        def all_steps(connection: Connection) -> int:
            missed = more = step(connection)
            while more == _MISSES:
                more = step(connection)
                missed += more
            return missed

        return await self._do(control.Miss(org, before), lambda answer: answer.done, all_steps, _MISS)

    def _transact(self, task: Work[T]) -> Callable[[Connection], T]:
        def do(connection: Connection) -> T:
            try:
                return connection.transact(task)[0]
            except sqlite3.Error as error:
                raise schema.trouble(self._path, error) from error
            except (OverflowError, UnicodeError) as error:
                raise StoreError(f"the store cannot hold it: {error}") from error

        return do

    async def _do(
        self,
        request: control.Request,
        read: Callable[[control.Answer], T],
        alone: Callable[[Connection], T],
        timeout: float,
    ) -> T:
        """Have `request` done: by the running forwarder, whose answer is `read`, or here by `alone`."""
        try:
            async with asyncio.timeout(timeout + 2 * _PATIENCE):
                return await asyncio.to_thread(self._do_now, request, read, alone, timeout + _PATIENCE)
        except TimeoutError:
            raise StoreTimeoutError(f"not committed within {timeout:g} s; it still may be") from None

    def _do_now(
        self,
        request: control.Request,
        read: Callable[[control.Answer], T],
        alone: Callable[[Connection], T],
        patience: float,
    ) -> T:
        schema.connect_reader(
            self._path
        ).close()  # says clearly what is wrong, and makes no store where there is none
        until = time.monotonic() + _PATIENCE
        while True:
            answer = control.ask(self._path, request, patience=patience)
            if answer is not None:
                return read(answer)
            try:
                lock = FileLock(self._path)
                break
            except StoreLockedError:
                if time.monotonic() >= until:
                    raise
                time.sleep(_LOOK)
        try:
            connection = Connection(schema.open_writer(self._path), self._settings, self._clock)
            try:
                return alone(connection)
            finally:
                connection.close()
        finally:
            lock.release()
