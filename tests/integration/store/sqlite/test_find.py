"""The life of an event: what the store knows about it, and how it is found."""

import json
import uuid
from pathlib import Path

import pytest

from forwarder.core.event import BACKFILL, Event, Source
from forwarder.core.ports import Batch, DeadLetterSelection, Settlement
from forwarder.core.time import SECOND, Micros
from forwarder.store.event_search import Search, SearchResult, SinkLife
from forwarder.store.sqlite.event_index import BLOCK, Indexer
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import attach, commands, malformed_event, opened, prune, rejections, settle


def happened(
    number: int,
    *,
    user: str = "ada@acme.test",
    event_type: str = "user.session.start",
    org: str = "acme",
    source: Source = Source.HOOK,
    at: Micros = NOON,
    envelope_id: str = "",
) -> Event:
    """The event of this number."""
    name = str(uuid.UUID(int=number, version=1))
    actor = {"id": f"00u{user}", "alternateId": user}
    body = {"uuid": name, "eventType": event_type, "published": "2026-01-01T12:00:00Z", "actor": actor}
    return Event(org, name, event_type, at, NOON, source, envelope_id, json.dumps(body).encode())


def find(path: Path, **search: object) -> SearchResult:
    return commands(path).find(Search(**search))  # type: ignore[arg-type]  # each test names its own


def places(found: SearchResult) -> dict[str, str]:
    (life,) = found.lives
    return {sink.sink: sink.place for sink in life.sinks}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def store_some(store: SqliteStore, *events: Event) -> list[str]:
    await store.append(Batch(events), timeout=5)
    return [event.uuid for event in events]


async def test_an_event_has_its_own_place_and_time_for_each_sink(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, sinks=("archive", "siem", "traces")) as store:
        uuids = await store_some(store, *map(happened, range(1, 7)))
        await clock.advance(10)
        await settle(store, "siem", Settlement(4, delivered=2, dead=rejections(3), filtered=(2,)))
        await clock.advance(10)
        await settle(store, "archive", Settlement(6, filtered=range(1, 7)))
        await settle(store, "siem", Settlement(5, delivered=1))
        assert [places(find(path, uuid=one))["siem"] for one in uuids] == [
            "delivered",
            "filtered",
            "dead",
            "delivered",
            "delivered",
            "waiting",
        ]
        (first,) = find(path, uuid=uuids[0]).lives
        assert first.sinks == [
            SinkLife("archive", "filtered", NOON + 20 * SECOND),
            SinkLife("siem", "delivered", NOON + 10 * SECOND),
            SinkLife("traces", "waiting"),
        ]
        (third,) = find(path, uuid=uuids[2]).lives
        dead = third.sinks[1]
        assert (dead.at, dead.detail) == (NOON + 10 * SECOND, "mapping: field of 3 is no number")
        assert (third.seq, third.source, third.stored_at, third.published) == (3, "hook", NOON, NOON)
    assert places(find(path, uuid=uuids[5]))["siem"] == "waiting"  # without a forwarder


