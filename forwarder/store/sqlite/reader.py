"""Reading beside the writer: a thread with a connection of its own that can only read, and never checkpoints."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from forwarder.core.errors import StoreError
from forwarder.store.sqlite import schema

T = TypeVar("T")


class Reader:
    """Runs queries one after the other, off the event loop."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._db: sqlite3.Connection | None = None
        self._closed = False

    async def run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `query` on what is committed by now.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, query)

    def _run(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if self._db is None:
            self._db = schema.connect_reader(self._path, live=True)
        try:
            return query(self._db)
        except sqlite3.Error as error:
            self._close()
            raise schema.trouble(self._path, error) from error

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    async def close(self) -> None:
        """Let go of the connection and the thread. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)
