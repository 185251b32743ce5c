"""A sink is renamed or removed from the configuration while events wait for it."""

import asyncio
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError
from forwarder.core.ports import Batch, Settlement
from forwarder.store.sqlite.store import SqliteStore
from tests.integration.store.helpers import answering, attach, commands, delivered, events, opened, rejections, settle


async def leave_events(store: SqliteStore) -> None:
    """Of five events, one is a dead letter of the old sink and three wait for it; the archive has all."""
    await attach(store, {"old": "oldest", "archive": "oldest"})
    await store.append(Batch(events(5)), timeout=5)
    await settle(store, "old", Settlement(2, delivered=1, dead=rejections(2)))
    await settle(store, "archive", delivered(5, 5))
    await attach(store, {"archive": "oldest"})


async def test_a_removed_sink_with_waiting_events_is_in_the_ledger_until_it_is_forgotten(path: Path) -> None:
    async with opened(path, sinks=()) as store:
        await leave_events(store)
        ledger = await store.ledger()
        assert (dict(ledger.removed), list(ledger.sinks)) == ({"old": 4}, ["archive"])
        assert ledger.as_json()["removed_sinks"] == {"old": 4}
    assert dict(commands(path).ledger().removed) == {"old": 4}
    assert await asyncio.to_thread(commands(path).forget_sink, "old") == 1
    ledger = commands(path).ledger()
    assert (dict(ledger.removed), list(ledger.sinks)) == ({}, ["archive"])
    assert ledger.balanced


async def test_a_removed_sink_that_has_everything_is_not_spoken_of(path: Path) -> None:
    async with opened(path, sinks=()) as store:
        await attach(store, {"old": "oldest"})
        await store.append(Batch(events(5)), timeout=5)
        await settle(store, "old", delivered(5, 5))
        await attach(store, {"archive": "oldest"})
        assert not (await store.ledger()).removed


async def test_a_running_forwarder_forgets_a_removed_sink_and_no_other(path: Path) -> None:
    async with answering(path) as store:
        await leave_events(store)
        assert await asyncio.to_thread(commands(path).forget_sink, "old") == 1
        assert "old" not in (await store.ledger()).removed
        with pytest.raises(StoreError, match="still delivers to the sink archive"):
            await asyncio.to_thread(commands(path).forget_sink, "archive")
        with pytest.raises(StoreError, match="unknown sink nobody"):
            await asyncio.to_thread(commands(path).forget_sink, "nobody")


async def test_a_forgotten_sink_that_comes_back_begins_as_a_new_one(path: Path) -> None:
    async with opened(path, sinks=()) as store:
        await leave_events(store)
        await store.forget_sink("old")
        await attach(store, {"archive": "oldest", "old": "oldest"})
        ledger = await store.ledger()
        assert ledger.sinks["old"].waiting == 5
        assert ledger.balanced
