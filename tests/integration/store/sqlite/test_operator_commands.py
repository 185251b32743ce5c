import asyncio
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError, StoreLockedError
from forwarder.core.ports import Batch, DeadLetterSelection, Settlement
from forwarder.store.sqlite.lock import FileLock
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import ManualClock
from tests.integration.store.helpers import (
    answering,
    commands,
    events,
    malformed_event,
    opened,
    rejections,
    settle,
    view,
)

CLOCK = ManualClock()


async def fill(store: SqliteStore) -> None:
    await store.append(Batch(events(3), [malformed_event()]), timeout=5)
    await settle(store, "siem", Settlement(3, dead=rejections(1, 2, 3)))


async def test_without_a_forwarder_a_command_opens_the_store(path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
    assert await asyncio.to_thread(commands(path, CLOCK).replay, DeadLetterSelection(ids=(2,))) == 1
    assert await asyncio.to_thread(commands(path, CLOCK).discard, DeadLetterSelection(sink="siem")) == 2
    ledger = commands(path).ledger()
    assert (ledger.sinks["siem"].waiting, ledger.sinks["siem"].discarded) == (1, 2)
    assert ledger.balanced
    async with opened(path) as store:
        assert [stored.seq for stored in await view(store).replays(limit=9)] == [1]


async def test_a_running_forwarder_is_asked_to_write_and_wakes_its_sink(path: Path) -> None:
    async with answering(path) as store:
        await fill(store)
        waiting = asyncio.create_task(view(store).wait(3, replays=0))
        assert await asyncio.to_thread(commands(path, CLOCK).replay, DeadLetterSelection(sink="siem")) == 3
        await asyncio.wait_for(waiting, 5)
        assert await asyncio.to_thread(commands(path, CLOCK).discard, DeadLetterSelection()) == 1
        assert (await store.ledger()).sinks["siem"].waiting == 3


async def test_an_error_of_the_running_forwarder_reaches_the_command(path: Path) -> None:
    async with answering(path) as store:
        await fill(store)
        await store._writer.close()
        with pytest.raises(StoreError, match="the store is closed"):
            await asyncio.to_thread(commands(path, CLOCK).replay, DeadLetterSelection())


@pytest.mark.long
async def test_a_store_locked_by_a_process_without_a_socket_is_left_alone(path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
    lock = FileLock(path)
    with pytest.raises(StoreLockedError):
        await asyncio.to_thread(commands(path, CLOCK).replay, DeadLetterSelection())
    lock.release()


@pytest.mark.long
async def test_a_starting_forwarder_waits_for_a_command_that_writes(path: Path) -> None:
    async with opened(path):
        pass
    lock = FileLock(path)
    asyncio.get_running_loop().call_later(0.2, lock.release)
    async with opened(path):
        pass
