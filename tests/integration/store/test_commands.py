import asyncio
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError, StoreLockedError
from forwarder.core.ports import Batch, Settlement
from forwarder.store.dead_letters import Selection
from forwarder.store.ledger import read_ledger
from forwarder.store.sqlite.lock import FileLock
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import ManualClock
from tests.integration.store.helpers import commands, events, opened, refused, reject, settle, view

CLOCK = ManualClock()


async def fill(store: SqliteStore) -> None:
    await store.append(Batch(events(3), [reject()]), timeout=5)
    await settle(store, "siem", Settlement(3, dead=refused(1, 2, 3)))


async def test_without_a_forwarder_the_store_is_written_directly(path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
    assert commands(path, CLOCK).replay(Selection(ids=(2,))) == 1
    assert commands(path, CLOCK).discard(Selection(sink="siem")) == 2
    ledger = read_ledger(path)
    assert (ledger.sinks["siem"].waiting, ledger.sinks["siem"].discarded) == (1, 2)
    assert ledger.balanced
    async with opened(path) as store:
        assert [stored.seq for stored in await view(store).replays(limit=9)] == [1]


async def test_a_running_forwarder_is_asked_to_write_and_wakes_its_sink(path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
        waiting = asyncio.create_task(view(store).wait(3, replays=0))
        assert await asyncio.to_thread(commands(path, CLOCK).replay, Selection(sink="siem")) == 3
        await asyncio.wait_for(waiting, 5)
        assert await asyncio.to_thread(commands(path, CLOCK).discard, Selection()) == 1
        assert (await store.ledger()).sinks["siem"].waiting == 3


async def test_what_the_running_forwarder_cannot_do_is_told(path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
        await store._writer.close()
        with pytest.raises(StoreError, match="the store is closed"):
            await asyncio.to_thread(commands(path, CLOCK).replay, Selection())


async def test_nonsense_on_the_control_socket_gets_an_answer_and_harms_nobody(path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
        for line in (
            b"\n",
            b"{}\n",
            b'{"do":"drop","which":{}}\n',
            b'{"do":"replay","which":{"id":1}}\n',
        ):
            reader, writer = await asyncio.open_unix_connection(f"{path}.control")
            writer.write(line)
            writer.write_eof()
            assert b"not understood" in await reader.readline()
            writer.close()
            await writer.wait_closed()
        assert (await store.ledger()).sinks["siem"].dead == 3


@pytest.mark.parametrize("piece", [b"x" * 100_000, b'{"do":"events","events":[]' + b" " * 1_000_000 + b"}\n"])
async def test_a_request_without_end_is_cut_off(path: Path, piece: bytes) -> None:
    async with opened(path) as store:
        await fill(store)
        _, writer = await asyncio.open_unix_connection(f"{path}.control")
        with suppress(ConnectionError):
            async with asyncio.timeout(5):
                while True:
                    writer.write(piece)
                    await writer.drain()
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()
        assert await asyncio.to_thread(commands(path, CLOCK).replay, Selection(sink="siem")) == 3


async def test_the_control_socket_is_its_users_alone_and_goes_with_the_store(path: Path) -> None:
    control = path.with_name(path.name + ".control")
    async with opened(path):
        assert stat.S_IMODE(control.stat().st_mode) == 0o600
    assert not control.exists()


async def test_a_socket_that_cannot_be_removed_does_not_keep_the_store_from_closing(path: Path) -> None:
    control = path.with_name(path.name + ".control")
    async with opened(path) as store:
        await store.append(Batch(events(1)), timeout=5)
        control.unlink()
        control.mkdir()
    FileLock(path).release()
    with pytest.raises(StoreError, match=r"control socket .* cannot be made"):
        async with opened(path):
            pass
    control.rmdir()
    async with opened(path) as store:
        assert (await store.ledger()).stored == 1


async def test_a_client_that_says_nothing_does_not_hold_up_the_end(path: Path) -> None:
    async with opened(path):
        reader, writer = await asyncio.open_unix_connection(f"{path}.control")
        await asyncio.sleep(0)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_the_socket_of_a_dead_forwarder_is_in_nobodys_way(path: Path, tmp_path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
        stale = tmp_path / "stale"
        path.with_name(path.name + ".control").rename(stale)
    stale.rename(path.with_name(path.name + ".control"))
    assert commands(path, CLOCK).replay(Selection(ids=(2,))) == 1
    async with opened(path) as store:
        assert await asyncio.to_thread(commands(path, CLOCK).discard, Selection(ids=(3,))) == 1


async def test_a_store_deep_down_has_a_control_socket_too(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 120) / "store.db"
    path.parent.mkdir()
    async with opened(path) as store:
        await fill(store)
        assert await asyncio.to_thread(commands(path, CLOCK).replay, Selection(sink="siem")) == 3


async def test_a_store_locked_by_somebody_who_cannot_be_asked_is_left_alone(path: Path) -> None:
    async with opened(path) as store:
        await fill(store)
    lock = FileLock(path)
    with pytest.raises(StoreLockedError):
        commands(path, CLOCK).replay(Selection())
    lock.release()
