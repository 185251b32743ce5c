import pytest

from forwarder.metrics import Metrics
from forwarder.okta.settings import ReconcileSettings
from forwarder.okta.system_log.pages import SystemLog
from forwarder.okta.system_log.reconcile import Reconciler
from tests.fakes.clock import ManualClock
from tests.fakes.okta_api import PlainApi
from tests.fakes.okta_org import okta_org
from tests.fakes.store import MemoryStore


@pytest.mark.long
async def test_the_log_of_an_emulated_org_is_read_completely_page_by_page() -> None:
    async with (
        okta_org(log_only_share=0.5, edge_case_share=0.5, odd_types=True) as org,
        PlainApi(org.settings.url) as api,
    ):
        await org.emit(2500)
        clock = ManualClock(org.clock.now())
        log = SystemLog("acme", org.settings.url, api, clock)
        store = MemoryStore()
        reader = Reconciler(log, store, ReconcileSettings(), None, Metrics(), clock)
        await reader.poll()
        await org.emit(7)
        await reader.poll()
        assert [stored.event.uuid for stored in store.events] == org.ledger().events
        assert store.duplicates == 0
