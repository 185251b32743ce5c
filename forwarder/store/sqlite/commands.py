"""The operator's commands on dead letters, with and without a forwarder that runs on the store. They block.

Reading needs no forwarder. Writing is the running forwarder's alone, so it is asked to; where none runs, the store
is locked and written here.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from forwarder.control import ask
from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.store import dead_letters, gaps, ledger
from forwarder.store.dead_letters import DeadLetter, DiscardRequest, ReplayRequest, Selection
from forwarder.store.gaps import Gaps
from forwarder.store.ledger import Ledger
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import operations, schema
from forwarder.store.sqlite.lock import FileLock
from forwarder.store.sqlite.transaction import Transaction

T = TypeVar("T")


class SqliteCommands:
    """`store.engine.StoreCommands` for SQLite."""

    def __init__(self, settings: StoreSettings, clock: Clock) -> None:
        self._path = settings.path
        self._clock = clock

    def ledger(self) -> Ledger:
        """As `StoreCommands.ledger`."""
        return ledger.read_ledger(self._path)

    def gaps(self, *, org: str | None = None, since: Micros | None = None, limit: int | None = None) -> Gaps:
        """As `StoreCommands.gaps`."""
        return gaps.read_gaps(self._path, org=org, since=since, limit=limit)

    def dead_letters(self, which: Selection, *, limit: int = 100) -> list[DeadLetter]:
        """As `StoreCommands.dead_letters`."""
        return self._read(partial(dead_letters.find, which=which, limit=limit))

    def dead_letter(self, number: int) -> DeadLetter | None:
        """As `StoreCommands.dead_letter`."""
        return self._read(partial(dead_letters.show, number=number))

    def replay(self, which: Selection) -> int:
        """As `StoreCommands.replay`."""
        return _write(self._path, ReplayRequest(which), self._clock)

    def discard(self, which: Selection) -> int:
        """As `StoreCommands.discard`."""
        return _write(self._path, DiscardRequest(which), self._clock)

    def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with closing(schema.connect_reader(self._path)) as db:
                return query(db)
        except sqlite3.Error as error:
            raise schema.trouble(self._path, error) from error


def _write(path: Path, request: ReplayRequest | DiscardRequest, clock: Clock) -> int:
    schema.connect_reader(path).close()  # raises a clear error if there is no store, and does not create one
    done: int | None = ask(path, request)
    if done is not None:
        return done
    lock = FileLock(path)
    try:
        with closing(schema.open_writer(path)) as db:
            ids = dead_letters.dead_ids(db, request.selection)
            tx = Transaction(db, clock.now())
            operation = operations.replay if isinstance(request, ReplayRequest) else operations.discard
            count = operation(tx, ids)
            tx.commit()
            return count
    except sqlite3.Error as error:
        raise schema.trouble(path, error) from error
    finally:
        lock.release()
