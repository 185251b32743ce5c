import asyncio
import contextlib
import itertools
import json
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from forwarder.core.errors import StoreError, StoreFullError
from forwarder.core.event import Event
from forwarder.core.ports import Batch, Settlement
from forwarder.receive.envelope import parse
from forwarder.store.sqlite import schema
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import NOON
from tests.integration.store.helpers import delivered, event, events, opened, rejections, settle, view
from tests.waiting import until

LEAST = 26
"""Events of 20 kB that fit into 1 MiB beside 28 pages of 16 KiB, the first one of each table and index, and the sixteenth that
is kept for actions."""


async def fill(store: SqliteStore, size: int = 20_000) -> list[Event]:
    """Append until the store is full; gives what was acknowledged."""
    acknowledged: list[Event] = []
    for one in (event(size=size) for _ in range(10_000)):
        try:
            await store.append(Batch([one]), timeout=5)
        except StoreFullError:
            return acknowledged
        acknowledged.append(one)
    pytest.fail("the store takes events without end")


async def held(store: SqliteStore) -> list[Event]:
    return [stored.event for stored in await view(store).read(0, limit=10_000, max_bytes=10**9)]


async def test_events_that_a_sink_waits_for_fill_the_store_and_are_never_dropped(path: Path) -> None:
    async with opened(path, max_size="1MiB") as store:
        acknowledged = await fill(store)
        assert LEAST <= len(acknowledged) < 53
        assert "the store is full: 1048576 bytes of events are not yet delivered (limit: store.max_size)" in (
            store.not_ready_reason or ""
        )
        assert await held(store) == acknowledged
    assert path.stat().st_size <= 1.1 * 1024 * 1024


@pytest.mark.long
async def test_a_full_store_accepts_events_again_once_sinks_have_settled_some(path: Path) -> None:
    async with opened(path, max_size="1MiB") as store:
        acknowledged = await fill(store)
        assert (await store.append(Batch(acknowledged[:1]), timeout=5)).duplicates == 1
        await fill(store)
        assert store.not_ready_reason is not None
        await settle(store, "siem", delivered(20, 20))
        await until(lambda: store.not_ready_reason is None)
        more = events(5, size=20_000)
        await store.append(Batch(more), timeout=5)
        assert (await held(store))[-5:] == more
        assert (await held(store))[: len(acknowledged) - 20] != []
        assert (await store.ledger()).balanced


@pytest.mark.long
async def test_a_full_store_drops_settled_bodies_early_oldest_first(path: Path) -> None:
    async with opened(path, max_size="1MiB") as store:
        for number in range(1, 201):
            await store.append(Batch([event(size=20_000)]), timeout=5)
            await settle(store, "siem", delivered(number, 1))
        kept = [stored.seq for stored in await view(store).read(0, limit=1000, max_bytes=10**9)]
        assert kept == list(range(kept[0], 201))
        assert len(kept) >= LEAST
        assert (await store.ledger()).balanced
    assert path.stat().st_size <= 1.1 * 1024 * 1024


async def test_a_full_store_still_accepts_dead_letters(path: Path) -> None:
    async with opened(path, max_size="1MiB") as store:
        count = len(await fill(store))
        await settle(store, "siem", Settlement(count, dead=rejections(*range(1, count + 1))))
        ledger = await store.ledger()
        assert ledger.sinks["siem"].dead == count
        assert ledger.balanced


async def test_a_full_store_refuses_an_envelope_as_a_whole(path: Path) -> None:
    async with opened(path, max_size="1MiB") as store:
        batch = events(100, size=20_000)
        with pytest.raises(StoreFullError):
            await store.append(Batch(batch), timeout=5)
        assert await held(store) == []
        assert (await store.append(Batch(batch[:10]), timeout=5)).duplicates == 0


async def test_an_append_that_does_not_fit_fails_alone(path: Path) -> None:
    async with opened(path, max_size="1MiB") as store:
        results = await asyncio.gather(
            store.append(Batch([event()]), timeout=5),
            store.append(Batch([event(size=3_000_000)]), timeout=5),
            store.append(Batch([event()]), timeout=5),
            return_exceptions=True,
        )
        assert [isinstance(result, StoreFullError) for result in results] == [False, True, False]


@contextlib.asynccontextmanager
async def full_by_page_count(store: SqliteStore) -> AsyncIterator[None]:
    """SQLite itself says that the disk is full."""

    async def limit(pages: int) -> None:
        await store._writer.submit(lambda tx: tx.db.execute(f"PRAGMA max_page_count = {pages}").fetchone())

    await limit(30)
    yield
    await limit(1_000_000_000)


@pytest.mark.long
async def test_a_full_disk_refuses_all_and_loses_nothing(path: Path) -> None:
    async with opened(path) as store:
        async with full_by_page_count(store):
            acknowledged = await fill(store)
            assert len(acknowledged) > 3
            assert "the disk of the store" in (store.not_ready_reason or "")
            assert await held(store) == acknowledged
        await until(lambda: store.not_ready_reason is None)
        more = event(size=20_000)
        await store.append(Batch([more]), timeout=5)
        assert await held(store) == [*acknowledged, more]
        assert [stored.seq for stored in await view(store).read(0, limit=999, max_bytes=10**9)] == list(
            range(1, len(acknowledged) + 2)
        )
        assert (await store.ledger()).balanced


