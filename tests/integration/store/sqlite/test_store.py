import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forwarder.core.errors import StoreError, StoreLockedError, StoreTimeoutError
from forwarder.core.ports import Batch, Settlement
from forwarder.metrics import Metrics
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import ManualClock
from tests.integration.store.helpers import (
    attach,
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

_SECOND = """
import asyncio, sys
from pathlib import Path
from forwarder.clock import SystemClock
from forwarder.core.errors import StoreLockedError
from forwarder.metrics import Metrics
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite.store import SqliteStore
try:
    asyncio.run(SqliteStore.open(StoreSettings(path=Path(sys.argv[1])), SystemClock(), Metrics()))
except StoreLockedError as error:
    print(error)
"""


async def test_everything_survives_a_restart(path: Path) -> None:
    batch = events(4)
    async with opened(path) as store:
        await store.append(Batch([*batch, batch[0]], [malformed_event()]), timeout=5)
        await settle(store, "siem", Settlement(2, delivered=1, dead=rejections(2)))
        await store.append(Batch(cursor=("acme", "after-7")), timeout=5)
    async with opened(path) as store:
        assert await attach(store, {"siem": "oldest"}) == {"siem": 2}
        assert [stored.event for stored in await view(store).read(2, limit=9, max_bytes=10**6)] == batch[2:]
        assert await store.cursor("acme") == "after-7"
        assert (await store.append(Batch(batch[:1]), timeout=5)).duplicates == 1
        await store.append(Batch([event()]), timeout=5)
        ledger = await store.ledger()
        assert (ledger.stored, ledger.duplicates, ledger.rejected) == (5, 2, 1)


@pytest.mark.long
async def test_a_second_forwarder_on_the_store_is_refused_and_learns_the_pid(path: Path) -> None:
    async with opened(path) as store:
        second = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", _SECOND, str(path)], capture_output=True, text=True, check=True
        )
        assert "is in use by the process with pid" in second.stdout
        with pytest.raises(StoreLockedError):
            async with opened(path):
                pass
        await store.append(Batch([event()]), timeout=5)


async def test_a_cancelled_or_late_append_is_still_committed(path: Path) -> None:
    async with opened(path) as store:
        first, second = event(), event()
        cancelled = asyncio.create_task(store.append(Batch([first]), timeout=5))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(StoreTimeoutError, match="not committed within 0 s"):
            await store.append(Batch([second]), timeout=0)
        await store.append(Batch([]), timeout=5)
        assert [stored.event for stored in await view(store).read(0, limit=9, max_bytes=10**6)] == [first, second]


async def test_close_commits_earlier_appends(path: Path) -> None:
    settings = StoreSettings(path=path)
    store = await SqliteStore.open(settings, ManualClock(), Metrics())
    appends = [asyncio.create_task(store.append(Batch([one]), timeout=5)) for one in events(20)]
    await asyncio.sleep(0)
    await store.close()
    assert sum(len(appended.stored) for appended in await asyncio.gather(*appends)) == 20
    with pytest.raises(StoreError, match="closed"):
        await store.append(Batch([event()]), timeout=5)
    await store.close()
    async with opened(path) as again:
        assert (await again.ledger()).stored == 20


async def test_a_value_that_cannot_be_stored_fails_alone(path: Path) -> None:
    async with opened(path) as store:
        good, poison, huge = event(), event("lone \ud800 surrogate"), event(received_at=2**63)
        results = await asyncio.gather(
            *(store.append(Batch([one]), timeout=5) for one in (good, poison, huge, event())), return_exceptions=True
        )
        assert [isinstance(result, StoreError) for result in results] == [False, True, True, False]
        assert store.not_ready_reason is None
        ledger = await store.ledger()
        assert (ledger.stored, ledger.events) == (2, 2)


async def test_a_value_that_cannot_be_stored_fails_its_whole_batch(path: Path) -> None:
    async with opened(path) as store:
        good = event()
        with pytest.raises(StoreError, match="cannot hold the value"):
            await store.append(Batch([good, event(received_at=2**63)]), timeout=5)
        assert (await store.append(Batch([good]), timeout=5)).duplicates == 0


async def test_a_sink_that_is_not_attached_settles_nothing(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(1)), timeout=5)
        with pytest.raises(ValueError, match="not attached"):
            await settle(store, "unknown", delivered(1, 1))


async def test_a_new_sink_starts_with_the_oldest_event_or_with_the_next(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(3)), timeout=5)
        assert await attach(store, {"siem": "oldest", "old": "oldest", "new": "now"}) == {"siem": 0, "old": 0, "new": 3}
        await store.append(Batch(events(1)), timeout=5)
        ledger = await store.ledger()
        assert (ledger.sinks["old"].skipped, ledger.sinks["old"].waiting) == (0, 4)
        assert (ledger.sinks["new"].skipped, ledger.sinks["new"].waiting) == (3, 1)
        assert ledger.balanced


async def test_a_known_sink_continues_at_its_position(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(3)), timeout=5)
        await settle(store, "siem", delivered(2, 2))
        assert await attach(store, {"siem": "now"}) == {"siem": 2}


