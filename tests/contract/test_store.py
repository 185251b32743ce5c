"""What every store promises to the ways in and the ways out: the real one, and the one in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forwarder.core.event import Event
from forwarder.core.ports import Batch, DeadLetterSelection, Settlement
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import NOON
from tests.fakes.store import MemoryStore
from tests.integration.store.helpers import (
    delivered,
    event,
    events,
    logged,
    malformed_event,
    opened,
    page,
    rejections,
    settle,
    view,
)

AnyStore = SqliteStore | MemoryStore


@asynccontextmanager
async def real(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(tmp_path / "store.db", sinks=("siem", "archive")) as store:
        yield store


@asynccontextmanager
async def in_memory(_: Path) -> AsyncIterator[MemoryStore]:
    yield MemoryStore()


@pytest.fixture(params=[real, in_memory], ids=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyStore]:
    async with request.param(tmp_path) as store:
        yield store


async def replay_all(store: AnyStore, sink: str) -> None:
    if isinstance(store, MemoryStore):
        store.replay(sink)
    else:
        await store.replay(DeadLetterSelection(sink=sink))


async def stored_events(store: AnyStore) -> list[tuple[int, Event]]:
    return [(stored.seq, stored.event) for stored in await view(store).read(0, limit=1000, max_bytes=10**9)]


async def test_appended_events_are_read_back_unchanged_in_seq_order(store: AnyStore) -> None:
    first, second, third = event("a", size=300_000), event(org="other", envelope_id="Ev-1"), event()
    appended = await store.append(Batch([first, second]), timeout=5)
    assert (list(appended.stored), appended.duplicates) == ([first, second], 0)
    await store.append(Batch([third]), timeout=5)
    assert await stored_events(store) == [(1, first), (2, second), (3, third)]


async def test_the_first_copy_of_an_event_wins(store: AnyStore) -> None:
    first, again, later = event("a"), event("a", size=100), event("b")
    appended = await store.append(Batch([first, again, later]), timeout=5)
    assert (list(appended.stored), appended.duplicates) == ([first, later], 1)
    appended = await store.append(Batch([again]), timeout=5)
    assert (list(appended.stored), appended.duplicates) == ([], 1)
    assert await stored_events(store) == [(1, first), (2, later)]


async def test_the_same_uuid_of_another_org_or_in_another_spelling_is_another_event(store: AnyStore) -> None:
    name = "dc3c8e66-ea09-11ef-9cf1-ad97f4a9f2f5"
    batch = [event(name), event(name, org="other"), event(name.upper())]
    assert (await store.append(Batch(batch), timeout=5)).duplicates == 0
    assert [stored for _, stored in await stored_events(store)] == batch


async def test_malformed_events_have_no_seq(store: AnyStore) -> None:
    await store.append(Batch([], [malformed_event()]), timeout=5)
    await store.append(Batch([event("a")], [malformed_event()]), timeout=5)
    assert [seq for seq, _ in await stored_events(store)] == [1]


async def test_a_read_is_limited_by_number_and_bytes_but_returns_at_least_one(store: AnyStore) -> None:
    await store.append(Batch(events(5, size=1000)), timeout=5)

    async def seqs(after: int, limit: int, max_bytes: int) -> list[int]:
        return [stored.seq for stored in await view(store).read(after, limit=limit, max_bytes=max_bytes)]

    assert await seqs(1, 2, 10**6) == [2, 3]
    assert await seqs(0, 100, 2500) == [1, 2]
    assert await seqs(3, 100, 1) == [4]
    assert await seqs(5, 100, 10**6) == []


async def test_concurrent_appends_get_seqs_without_a_gap(store: AnyStore) -> None:
    batches = [events(3) for _ in range(50)]
    await asyncio.gather(*(store.append(Batch(batch), timeout=5) for batch in batches))
    assert [seq for seq, _ in await stored_events(store)] == list(range(1, 151))


async def test_wait_returns_when_there_is_an_event_after_the_position(store: AnyStore) -> None:
    waiting = asyncio.create_task(view(store).wait(1, replays=0))
    await store.append(Batch([event()]), timeout=5)
    await asyncio.sleep(0)
    assert not waiting.done()
    await store.append(Batch([event()]), timeout=5)
    await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(view(store).wait(0, replays=0), 5)


async def test_wait_returns_when_a_replay_is_requested(store: AnyStore) -> None:
    await store.append(Batch(events(1)), timeout=5)
    await settle(store, "siem", Settlement(1, dead=rejections(1)))
    waiting = asyncio.create_task(view(store).wait(1, replays=view(store).replay_requests))
    await replay_all(store, "siem")
    await asyncio.wait_for(waiting, 5)
    assert view(store).replay_requests == 1


async def test_a_replay_is_sent_again_until_it_is_settled(store: AnyStore) -> None:
    batch = events(3)
    await store.append(Batch(batch), timeout=5)
    await settle(store, "siem", Settlement(3, delivered=1, dead=rejections(1, 3)))
    assert await view(store).replays(limit=10) == []
    await replay_all(store, "siem")
    replays = await view(store).replays(limit=10)
    assert [(stored.seq, stored.event) for stored in replays] == [(1, batch[0]), (3, batch[2])]
    assert await view(store, "archive").replays(limit=10) == []
    assert [stored.seq for stored in await view(store).replays(limit=1)] == [1]
    await settle(store, "siem", Settlement(3, replayed=(1,), dead_again=rejections(3)))
    assert await view(store).replays(limit=10) == []
    await replay_all(store, "siem")
    assert [stored.seq for stored in await view(store).replays(limit=10)] == [3]


@pytest.mark.parametrize(
    "wrong",
    [
        delivered(2, 1),
        delivered(1, 2),
        delivered(9, 9),
        delivered(0, -1),
        Settlement(2, delivered=1, dead=rejections(3)),
        Settlement(2, dead=rejections(2, 2)),
        Settlement(3, delivered=3, unattributed=4),
        Settlement(1, replayed=(1,)),
        Settlement(0, dead_again=rejections(1)),
        Settlement(1, delivered=1, replayed=(1,)),
    ],
)
async def test_a_settlement_that_does_not_add_up_is_refused_and_changes_nothing(
    store: AnyStore, wrong: Settlement
) -> None:
    await store.append(Batch(events(3)), timeout=5)
    with pytest.raises(ValueError, match=r"siem|settlement"):
        await settle(store, "siem", wrong)
    await settle(store, "siem", delivered(3, 3))


async def test_each_sink_has_its_own_position(store: AnyStore) -> None:
    await store.append(Batch(events(3)), timeout=5)
    await settle(store, "siem", delivered(3, 3))
    await settle(store, "archive", delivered(1, 1))
    with pytest.raises(ValueError, match=r"add up|cannot move"):
        await settle(store, "archive", delivered(1, 1))


async def test_a_page_is_stored_with_its_cursor_and_its_malformed_events(store: AnyStore) -> None:
    known = event("a")
    await store.append(Batch([known]), timeout=5)
    assert await store.cursor("log:acme") is None
    first, second = logged("b", size=100), logged("c")
    appended = await store.append(page(first, logged("a"), second, malformed=[malformed_event()]), timeout=5)
    assert (list(appended.stored), appended.duplicates) == ([first, second], 1)
    assert await stored_events(store) == [(1, known), (2, first), (3, second)]
    assert await store.cursor("log:acme") == "next"
    await store.append(page(cursor="after it"), timeout=5)
    assert (await store.cursor("log:acme"), await store.cursor("log:other")) == ("after it", None)
    assert (await store.cursors_with("log:"), await store.cursors_with("lo_:")) == ({"acme": "after it"}, {})


async def test_an_event_that_the_hook_does_not_deliver_is_missed_once(store: AnyStore) -> None:
    hooked = [logged() for _ in range(600)]  # more than one step of the work
    await store.append(page(*hooked, logged(), expected=hooked), timeout=5)
    assert await store.mark_missed("acme", NOON) == 0
    assert await store.mark_missed("acme", NOON + 1) == 600
    assert await store.mark_missed("acme", NOON + 1) == 0


async def test_an_event_that_the_hook_delivered_first_is_never_pending(store: AnyStore) -> None:
    batch = events(3)
    await store.append(Batch(batch), timeout=5)
    again = [logged(one.uuid) for one in batch]
    assert (await store.append(page(*again, expected=again), timeout=5)).duplicates == 3
    assert await store.mark_missed("acme", NOON + 1) == 0


async def test_a_hook_copy_clears_a_pending_event(store: AnyStore) -> None:
    hooked = [logged() for _ in range(5)]
    await store.append(page(*hooked, expected=hooked), timeout=5)
    copies = [event(one.uuid) for one in hooked[:3]]
    assert (await store.append(Batch([event(), *copies]), timeout=5)).duplicates == 3
    assert await store.mark_missed("acme", NOON + 1) == 2


async def test_a_missed_event_is_not_missed_again(store: AnyStore) -> None:
    one = logged("a")
    await store.append(page(one, expected=[one]), timeout=5)
    assert await store.mark_missed("acme", NOON + 1) == 1
    await store.append(page(one, expected=[one]), timeout=5)
    assert await store.mark_missed("acme", NOON + 1) == 0
    await store.append(Batch([event("a")]), timeout=5)
    await store.append(page(one, expected=[one]), timeout=5)
    assert await store.mark_missed("acme", NOON + 1) == 0


async def test_the_same_page_again_changes_nothing(store: AnyStore) -> None:
    hooked = [logged(), logged()]
    whole = page(*hooked, logged(), expected=hooked)
    await store.append(whole, timeout=5)
    await store.append(Batch([event(hooked[0].uuid)]), timeout=5)
    before = await stored_events(store)
    assert (await store.append(whole, timeout=5)).duplicates == 3
    assert await stored_events(store) == before
    assert await store.mark_missed("acme", NOON + 1) == 1


async def test_another_copy_from_the_log_clears_no_pending_event(store: AnyStore) -> None:
    one = logged("a")
    await store.append(page(one, expected=[one]), timeout=5)
    await store.append(page(one), timeout=5)
    assert await store.mark_missed("acme", NOON + 1) == 1


async def test_an_event_is_missed_only_if_it_was_published_and_received_before_the_deadline(store: AnyStore) -> None:
    late = logged("received late", received_at=NOON + 100)  # they all happened at noon
    early = logged("received early, by a clock that is behind Okta's", received_at=NOON - 100)
    await store.append(page(late, early, expected=[late, early]), timeout=5)
    assert await store.mark_missed("acme", NOON) == 0
    assert await store.mark_missed("acme", NOON + 1) == 1
    assert await store.mark_missed("acme", NOON + 100) == 0
    assert await store.mark_missed("acme", NOON + 101) == 1


async def test_the_same_uuid_of_two_orgs_is_pending_for_each(store: AnyStore) -> None:
    uuid = "dc3c8e66-ea09-11ef-9cf1-ad97f4a9f2f5"
    for org in ("acme", "other"):
        one = logged(uuid, org=org)
        await store.append(page(one, expected=[one], cursor=org), timeout=5)
    await store.append(Batch([event(uuid, org="other")]), timeout=5)
    assert await store.mark_missed("other", NOON + 1) == 0
    assert await store.mark_missed("unknown", NOON + 1) == 0
    assert await store.mark_missed("acme", NOON + 1) == 1
    assert (await store.cursor("log:acme"), await store.cursor("log:other")) == ("acme", "other")


async def test_a_hook_copy_at_the_same_time_as_the_log_leaves_nothing_pending(store: AnyStore) -> None:
    hooked = [logged() for _ in range(30)]
    await asyncio.gather(
        *(store.append(Batch([event(one.uuid)]), timeout=5) for one in hooked[:15]),
        store.append(page(*hooked, expected=hooked), timeout=5),
        *(store.append(Batch([event(one.uuid)]), timeout=5) for one in hooked[15:]),
    )
    assert len(await stored_events(store)) == 30
    assert await store.mark_missed("acme", NOON + 1) == 0
