"""The operator's commands on dead letters, with and without a forwarder that runs on the store. They block.

Reading needs no forwarder. Writing is the running forwarder's alone, so it is asked to; where none runs, the store
is locked and written here.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from forwarder.core.ports import Clock
from forwarder.store import dead_letters
from forwarder.store.dead_letters import DeadLetter, Selection
from forwarder.store.sqlite import control, operations, schema
from forwarder.store.sqlite.lock import FileLock
from forwarder.store.sqlite.transaction import Transaction


def list_letters(path: Path, which: Selection, *, limit: int = 100) -> list[DeadLetter]:
    """The newest `limit` dead letters of `which`, newest first, without bodies.

    Raises:
        StoreError: there is no store at `path`, or it cannot be read.
    """
    try:
        with closing(schema.connect_reader(path)) as db:
            return dead_letters.find(db, which, limit)
    except sqlite3.Error as error:
        raise schema.trouble(path, error) from error


def show_letter(path: Path, number: int) -> DeadLetter | None:
    """The dead letter with the id `number`, with its body; None where there is none.

    Raises:
        StoreError: there is no store at `path`, or it cannot be read.
    """
    try:
        with closing(schema.connect_reader(path)) as db:
            return dead_letters.show(db, number)
    except sqlite3.Error as error:
        raise schema.trouble(path, error) from error


def replay_letters(path: Path, which: Selection, clock: Clock) -> int:
    """Send dead letters again; a forwarder that does not run does it when it starts.

    Returns:
        How many are on their way. Undisclosed ones never are, nor what is still no event.

    Raises:
        StoreError: there is no store at `path`, or it cannot be written.
    """
    return _write(path, control.Replay(which), clock)


def discard_letters(path: Path, which: Selection, clock: Clock) -> int:
    """Throw dead letters away for ever; not those that are being sent again.

    Returns:
        How many events went.

    Raises:
        StoreError: there is no store at `path`, or it cannot be written.
    """
    return _write(path, control.Discard(which), clock)


def _write(path: Path, request: control.Replay | control.Discard, clock: Clock) -> int:
    schema.connect_reader(path).close()  # says clearly what is wrong, and makes no store where there is none
    answer = control.ask(path, request)
    if answer is not None:
        return answer.done
    lock = FileLock(path)
    try:
        with closing(schema.open_writer(path)) as db:
            ids = dead_letters.dead_ids(db, request.which)
            tx = Transaction(db, clock.now())
            count = (operations.replay if isinstance(request, control.Replay) else operations.discard)(
                tx, ids
            )
            tx.commit()
            return count
    except sqlite3.Error as error:
        raise schema.trouble(path, error) from error
    finally:
        lock.release()
