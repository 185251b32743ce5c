"""The index of the log: which blocks a search reads."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from forwarder.core.event import Source, read_event
from forwarder.core.ports import Batch
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.event_index import (
    BLOCK,
    AddedEvent,
    Indexer,
    candidates,
    forget,
    searchable,
    type_key,
    user_key,
    uuid_key,
)
from forwarder.store.sqlite.transaction import Transaction

TYPE = "user.session.start"


def users(text: str) -> list[str]:
    event = searchable(text.encode())
    assert event is not None
    return event.users()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(schema.open_writer(tmp_path / "store.db")) as db:
        db.execute("INSERT INTO orgs VALUES (1, 'acme')")
        yield db


def body(seq: int, user: str = "Ada@acme.test", event_type: str = TYPE) -> str:
    actor = f'{{"id":"00u{seq}","alternateId":"{user}"}}'
    return f'{{"actor":{actor},"uuid":"id-{seq}","eventType":"{event_type}","published":"2026-01-01T12:00:00Z"}}'


def store(db: sqlite3.Connection, first: int, last: int, **bodies: str) -> None:
    """Store events that happened at the time of their seq; `bodies` has other ones, by `_seq`."""
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO events VALUES (?, 1, ?, ?, ?, ?, 'hook', '', ?)",
        (
            (seq, f"id-{seq}", TYPE, seq, seq, bodies.get(f"_{seq}", body(seq)).encode())
            for seq in range(first, last + 1)
        ),
    )
    db.execute("COMMIT")


def index(db: sqlite3.Connection, indexer: Indexer | None = None) -> list[int]:
    """Index what there is; return the blocks that have a row."""
    indexer = indexer or Indexer()
    while indexer.step(db):
        pass
    return [block for (block,) in db.execute("SELECT block FROM event_index ORDER BY block")]


def ranges(db: sqlite3.Connection, *keys: int, since: int | None = None, until: int | None = None) -> list[int]:
    """The blocks that a search reads."""
    return [(first - 1) // BLOCK for first, _ in candidates(db, keys, since, until)]


def test_whole_blocks_are_indexed_and_a_search_reads_those_that_may_match_and_the_rest(db: sqlite3.Connection) -> None:
    store(db, 1, 3 * BLOCK + 5, **{f"_{BLOCK + 7}": body(0, "Eve@acme.test", "zone.create")})
    assert index(db) == [0, 1, 2]
    assert ranges(db, user_key("eve@ACME.test")) == [3, 1]
    assert ranges(db, type_key("zone.create")) == [3, 1]
    assert ranges(db, user_key("eve@acme.test"), type_key("zone.create")) == [3, 1]
    assert ranges(db, user_key("nobody")) == [3]
    assert ranges(db, uuid_key(f"id-{2 * BLOCK + 1}")) == [3, 2]
    assert ranges(db, user_key("ada@acme.test")) == [3, 2, 1, 0]
    assert ranges(db, since=BLOCK + 1, until=2 * BLOCK) == [3, 1]
    assert ranges(db) == [3, 2, 1, 0]


def test_a_block_that_has_no_row_is_read(db: sqlite3.Connection) -> None:
    store(db, 1, 3 * BLOCK)
    index(db)
    db.execute("DELETE FROM event_index WHERE block = 1")
    assert ranges(db, user_key("nobody")) == [1]


def test_a_step_reads_few_events_and_a_new_indexer_goes_on_after_the_last_block(db: sqlite3.Connection) -> None:
    store(db, 1, BLOCK + BLOCK // 2)
    indexer = Indexer()
    assert indexer.step(db)
    assert index(db, indexer) == [0]
    store(db, BLOCK + BLOCK // 2 + 1, 2 * BLOCK)
    assert index(db, Indexer()) == [0, 1]
    assert ranges(db, uuid_key(f"id-{BLOCK + 1}")) == [1]
    assert index(db, indexer) == [0, 1]


def test_events_that_were_dropped_before_are_left_out_and_their_rows_go_with_them(db: sqlite3.Connection) -> None:
    store(db, BLOCK + 100, 3 * BLOCK)
    indexer = Indexer()
    assert index(db, indexer) == [1, 2]
    assert ranges(db, uuid_key(f"id-{BLOCK + 100}")) == [1]
    store(db, 3 * BLOCK + 1, 3 * BLOCK + 9)
    assert index(db, indexer) == [1, 2]
    db.execute("DELETE FROM events WHERE seq <= ?", (3 * BLOCK + 5,))
    forget(db, 3 * BLOCK + 5)
    assert index(db, indexer) == []
    store(db, 3 * BLOCK + 10, 4 * BLOCK)
    assert index(db, indexer) == [3]


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        ('{"id":"00U1","alternateId":"A@b"}', ["00u1", "a@b"]),
        ('{"id":null,"alternateId":7}', []),
        ('"text"', []),
        ("[1]", []),
        ("null", []),
        ('{"alternateId":"caf\\u00e9\\u0040x"}', ["café@x"]),
        ('{"alternateId":"Ü@x"}', ["ü@x"]),
        ('{"alternateId":"half \\ud800","id":"00u2"}', ["00u2", "half \ufffd"]),
        ('{"id":"00u3","other":1e999}', ["00u3"]),
    ],
)
def test_an_odd_actor_spoils_nothing(db: sqlite3.Connection, actor: str, expected: list[str]) -> None:
    text = f'{{"uuid":"id-5","eventType":"{TYPE}","published":"2026-01-01T12:00:00Z","actor":{actor}}}'
    assert sorted(users(text)) == sorted(expected)
    store(db, 1, BLOCK, _5=text)
    assert index(db) == [0]
    assert ranges(db, uuid_key("id-5")) == [0]
    for user in users(text):
        assert ranges(db, user_key(user)) == [0]


@pytest.mark.parametrize("odd", ['{"a":' * 5000, "[]", body(0, "eve@" + "x" * 70_000)])
def test_a_block_with_an_event_that_cannot_be_indexed_is_always_read(db: sqlite3.Connection, odd: str) -> None:
    store(db, 1, 2 * BLOCK, _5=odd)
    assert index(db) == [0, 1]
    assert ranges(db, user_key("nobody")) == [0]
    assert ranges(db, uuid_key(f"id-{BLOCK + 1}")) == [1, 0]


def test_an_event_without_an_actor_is_indexed(db: sqlite3.Connection) -> None:
    text = f'{{"uuid":"id-5","eventType":"{TYPE}","published":"2026-01-01T12:00:00Z"}}'
    assert users(text) == []
    store(db, 1, BLOCK, _5=text)
    assert index(db) == [0]


def append(db: sqlite3.Connection, first: int, last: int) -> Sequence[AddedEvent]:
    """Store events as the writer does."""
    tx = Transaction(db, 0, 1 << 30)
    events = [
        read_event(body(seq, f"user{seq}@acme.test").encode(), org="acme", source=Source.HOOK, received_at=0)
        for seq in range(first, last + 1)
    ]
    tx.append([Batch(events)])
    tx.commit()
    return tx.added


def rows(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    return db.execute("SELECT * FROM event_index ORDER BY block").fetchall()


@pytest.mark.long
@pytest.mark.parametrize("unnoted", [[], [1], [2], [3, 4], [5]])
def test_events_noted_at_their_commit_are_indexed_as_those_read_from_the_store(
    db: sqlite3.Connection, unnoted: list[int]
) -> None:
    indexer = Indexer()
    indexer.step(db)
    for number in range(6):
        added = append(db, number * BLOCK // 2 + 1, (number + 1) * BLOCK // 2)
        if number not in unnoted:
            indexer.add(added)
    assert index(db, indexer) == [0, 1, 2]
    noted = rows(db)
    db.execute("DELETE FROM event_index")
    assert index(db) == [0, 1, 2]
    assert rows(db) == noted


def test_noted_events_are_not_read_again(db: sqlite3.Connection) -> None:
    indexer = Indexer()
    indexer.step(db)
    indexer.add(append(db, 1, BLOCK + 5))
    db.execute("UPDATE events SET body = '[]'")
    assert not indexer.step(db)
    assert ranges(db, user_key("nobody")) == [1]


def test_a_step_that_was_not_committed_is_done_again_by_a_new_indexer(db: sqlite3.Connection) -> None:
    indexer = Indexer()
    indexer.step(db)
    indexer.add(append(db, 1, BLOCK))
    db.execute("BEGIN")
    indexer.step(db)
    db.execute("ROLLBACK")
    assert index(db) == [0]