async def test_a_full_disk_fails_the_whole_group(path: Path) -> None:
    async with opened(path) as store:
        async with full_by_page_count(store):
            results = await asyncio.gather(
                *(store.append(Batch([event(size=100_000)]), timeout=5) for _ in range(20)), return_exceptions=True
            )
        acknowledged = [result for result in results if not isinstance(result, StoreFullError)]
        assert len(acknowledged) == (await store.ledger()).stored < 20
        assert not any(isinstance(result, BaseException) for result in acknowledged)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB of its own."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount a small file system to fill")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this machine may not mount: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.long
async def test_a_really_full_disk_is_survived_and_used_again_when_there_is_space(tmpfs: Path) -> None:
    ballast = tmpfs / "ballast"
    async with opened(tmpfs / "store.db") as store:
        ballast.write_bytes(b"x" * 1_500_000)
        acknowledged = await fill(store, 50_000)
        assert acknowledged
        assert "is full" in (store.not_ready_reason or "")
        assert await held(store) == acknowledged
        with pytest.raises(StoreError):
            await settle(store, "siem", Settlement(1, dead=rejections(1)))
        ballast.unlink()
        await until(lambda: store.not_ready_reason is None)
        await settle(store, "siem", Settlement(1, dead=rejections(1)))
        more = event(size=50_000)
        await store.append(Batch([more]), timeout=5)
    async with opened(tmpfs / "store.db") as store:
        assert await held(store) == [*acknowledged, more]
        assert (await store.ledger()).balanced


@pytest.mark.long
async def test_a_full_disk_is_not_reported_as_a_process_that_reads_the_store(tmpfs: Path) -> None:
    path = tmpfs / "store.db"
    with structlog.testing.capture_logs() as lines:
        async with opened(path) as store:
            await fill(store, 50_000)
            await until(lambda: "checkpoint_failed" in [line["action"] for line in lines], seconds=20)
            assert (await store.ledger()).wal_bytes > 0
    (error,) = [line["error"] for line in lines if line["action"] == "checkpoint_failed"]
    assert error.startswith(f"the disk of the store {path} is full")
    assert "wal_in_use" not in [line["action"] for line in lines]


