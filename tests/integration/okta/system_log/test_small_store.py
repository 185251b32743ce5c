"""The store is smaller than a page of the System Log."""

import asyncio
import contextlib
from pathlib import Path

import pytest
import structlog

from forwarder.core.errors import StoreError, StoreFullError
from forwarder.core.ports import Batch
from forwarder.metrics import Metrics
from forwarder.okta.settings import ReconcileSettings
from forwarder.okta.system_log.backfill import Backfill, BackfillRequest
from forwarder.okta.system_log.pages import SystemLog
from forwarder.okta.system_log.reconcile import Reconciler
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.clock import ManualClock
from tests.fakes.okta_api import PlainApi
from tests.fakes.okta_org import okta_org
from tests.integration.store.helpers import delivered, events, opened, settle, view


class BusyClock(ManualClock):
    """A clock on which a sleep ends at once; during each sleep, the sink delivers all stored events."""

    store: SqliteStore
    seen: list[str]

    async def sleep(self, seconds: float) -> None:
        self._elapsed += seconds
        await deliver(self.store, self.seen)


async def deliver(store: SqliteStore, seen: list[str]) -> None:
    """Deliver all events that wait for the sink, and add their uuids to `seen`."""
    while batch := await view(store).read(len(seen), limit=500, max_bytes=10**6):
        seen += [stored.event.uuid for stored in batch]
        await settle(store, "siem", delivered(len(seen), len(batch)))


@pytest.mark.long
@pytest.mark.parametrize("how", ["polling", "backfill"])
async def test_a_page_that_is_larger_than_the_store_is_stored_in_parts(tmp_path: Path, how: str) -> None:
    async with (
        okta_org(log_only_share=0.5) as org,
        PlainApi(org.settings.url) as api,
        opened(tmp_path / "store.db", max_size="2MiB") as store,
    ):
        await org.emit(2500)
        clock = BusyClock(org.clock.now())
        clock.store, clock.seen = store, []
        log = SystemLog("acme", org.settings.url, api, clock)
        with structlog.testing.capture_logs():
            async with asyncio.timeout(60):
                if how == "polling":
                    await Reconciler(log, store, ReconcileSettings(), None, Metrics(), clock).poll()
                else:
                    await _backfill(log, store, clock)
        await deliver(store, clock.seen)
        assert sorted(clock.seen) == sorted(org.ledger().events)  # a backfill reads them by `published`
        assert (await store.ledger()).balanced


async def _backfill(log: SystemLog, store: SqliteStore, clock: BusyClock) -> None:
    """Run the same backfill until it ends. A full store stops each run, and the next run stores more."""

    async def waits() -> None:
        await deliver(store, clock.seen)

    now = clock.now()
    request = BackfillRequest("acme", now - 10**12, now + 10**9)
    while True:
        with contextlib.suppress(StoreFullError):
            backfill = Backfill(log, store, clock, Metrics(), waits, lambda: None)
            await backfill.run(request, lambda _: None)
            return


@pytest.mark.long
async def test_a_post_that_never_fits_names_the_size_that_the_store_needs(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    batch = Batch(events(100, size=20_000))
    async with opened(path, max_size="2MiB") as store:
        with pytest.raises(StoreError, match=r"raise store\.max_size to at least (\d+MiB)") as caught:
            await store.append(batch, timeout=5)
        assert "sinks" not in str(caught.value)
    needed = str(caught.value).partition("at least ")[2].split()[0].rstrip(";.,")
    async with opened(path, max_size=needed) as store:
        await store.append(batch, timeout=5)
