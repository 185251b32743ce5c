"""Backfills in the runner of an org."""

import asyncio
from typing import Any

import pytest
import structlog.testing

from forwarder.core.errors import OktaError
from forwarder.metrics import Metrics
from forwarder.okta.org_runner import OktaOrgRunner
from forwarder.okta.settings import ReconcileSettings
from forwarder.okta.system_log.backfill import Backfill, BackfillPlan, BackfillProgress, BackfillRequest
from forwarder.okta.system_log.pages import SystemLog
from forwarder.okta.system_log.reconcile import Reconciler
from tests.fakes.clock import NOON, ManualClock, settle
from tests.fakes.okta_log import URL, LogApi, event
from tests.fakes.store import MemoryStore

HOUR = 3600 * 1_000_000
REQUEST = BackfillRequest("acme", NOON - 3 * HOUR, NOON)


class Scene:
    """A runner of an org with seven events in its past.

    Attributes:
        reason: why a backfill waits; None lets it continue.
    """

    def __init__(self, watch: Any = None) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.reports: list[BackfillPlan | BackfillProgress] = []
        self.reason: str | None = None
        self.api = api = LogApi(self.clock)
        api.store(*(event(uuid, NOON - 2 * HOUR + n * 1_000_000) for n, uuid in enumerate("abcdefg")))
        log = SystemLog("acme", URL, api, self.clock, limit=3)
        polling = Reconciler(log, self.store, ReconcileSettings(lookback="1s"), None, Metrics(), self.clock)
        backfills = Backfill(log, self.store, self.clock, Metrics(), self.should_wait, lambda: None)
        self.runner = OktaOrgRunner("acme", api, watch, polling, backfills, self.clock)

    async def should_wait(self) -> str | None:
        return self.reason

    def backfill(self) -> asyncio.Task[BackfillProgress]:
        return asyncio.create_task(self.runner.backfill(REQUEST, self.reports.append))

    @property
    def uuids(self) -> list[str]:
        return [stored.event.uuid for stored in self.store.events]


async def test_a_second_backfill_at_the_same_time_is_refused() -> None:
    there = Scene()
    there.reason = "a sink is behind"
    first = there.backfill()
    await settle()
    with pytest.raises(OktaError, match="a backfill of acme is already running"):
        await there.backfill()
    there.reason = None
    await there.clock.advance(60)
    assert (await first).new == 7
    assert there.uuids == list("abcdefg")
    assert (await there.backfill()).new == 0


async def test_a_cancelled_backfill_resumes_with_the_next_one() -> None:
    there = Scene()
    backfill = there.backfill()
    while not there.uuids:
        await asyncio.sleep(0)
    backfill.cancel()
    with pytest.raises(asyncio.CancelledError):
        await backfill
    assert 0 < len(there.uuids) < 7
    await there.backfill()
    plans = [report for report in there.reports if isinstance(report, BackfillPlan)]
    assert [plan.began < plan.since for plan in plans] == [False, True]
    assert there.uuids == list("abcdefg")


async def test_the_end_of_the_runner_ends_a_backfill_with_an_error() -> None:
    there = Scene()
    there.reason = "a sink is behind"
    running = asyncio.create_task(there.runner.run())
    backfill = there.backfill()
    await settle()
    running.cancel()
    with pytest.raises(OktaError, match="run the same command again to resume"):
        await backfill
    await asyncio.gather(running, return_exceptions=True)
    with pytest.raises(OktaError, match="run the same command again to resume"):
        await there.backfill()


class BrokenWatch:
    """A hook watch with a defect."""

    state = None

    async def check(self) -> None:
        raise TypeError("a defect")

    run = check

    def hook_id(self) -> str | None:
        return None


async def test_a_defect_in_the_watch_of_the_hook_does_not_stop_the_system_log() -> None:
    there = Scene(watch=BrokenWatch())
    running = asyncio.create_task(there.runner.run())
    with structlog.testing.capture_logs() as lines:
        await settle()
        there.api.store(event("new", there.clock.now()))
        await there.clock.advance(61)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert there.uuids[-1] == "new"
    assert {line["action"] for line in lines if line["log_level"] == "error"} == {"okta_runner_failed"}