async def test_no_sink_may_have_the_name_of_the_receiver(path: Path) -> None:
    async with opened(path) as store:
        with pytest.raises(StoreError, match="the sink name receiver is reserved"):
            await attach(store, {"receiver": "oldest"})


async def test_a_cursor_has_the_last_stored_value(path: Path) -> None:
    async with opened(path) as store:
        assert await store.cursor("acme") is None
        await store.append(Batch(cursor=("acme", "1")), timeout=5)
        await store.append(Batch(cursor=("acme", "2")), timeout=5)
        await store.append(Batch(cursor=("other", "3")), timeout=5)
        assert await store.cursor("acme") == "2"


async def test_each_commit_is_timed(path: Path) -> None:
    metrics = Metrics()
    store = await SqliteStore.open(StoreSettings(path=path), ManualClock(), metrics)
    await store.append(Batch([event()]), timeout=5)
    await store.close()
    count = metrics.registry.get_sample_value("forwarder_store_commit_duration_seconds_count")
    assert count == 1


@asynccontextmanager
async def disk_that_hangs(store: SqliteStore) -> AsyncIterator[None]:
    """The writer's thread does not come back from the disk as long as this runs."""
    entered, gate = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        entered.set()
        gate.wait(30)

    hanging = store._writer.submit(hang)
    await asyncio.to_thread(entered.wait, 30)
    try:
        yield
    finally:
        gate.set()
        await hanging


async def test_everything_that_waits_shares_one_commit(path: Path) -> None:
    metrics = Metrics()
    store = await SqliteStore.open(StoreSettings(path=path), ManualClock(), metrics)
    async with disk_that_hangs(store):
        appends = [asyncio.create_task(store.append(Batch([one]), timeout=5)) for one in events(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*appends)
    await store.close()
    assert metrics.registry.get_sample_value("forwarder_store_commit_duration_seconds_count") == 2


async def test_each_of_many_batches_in_one_commit_gets_its_own_result(path: Path) -> None:
    known, fresh = events(3), events(70)
    async with opened(path) as store:
        await store.append(Batch(known), timeout=5)
        async with disk_that_hangs(store):
            posts = [[*fresh[:40], known[0]], [fresh[0], fresh[0], fresh[40]], known, fresh[39:]]
            appends = [asyncio.create_task(store.append(Batch(post), timeout=5)) for post in posts]
            await asyncio.sleep(0)
        done = await asyncio.gather(*appends)
        assert [(list(each.stored), each.duplicates) for each in done] == [
            (fresh[:40], 1),
            ([fresh[40]], 2),
            ([], 3),
            (fresh[41:], 2),
        ]
        held = await view(store).read(0, limit=100, max_bytes=1_000_000)
        assert [stored.event for stored in held] == [*known, *fresh]


async def test_a_disk_that_hangs_makes_the_store_not_ready_until_it_commits_again(path: Path) -> None:
    async with opened(path) as store:
        async with disk_that_hangs(store):
            late = event()
            with pytest.raises(StoreTimeoutError, match=r"not committed within 0\.01 s"):
                await store.append(Batch([late]), timeout=0.01)
            assert "the disk is too slow" in (store.not_ready_reason or "")
        await store.append(Batch([event()]), timeout=5)
        assert store.not_ready_reason is None
        assert (await store.append(Batch([late]), timeout=5)).duplicates == 1


@pytest.mark.long
async def test_a_disk_that_hangs_does_not_fill_the_memory(path: Path) -> None:
    async with opened(path) as store:
        async with disk_that_hangs(store):
            large = [event(size=8_000_000) for _ in range(6)]
            appends = [asyncio.create_task(store.append(Batch([one]), timeout=20)) for one in large]
            await asyncio.sleep(0)
        results = await asyncio.gather(*appends, return_exceptions=True)
        refused = [result for result in results if isinstance(result, StoreError)]
        assert 0 < len(refused) < 6
        assert "does not keep up" in str(refused[0])
        assert (await store.ledger()).stored == 6 - len(refused)


@pytest.mark.long
async def test_a_post_of_90_000_elements_keeps_no_neighbour_waiting(path: Path) -> None:
    async with opened(path) as store:
        large = [Batch(events(20_000), [malformed_event()] * 10_000) for _ in range(3)]
        appends = [asyncio.create_task(store.append(batch, timeout=60)) for batch in large]
        commits = 0
        while not any(append.done() for append in appends):
            await store.append(Batch([event()]), timeout=5)
            commits += 1
        assert commits >= 4
        assert [len((await append).stored) for append in appends] == [20_000] * 3
        ledger = await store.ledger()
        assert (ledger.stored, ledger.rejected) == (60_000 + commits, 30_000)
        assert ledger.balanced
        again = await store.append(large[0], timeout=60)
        assert (len(again.stored), again.duplicates) == (0, 20_000)


@pytest.mark.long
async def test_a_large_page_commits_its_cursor_with_its_last_step(path: Path) -> None:
    async with opened(path, max_size="4MiB") as store:
        with pytest.raises(StoreError):
            await store.append(page(*[logged() for _ in range(30_000)]), timeout=5)
        assert 0 < (await store.ledger()).stored < 30_000
        assert await store.cursor("log:acme") is None
        await store.append(page(logged()), timeout=5)
        assert await store.cursor("log:acme") == "next"
