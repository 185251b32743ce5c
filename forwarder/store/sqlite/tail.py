"""Reads the events of a store that another process may write to."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forwarder.core.event import StoredEvent
from forwarder.core.time import Micros
from forwarder.store.sqlite import queries, schema


class SqliteTail:
    """`store.interface.Tail` on one connection; the methods are described there.

    Each query is a transaction of its own, so between queries it blocks neither checkpoints nor the dropping of bodies.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def held(self) -> tuple[int, int]:
        with self._errors():
            return queries.held(self._db)

    def received_since(self, at: Micros) -> int:
        with self._errors():
            return queries.received_since(self._db, at)

    def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        with self._errors():
            return queries.read(self._db, after, limit, max_bytes)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise schema.to_store_error(self._path, error) from error