@contextlib.contextmanager
def writes_fail() -> Iterator[None]:
    """No file may be written beyond its first 4 KiB: the kernel refuses it as a broken disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.long
async def test_after_an_io_error_the_file_is_reopened_and_nothing_acknowledged_is_missing(path: Path) -> None:
    async with opened(path) as store:
        acknowledged = events(5)
        await store.append(Batch(acknowledged), timeout=5)
        with writes_fail():
            lost = event()
            for _ in range(3):
                with pytest.raises(StoreError, match="disk I/O error"):
                    await store.append(Batch([lost]), timeout=5)
            assert "disk I/O error" in (store.not_ready_reason or "")
            with pytest.raises(StoreError):
                await settle(store, "siem", delivered(5, 5))
            assert await held(store) == acknowledged
        await until(lambda: store.not_ready_reason is None)
        await settle(store, "siem", delivered(5, 5))
        await store.append(Batch([lost]), timeout=5)
        assert await held(store) == [*acknowledged, lost]
        assert (await store.ledger()).balanced


@pytest.mark.long
async def test_after_an_io_error_nothing_is_stored_while_the_old_wal_cannot_be_checkpointed(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(5)), timeout=5)
        with closing(schema.connect_reader(path)) as looking:
            looking.execute("BEGIN")
            looking.execute("SELECT COUNT(*) FROM events").fetchone()
            with writes_fail(), pytest.raises(StoreError, match="disk I/O error"):
                await store.append(Batch([event()]), timeout=5)
            with pytest.raises(StoreError, match="the WAL of the store cannot be emptied"):
                await store.append(Batch([event()]), timeout=5)
            assert len(await held(store)) == 5
        await until(lambda: store.not_ready_reason is None)
        await store.append(Batch([event()]), timeout=5)
        assert (await store.ledger()).balanced


@pytest.mark.long
async def test_a_missing_file_is_not_created_again(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch([event()]), timeout=5)
        moved = path.with_name("moved.db")
        with writes_fail():
            with pytest.raises(StoreError):
                await store.append(Batch([event()]), timeout=5)
            path.rename(moved)
            await until(lambda: "is gone" in (store.not_ready_reason or ""))
        with pytest.raises(StoreError, match="is gone"):
            await store.append(Batch([event()]), timeout=5)
        assert not path.exists()
        moved.rename(path)
        await until(lambda: store.not_ready_reason is None)
        await store.append(Batch([event()]), timeout=5)


def _post(*elements: Mapping[str, object], event_id: str = "e") -> Callable[[], Awaitable[Batch]]:
    """Return what makes the batch of a POST with these elements, each with an id of its own."""

    def numbered(element: Mapping[str, object]) -> dict[str, object]:
        return dict(element) | ({"uuid": f"{next(_ids)}{element['uuid']}"} if "uuid" in element else {})

    async def make() -> Batch:
        listed = [numbered(element) for element in elements]
        body = json.dumps({"eventId": event_id, "data": {"events": listed}}).encode()
        return await parse(body, org="acme", received_at=NOON)

    return make


_ids = itertools.count()
_SMALL = {"uuid": "", "eventType": "user.session.start", "published": "2026-01-01T12:00:00.000Z"}


@pytest.mark.long
@pytest.mark.parametrize(
    "post",
    [
        _post(_SMALL | {"uuid": "u" * 1_000_000}),
        _post(*[_SMALL] * 600, event_id="e" * 1_000_000),
        _post(*[_SMALL | {"uuid": "u" * 240}] * 600, event_id="e" * 256),
        _post(*[_SMALL | {"eventType": "t" * 256}] * 600),
        _post(*[{"x": 1}] * 600, event_id="e" * 256),
        _post(_SMALL | {"x": "y" * 1_000_000}),
    ],
    ids=["long_uuid", "long_event_id", "long_ids", "long_types", "malformed", "large"],
)
async def test_whatever_is_posted_the_store_stays_below_max_size(
    path: Path, post: Callable[[], Awaitable[Batch]]
) -> None:
    async with opened(path, max_size="16MiB") as store:
        largest = 0
        with contextlib.suppress(StoreFullError):
            for _ in range(1000):
                await store.append(await post(), timeout=5)
                largest = max(largest, (await store.ledger()).bytes)
            pytest.fail("the store takes events without end")
        await until(lambda: path.with_name("store.db-wal").stat().st_size == 0)
        assert path.stat().st_size < 16 * 1024 * 1024
        assert largest < 1.25 * 16 * 1024 * 1024  # the WAL, until it is emptied


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_CANTOPEN])
def test_an_error_of_sqlite_on_a_full_disk_names_the_full_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    assert "check the disk and the permissions" in str(schema.to_store_error(path, error))
    monkeypatch.setattr(
        os, "statvfs", lambda _: SimpleNamespace(f_blocks=1000, f_bavail=0, f_frsize=4096, f_files=9, f_favail=9)
    )
    found = schema.to_store_error(path, error)
    assert isinstance(found, StoreFullError)
    assert f"the disk of the store {path} is full" in str(found)


async def test_where_a_file_may_not_grow_the_limit_to_raise_is_named(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch([event()]), timeout=5)
        with (
            writes_fail(),
            pytest.raises(
                StoreError, match=r"has reached the largest size that this process may write; raise .*LimitFSIZE"
            ),
        ):
            await store.append(Batch([event()]), timeout=5)
        await until(lambda: store.not_ready_reason is None)


def test_where_the_file_system_is_read_only_this_is_named(tmpfs: Path) -> None:
    path = tmpfs / "store.db"
    schema.open_writer(path).close()
    subprocess.run(["mount", "-o", "remount,ro", str(tmpfs)], check=True)
    error = sqlite3.OperationalError("attempt to write a readonly database")
    error.sqlite_errorcode = sqlite3.SQLITE_READONLY
    assert "Read-only file system; mount the file system for writing" in str(schema.to_store_error(path, error))


@pytest.fixture
def read_only(tmpfs: Path) -> Iterator[Callable[[], None]]:
    """Gives a function that makes the file system read-only, although the store is open."""
    mounted = []

    def make() -> None:
        subprocess.run(["mount", "--bind", str(tmpfs), str(tmpfs)], check=True)
        mounted.append(tmpfs)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(tmpfs)], check=True)

    yield make
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


async def test_a_file_system_that_becomes_read_only_is_named_and_no_other_program_is_blamed(
    tmpfs: Path, read_only: Callable[[], None]
) -> None:
    async with opened(tmpfs / "store.db") as store:
        await store.append(Batch([event()]), timeout=5)
        read_only()
        await until(lambda: store.not_ready_reason is not None)
        with pytest.raises(StoreError, match="mount the file system for writing") as caught:
            await store.append(Batch([event()]), timeout=5)
        assert "another program" not in str(caught.value)
        subprocess.run(["mount", "-o", "remount,bind,rw", str(tmpfs)], check=True)
        await store.append(Batch([event()]), timeout=5)
        assert (store.not_ready_reason, (await store.ledger()).stored) == (None, 2)


async def test_a_store_that_fails_and_recovers_without_end_writes_few_lines(path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with opened(path) as store:
            for _ in range(12):
                with writes_fail(), pytest.raises(StoreError, match="disk I/O error"):
                    await store.append(Batch([event()]), timeout=5)
                await store.append(Batch([event()]), timeout=5)
            assert store.not_ready_reason is None
    actions = [line["action"] for line in lines]
    assert actions == ["store_unready", "store_ready"] * 5 + ["store_unready"]
