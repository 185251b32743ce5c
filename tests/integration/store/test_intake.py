"""The store as `forwarder backfill` has it: beside a running forwarder, and without one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from forwarder.core.errors import StoreError, StoreFullError, StoreLockedError, StoreTimeoutError
from forwarder.core.ports import Batch
from forwarder.store.dead_letters import Selection
from forwarder.store.ledger import read_ledger
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite import intake
from forwarder.store.sqlite.intake import CommandIntake
from forwarder.store.sqlite.lock import FileLock
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import event, logged, opened, page, reject, view


def command(path: Path, max_size: str = "10GiB") -> CommandIntake:
    return CommandIntake(StoreSettings.model_validate({"path": path, "max_size": max_size}), ManualClock())


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[None]:
    async with opened(path):
        yield


@asynccontextmanager
async def at_rest(path: Path) -> AsyncIterator[None]:
    async with opened(path):
        pass
    yield


@pytest.mark.parametrize("forwarder", [running, at_rest])
async def test_a_page_goes_in_whether_or_not_a_forwarder_runs(path: Path, forwarder: object) -> None:
    async with forwarder(path):  # type: ignore[operator]  # one of the two above
        log = command(path)
        known, twice = logged("known"), logged("twice")
        await log.append(page(known), timeout=5)
        assert await log.cursor("log/acme") == "next"
        assert await log.cursor("log/other") is None
        new = [logged(size=3000) for _ in range(200)]  # more than one line of the control socket
        brought = page(twice, *new, known, twice, hooked=new[:3], malformed=[reject()], cursor="later")
        appended = await log.append(brought, timeout=5)
        assert (list(appended.stored), appended.duplicates) == ([twice, *new], 2)
        assert await log.cursor("log/acme") == "later"
        assert (await log.append(page(cursor="end"), timeout=5)).duplicates == 0
    ledger = read_ledger(path)
    assert (ledger.stored, ledger.duplicates, ledger.rejected) == (202, 2, 1)
    async with opened(path) as store:
        assert await store.mark_missed("acme", NOON + 1) == 3
        assert await store.mark_missed("acme", NOON + 1) == 0
        held = await view(store).read(0, limit=1000, max_bytes=10**9)
        assert [one.event for one in held] == [known, twice, *new]


async def test_more_than_one_step_of_misses_is_counted_whole(path: Path) -> None:
    hooked = [logged() for _ in range(501)]
    async with at_rest(path):
        await command(path).append(page(*hooked, hooked=hooked), timeout=5)
    async with opened(path) as store:
        assert await store.mark_missed("acme", NOON + 1) == 501


async def test_a_forwarder_may_start_and_stop_between_two_pages(path: Path) -> None:
    log = command(path)
    for _ in range(3):
        async with opened(path):
            await log.append(page(logged(), logged()), timeout=5)
        await log.append(page(logged(), cursor="last"), timeout=5)
    assert read_ledger(path).stored == 9
    assert await log.cursor("log/acme") == "last"


async def test_a_page_reaches_the_sinks_of_the_running_forwarder_at_once(path: Path) -> None:
    async with opened(path) as store:
        waiting = asyncio.create_task(view(store).wait(0, replays=0))
        await command(path).append(page(logged()), timeout=5)
        await asyncio.wait_for(waiting, 5)


async def test_bytes_of_a_page_come_as_they_were(path: Path) -> None:
    odd = logged("odd")
    raw = msgspec.structs.replace(odd, body=b'{"uuid":"odd", "x":"\\ud800 \xc3\xa9 \xf0\x9f\x98\x80" }')
    async with opened(path) as store:
        await command(path).append(page(raw), timeout=5)
        (held,) = await view(store).read(0, limit=9, max_bytes=9)
        assert held.event == raw


async def test_one_event_of_megabytes_goes_through_the_control_socket(path: Path) -> None:
    async with opened(path) as store:
        large = logged(size=8_000_000)
        await command(path).append(page(logged(), large, logged()), timeout=20)
        assert (await view(store).read(1, limit=1, max_bytes=1))[0].event == large


async def test_a_page_beyond_all_bounds_is_refused_before_it_is_sent(path: Path) -> None:
    async with opened(path) as store:
        for whole in (page(logged(size=13_000_000)), page(*[logged(size=6_000_000)] * 9)):
            with pytest.raises(StoreError, match="too large to hand it to the running forwarder"):
                await command(path).append(whole, timeout=5)
        assert (await store.ledger()).stored == 0


@pytest.mark.parametrize("forwarder", [True, False])
async def test_a_full_store_says_so_on_both_ways_and_keeps_its_cursor(path: Path, *, forwarder: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened(path, max_size="1MiB"))
        log = command(path, "1MiB")
        await log.append(page(logged(size=600_000), cursor="held"), timeout=5)
        with pytest.raises(StoreError, match="the store cannot hold it"):
            await store.mark_missed("acme", 2**80)
        if not forwarder:
            await store.close()
        with pytest.raises(StoreFullError, match=r"store\.max_size"):
            await log.append(page(logged(size=600_000), cursor="lost"), timeout=5)
        assert store.not_ready_reason is None  # POSTs may fit where a page does not
        assert await log.cursor("log/acme") == "held"


async def test_a_disk_that_is_too_slow_is_told_as_such(path: Path) -> None:
    async with opened(path):
        with pytest.raises(StoreTimeoutError):
            await command(path).append(page(logged()), timeout=0)


async def test_without_a_store_there_is_an_error_and_none_is_made(path: Path) -> None:
    log = command(path)
    for work in (log.append(page(logged()), timeout=5), log.cursor("x")):
        with pytest.raises(StoreError, match=r"there is no store at .*; start the forwarder once"):
            await work
    assert not path.exists()


async def test_whoever_holds_the_store_and_cannot_be_asked_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_rest(path):
        lock = FileLock(path)
        waiting = asyncio.create_task(command(path).append(page(logged()), timeout=5))
        asyncio.get_running_loop().call_later(0.2, lock.release)
        assert len((await waiting).stored) == 1
        lock = FileLock(path)
        monkeypatch.setattr(intake, "_PATIENCE", 0.1)
        with pytest.raises(StoreLockedError, match="in use by the process"):
            await command(path).append(page(logged()), timeout=5)
        lock.release()


async def test_a_forwarder_that_starts_waits_for_a_command_that_is_just_writing(path: Path) -> None:
    async with at_rest(path):
        lock = FileLock(path)
        asyncio.get_running_loop().call_later(0.2, lock.release)
        async with opened(path):
            pass


@pytest.mark.parametrize("forwarder", [True, False])
async def test_what_a_store_cannot_hold_is_told(path: Path, *, forwarder: bool) -> None:
    async with opened(path) as store:
        with pytest.raises(StoreError, match="the store cannot hold it"):
            await store.mark_missed("acme", 2**80)
        if not forwarder:
            await store.close()
        with pytest.raises(StoreError, match="the store cannot hold it"):
            await command(path).append(page(logged("\ud800")), timeout=5)


async def test_a_reject_of_the_log_is_read_again_as_one_of_the_log(path: Path) -> None:
    late, soon = logged("late"), event("soon")
    malformed = [reject(late.body), reject(b"[]")]
    async with opened(path) as store:
        await store.append(page(malformed=malformed), timeout=5)
        await store.append(Batch([], [reject(soon.body)]), timeout=5)
        assert await store.replay(Selection(sink="receiver")) == 2
        held = await view(store).read(0, limit=9, max_bytes=10**6)
        assert [(one.event.uuid, one.event.source) for one in held] == [("late", "log"), ("soon", "hook")]
        assert (await store.ledger()).rejected == 1


async def test_a_reject_of_the_hook_that_turns_out_to_be_awaited_ends_the_wait(path: Path) -> None:
    one = logged("awaited")
    async with opened(path) as store:
        await store.append(page(one, hooked=[one]), timeout=5)
        await store.append(Batch([], [reject(one.body)]), timeout=5)
        await store.append(page(malformed=[reject(one.body)]), timeout=5)
        assert await store.replay(Selection(ids=(2,))) == 1  # the log's copy ends nothing
        assert await store.replay(Selection(ids=(1,))) == 1
        assert await store.mark_missed("acme", NOON + 1) == 0