async def test_what_became_of_a_dead_letter_is_known_after_it_is_gone(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        uuids = await store_some(store, *map(happened, range(1, 5)))
        await settle(store, "siem", Settlement(4, dead=rejections(1, 2, 3, 4)))
        ids = [letter.id for letter in reversed(commands(path).dead_letters(DeadLetterSelection()))]
        await clock.advance(5)
        assert await store.discard(DeadLetterSelection(ids=(ids[0],))) == 1
        assert await store.replay(DeadLetterSelection(ids=tuple(ids[1:4]))) == 3
        (waits,) = find(path, uuid=uuids[1]).lives[0].sinks
        assert (waits.place, waits.replaying) == ("waiting", True)
        await settle(store, "siem", Settlement(4, replayed=(2,), dead_again=rejections(3), filtered_replays=(4,)))
        lives = [find(path, uuid=one).lives[0].sinks[0] for one in uuids]
        assert [(life.place, life.at) for life in lives] == [
            (place, NOON + 5 * SECOND) for place in ("discarded", "delivered", "dead", "filtered")
        ]


async def test_a_sink_that_was_added_later_skipped_what_it_was_not_meant_to_get(path: Path) -> None:
    async with opened(path) as store:
        (old,) = await store_some(store, happened(1))
        await attach(store, {"siem": "oldest", "late": "now"})
        (new,) = await store_some(store, happened(2))
        assert places(find(path, uuid=old)) == {"late": "skipped", "siem": "waiting"}
        assert places(find(path, uuid=new)) == {"late": "waiting", "siem": "waiting"}
        await attach(store, {"siem": "oldest"})
        (life,) = find(path, uuid=new).lives
        assert {sink.sink: sink.attached for sink in life.sinks} == {"late": False, "siem": True}


async def test_rejections_that_a_sink_did_not_attribute_are_told_with_each_event_of_the_batch(path: Path) -> None:
    async with opened(path) as store:
        one, *_ = await store_some(store, *map(happened, range(1, 6)))
        await settle(store, "siem", Settlement(5, delivered=5, unattributed=2, unattributed_detail="too old"))
        (sink,) = find(path, uuid=one).lives[0].sinks
        assert (sink.place, sink.unattributed) == ("delivered", 2)


async def test_copies_are_counted_by_their_source(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        (name,) = await store_some(store, happened(1))
        assert find(path, uuid=name).lives[0].hook_copies == 0
        await clock.advance(60)
        await store_some(store, *(happened(number, source=Source.LOG) for number in (1, 2, 1)))
        await store_some(store, happened(1), happened(1), happened(1))
        (life,) = find(path, uuid=name).lives
        assert (life.hook_copies, life.log_copies, life.copied_at) == (3, 2, NOON + 60 * SECOND)
        assert life.source == "hook"
        ledger = await store.ledger()
        assert (ledger.stored, ledger.duplicates) == (2, 5)


async def test_an_event_that_the_hook_missed_or_still_may_deliver_says_so(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        missed, pending = (happened(number, source=Source.LOG) for number in (1, 2))
        await store.append(Batch([missed], expected_by_hook=frozenset([missed.uuid])), timeout=5)
        await store.mark_missed("acme", NOON + SECOND)
        await store.append(Batch([pending], expected_by_hook=frozenset([pending.uuid])), timeout=5)
        (life,) = find(path, uuid=missed.uuid).lives
        assert (life.source, life.missed_at) == ("log", NOON)
        (life,) = find(path, uuid=pending.uuid).lives
        assert (life.pending_since, life.missed_at) == (NOON, None)


async def test_an_event_of_a_backfill_says_so_and_no_sender_of_a_hook_can_pretend_it(path: Path) -> None:
    async with opened(path) as store:
        await store_some(store, happened(1, source=Source.LOG, envelope_id=BACKFILL), happened(2, envelope_id=BACKFILL))
        sources = [find(path, uuid=happened(number).uuid).lives[0].source for number in (1, 2)]
        assert sources == ["backfill", "hook"]


async def test_a_malformed_event_is_found_by_the_uuid_in_its_text(path: Path) -> None:
    name = happened(1).uuid
    async with opened(path) as store:
        await store.append(Batch(malformed=[malformed_event(f'{{"uuid":"{name}"}}'.encode())]), timeout=5)
        found = find(path, uuid=name)
        assert (found.lives, [(one.org, one.detail) for one in found.malformed]) == ([], [("acme", "no uuid")])
        assert not find(path, uuid=name, org="other").malformed


async def test_an_event_whose_body_was_dropped_is_known_by_its_uuid(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock) as store:
        uuids = await store_some(store, *map(happened, range(1, 4)))
        await settle(store, "siem", Settlement(3, delivered=2, dead=rejections(2)))
        await clock.advance(8 * 86_400)
        await prune(store)
        assert (await store.ledger()).events == 0
        (gone,) = find(path, uuid=uuids[0]).lives
        assert (gone.stored_at, gone.seq, gone.body, gone.event_type) == (NOON, None, None, "")
        assert [sink.place for sink in gone.sinks] == ["finished"]
        (dead,) = find(path, uuid=uuids[1]).lives
        assert (dead.event_type, [sink.place for sink in dead.sinks]) == ("user.session.start", ["dead"])


async def test_a_uuid_that_was_never_stored_is_not_found(path: Path) -> None:
    async with opened(path) as store:
        await store_some(store, happened(1))
        found = find(path, uuid=happened(2).uuid)
        assert (found.lives, found.malformed, found.oldest) == ([], [], NOON)


async def test_one_uuid_of_two_orgs_is_two_events(path: Path) -> None:
    async with opened(path) as store:
        await store_some(store, happened(1), happened(1, org="globex"))
        name = happened(1).uuid
        assert [life.org for life in find(path, uuid=name).lives] == ["acme", "globex"]
        assert [life.org for life in find(path, uuid=name, org="globex").lives] == ["globex"]


SEARCHES: list[tuple[dict[str, object], list[int]]] = [
    ({"user": "ADA@acme.TEST"}, [1, 3]),
    ({"user": "00uBOB@acme.test"}, [2, 4]),
    ({"user": "ada"}, []),
    ({"event_type": "zone.create"}, [3, 4]),
    ({"event_type": "user.session.*"}, [1, 2]),
    ({"event_type": "zone.create", "user": "ada@acme.test"}, [3]),
    ({"since": NOON + 3 * SECOND, "until": NOON + 3 * SECOND}, [3]),
    ({"since": NOON + 2 * SECOND, "event_type": "zone.*", "until": NOON + 3 * SECOND}, [3]),
    ({"org": "globex"}, [4]),
]


@pytest.mark.long
@pytest.mark.parametrize("indexed", [False, True], ids=["not indexed", "indexed"])
async def test_events_are_found_by_user_type_time_and_org(path: Path, *, indexed: bool) -> None:
    ours = [
        happened(1, at=NOON + SECOND),
        happened(2, user="Bob@acme.test", at=NOON + 2 * SECOND),
        happened(3, event_type="zone.create", at=NOON + 3 * SECOND),
        happened(4, user="bob@acme.test", event_type="zone.create", org="globex", at=NOON + 4 * SECOND),
    ]
    others = [
        happened(1000 + n, user="eve@acme.test", event_type="group.lifecycle.create", at=NOON + 86_400 * SECOND)
        for n in range(2 * BLOCK)
    ]
    async with opened(path) as store:
        await store_some(store, *others[:BLOCK], *ours, *others[BLOCK:])
        if indexed:
            await index(store)
        for search, expected in SEARCHES:
            found = find(path, **search)
            assert sorted(number_of(life.uuid) for life in found.lives) == expected, search
        for one in (*ours, others[0], others[-1]):
            assert [life.uuid for life in find(path, uuid=one.uuid).lives] == [one.uuid]


def number_of(name: str) -> int:
    return uuid.UUID(name).int & 0xFFFF


async def index(store: SqliteStore) -> None:
    """Index what there is, as the writer does between commits."""
    indexer = Indexer()
    while await store._writer.submit(lambda tx: indexer.step(tx.db)):
        pass


async def test_the_newest_are_returned_and_whether_there_are_more(path: Path) -> None:
    async with opened(path) as store:
        await store_some(store, *(happened(number, at=NOON + number) for number in range(1, 31)))
        found = find(path, user="ada@acme.test", limit=5)
        assert ([life.seq for life in found.lives], found.more) == ([30, 29, 28, 27, 26], True)
        assert not find(path, user="ada@acme.test", limit=30).more
