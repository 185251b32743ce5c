"""A store that was written before the rooms were renamed (version2.md) opens with everything in it, and goes on."""

import gzip
from pathlib import Path

import msgspec
import pytest

from forwarder.core.event import Event, Source
from forwarder.core.ports import Batch, DeadLetterSelection, Settlement
from forwarder.okta.system_log.backfill import BackfillCheckpoint
from forwarder.okta.system_log.cursor import Cursor
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import NOON
from tests.integration.store.helpers import attach, commands, opened, settle, view

MINUTE = 60_000_000
SINKS = ("siem", "archive")


def uuid(number: int) -> str:
    return f"{number:08x}-ea09-11ef-9cf1-ad97f4a9f2f5"


def body(name: str, minute: int) -> bytes:
    text = (
        f'{{"uuid":"{name}","eventType":"user.session.start",'
        f'"published":"2026-01-01T12:{minute:02}:00.000Z","displayMessage":"Grüße {minute}"}}'
    )
    return text.encode()


def stored(number: int, org: str, source: Source = Source.HOOK, envelope_id: str = "", name: str = "") -> Event:
    at, name = NOON + number * MINUTE, name or uuid(number)
    return Event(org, name, "user.session.start", at, at, source, envelope_id, body(name, number))


EVENTS = [
    *(stored(number, "acme", envelope_id="f3e0e2f4-5555-4222-8333-444455556666") for number in range(1, 5)),
    *(stored(number, "globex") for number in range(1, 4)),
    stored(9, "acme", name="Odd-Id"),
    *(stored(number, "acme", Source.LOG) for number in range(20, 24)),
    stored(30, "globex", Source.LOG),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    path.write_bytes(gzip.decompress(Path(__file__).with_name("version2.db.gz").read_bytes()))
    schema.open_writer(path).close()  # as the first start of this forwarder does
    return path


async def held(store: SqliteStore) -> list[Event]:
    return [one.event for one in await view(store).read(0, limit=100, max_bytes=10**9)]


def test_its_ledger_and_its_gaps_are_read_without_a_forwarder(path: Path) -> None:
    ledger = commands(path).ledger()
    assert (ledger.stored, ledger.duplicates, ledger.rejected, ledger.events) == (13, 2, 3, 13)
    assert ledger.balanced
    places = {
        name: (sink.delivered, sink.dead, sink.discarded, sink.skipped, sink.waiting, sink.position)
        for name, sink in ledger.sinks.items()
    }
    assert places == {"siem": (6, 1, 1, 0, 5, 9), "archive": (2, 2, 0, 0, 9, 4)}
    gaps = commands(path).gaps()
    assert gaps.missed == {"acme": {"user.session.start": 1}, "globex": {}}
    assert gaps.pending == {"acme": 2, "globex": 0}
    (missed,) = gaps.events
    assert (missed.uuid, missed.published, missed.missed_at) == (uuid(21), NOON + 21 * MINUTE, NOON)


def test_its_dead_letters_are_listed_and_shown(path: Path) -> None:
    letters = commands(path).dead_letters(DeadLetterSelection())
    assert [(one.id, one.sink, one.seq, one.state, one.count, one.org) for one in letters] == [
        (6, "archive", None, "dead", 2, ""),
        (5, "siem", 6, "replaying", 1, "globex"),
        (4, "siem", 3, "dead", 1, "acme"),
        (3, "receiver", None, "dead", 1, "globex"),
        (2, "receiver", None, "dead", 1, "globex"),
        (1, "receiver", None, "dead", 1, "acme"),
    ]
    assert letters[0].unattributed
    shown = commands(path).dead_letter(4)
    assert shown is not None
    assert (shown.uuid, shown.detail, shown.body) == (uuid(3), "field of 3 is no number", EVENTS[2].body)


async def test_its_events_positions_and_cursors_are_as_they_were(path: Path) -> None:
    async with opened(path, sinks=()) as store:
        assert await attach(store, dict.fromkeys(SINKS, "now")) == {"siem": 9, "archive": 4}
        assert await held(store) == EVENTS
        cursor, checkpoint = await store.cursor("log:acme"), await store.cursor("backfill:globex")
    assert msgspec.json.decode(cursor or "", type=Cursor) == Cursor(
        next_link="https://acme.okta.com/api/v1/logs?after=1700_1",
        polled_until=NOON + 30 * MINUTE,
        newest=NOON + 23 * MINUTE,
        hook_id="who8tsqyrhCdmetzx135",
    )
    assert msgspec.json.decode(checkpoint or "", type=BackfillCheckpoint) == BackfillCheckpoint(
        since=NOON - 60 * MINUTE, reached=NOON - 30 * MINUTE, done=False
    )


async def test_its_waiting_events_are_delivered_and_settled(path: Path) -> None:
    async with opened(path, sinks=SINKS) as store:
        waiting = [one.seq for one in await view(store).read(9, limit=100, max_bytes=10**9)]
        assert waiting == [10, 11, 12, 13]
        (replay,) = await view(store).replays(limit=10)
        assert (replay.seq, replay.event) == (6, EVENTS[5])
        await settle(store, "siem", Settlement(13, delivered=4, replayed=[6]))
        await settle(store, "archive", Settlement(13, delivered=9))
        ledger = await store.ledger()
        assert ledger.balanced
        assert {name: (sink.delivered, sink.waiting) for name, sink in ledger.sinks.items()} == {
            "siem": (11, 0),
            "archive": (11, 0),
        }


async def test_its_dead_letters_are_sent_again_or_discarded(path: Path) -> None:
    async with opened(path, sinks=SINKS) as store:
        assert await store.replay(DeadLetterSelection(sink="receiver")) == 1
        assert (await held(store))[13:] == [
            Event("globex", uuid(50), "user.session.start", NOON + 50 * MINUTE, NOON, Source.HOOK,
                  "f3e0e2f4-1111-4222-8333-444455556666", body(uuid(50), 50))
        ]  # fmt: skip
        assert await store.discard(DeadLetterSelection()) == 5  # all but the one that is being sent again
        ledger = await store.ledger()
        assert (ledger.stored, ledger.rejected, ledger.balanced) == (14, 2, True)


async def test_its_events_are_duplicates_and_hook_copies_clear_pending_ones(path: Path) -> None:
    async with opened(path, sinks=SINKS) as store:
        copies = [*EVENTS, stored(21, "acme"), stored(22, "acme")]
        assert (await store.append(Batch(copies), timeout=5)).duplicates == 15
        assert await store.mark_missed("acme", NOON + 24 * MINUTE) == 1
    gaps = commands(path).gaps()
    assert [gap.uuid for gap in gaps.events] == [uuid(23)]
    assert sum(gaps.pending.values()) == 0
