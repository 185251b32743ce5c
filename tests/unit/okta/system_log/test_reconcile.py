import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import structlog.testing
from structlog.typing import EventDict

from forwarder.core.errors import StoreFullError
from forwarder.core.event import Source, read_event
from forwarder.core.ports import Appended, Batch
from forwarder.metrics import Metrics
from forwarder.okta.settings import ReconcileSettings
from forwarder.okta.system_log.cursor import Cursor
from forwarder.okta.system_log.pages import SystemLog
from forwarder.okta.system_log.reconcile import FULL_REWIND, REWIND, Reconciler
from tests.fakes.clock import NOON, ManualClock, settle
from tests.fakes.okta_log import HOOK, URL, LogApi, event
from tests.fakes.store import MemoryStore

SECOND = 1_000_000
HOUR = 3600 * SECOND


class Store(MemoryStore):
    """A store that remembers all pages, also those that it refused.

    Attributes:
        pages: the batches of the System Log that were passed to `append`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[Batch] = []

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        if batch.source is Source.LOG:
            self.pages.append(batch)
        return await super().append(batch, timeout=timeout)

    @property
    def uuids(self) -> list[str]:
        return [stored.event.uuid for stored in self.events]


@dataclass
class Scene:
    """An org's log, a store, and a reconciler that runs during `running`.

    Attributes:
        hook: the id of our hook, as the reconciler gets it.
        made: the id that the reconciler gets after it has asked Okta.
        looks: how often the reconciler asked Okta.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    store: Store = field(default_factory=Store)
    metrics: Metrics = field(default_factory=Metrics)
    hook: str | None = HOOK
    made: str | None = None
    looks: int = 0
    limit: int = 3

    def __post_init__(self) -> None:
        self.api = LogApi(self.clock)

    def happen(self, *uuids: str, ago: float = 0, hooks: Sequence[str] = (), **more: Any) -> None:
        """Let Okta store events now that happened `ago` seconds earlier."""
        published = self.clock.now() - round(ago * SECOND)
        self.api.store(*(event(uuid, published, hooks=hooks, **more) for uuid in uuids))

    async def deliver(self, uuid: str, ago: float = 0) -> None:
        """Store an event as delivered by the hook."""
        body = event(uuid, self.clock.now() - round(ago * SECOND), hooks=[HOOK])
        arrived = read_event(body, org="acme", source=Source.HOOK, received_at=self.clock.now())
        await self.store.append(Batch([arrived]), timeout=1)

    def reader(self, **changes: str) -> Reconciler:
        log = SystemLog("acme", URL, self.api, self.clock, limit=self.limit)
        settings = ReconcileSettings(**changes)
        return Reconciler(log, self.store, settings, self, self.metrics, self.clock)

    def renamed(self, *other_orgs: str) -> Reconciler:
        """Return a reader of the same log after the org got the name `emea`."""
        log = SystemLog("emea", URL, self.api, self.clock, limit=self.limit)
        return Reconciler(log, self.store, ReconcileSettings(), self, self.metrics, self.clock, other_orgs=other_orgs)

    def hook_id(self) -> str | None:
        """As `HookIdSource`."""
        return self.hook

    async def check(self) -> None:
        """As `HookIdSource`."""
        self.looks += 1
        self.hook = self.made or self.hook

    @asynccontextmanager
    async def running(self, **changes: str) -> AsyncIterator[Reconciler]:
        reader = self.reader(**changes)
        running = asyncio.create_task(reader.run())
        await settle()
        try:
            yield reader
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"forwarder_{name}", {"org": "acme", **labels})

    @property
    def cursor(self) -> Cursor:
        return msgspec.json.decode(self.store.cursors["log:acme"], type=Cursor)


@pytest.fixture
def there() -> Scene:
    return Scene()


@pytest.fixture
def logged() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines


def actions(logged: Sequence[EventDict], level: str | None = None) -> list[str]:
    return [line["action"] for line in logged if level in (None, line["log_level"])]


async def test_the_first_poll_goes_back_and_reads_until_a_page_is_not_full(there: Scene) -> None:
    there.api.clock = ManualClock(NOON - 2 * HOUR)
    there.happen("old")
    there.api.clock = there.clock
    there.happen(*"abcdefg")
    async with there.running(lookback="1h"):
        assert there.store.uuids == list("abcdefg")
        assert len(there.api.calls) == 3
        assert "since=2026-01-01T11%3A00%3A00.000Z" in there.api.calls[0]


async def test_polls_start_at_each_interval_however_long_a_poll_takes(there: Scene) -> None:
    async with there.running(poll="60s"):
        there.happen("a")
        await there.clock.advance(59)
        assert there.store.uuids == []
        await there.clock.advance(1)
        assert there.store.uuids == ["a"]
        assert there.clock.waits == [60]


async def test_polling_resumes_at_the_stored_cursor_after_a_restart(there: Scene) -> None:
    there.happen("a", "b")
    async with there.running():
        pass
    there.happen("c")
    there.api.calls.clear()
    async with there.running():
        assert there.store.uuids == ["a", "b", "c"]
        assert [call.partition("?")[0] for call in there.api.calls] == [f"{URL}/api/v1/logs"]
        assert "after=2" in there.api.calls[0]
        assert there.store.duplicates == 0


@pytest.mark.long
async def test_a_store_that_is_full_blocks_the_reader_and_nothing_is_read_twice(
    there: Scene, logged: list[EventDict]
) -> None:
    there.happen(*"abcd")
    there.store.failure = StoreFullError("no room")
    async with there.running() as reader:
        await there.clock.advance(20)
        assert len(there.api.calls) == 1
        assert there.store.cursors == {}
        assert reader.state.error == "no room"
        tries = there.store.pages
        assert len(tries) > 2
        assert all(page is tries[0] for page in tries)
        there.store.failure = None
        await there.clock.advance(60)
        assert there.store.uuids == list("abcd")
        assert reader.state.error is None
    assert actions(logged) == ["reconcile_failed", "reconcile_recovered"]


@pytest.mark.parametrize("fault", ["limited", "broken", "timeout", "forbidden"])
async def test_an_error_of_okta_is_logged_once_and_retried_with_backoff(
    there: Scene, logged: list[EventDict], fault: str
) -> None:
    there.happen("a")
    there.api.faults.extend([fault] * 9)
    waits = []
    async with there.running() as reader:
        while there.api.faults:
            waits += there.clock.waits
            await there.clock.advance(there.clock.waits[0])
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
        assert reader.state.error is not None
        await there.clock.advance(60)
        assert there.store.uuids == ["a"]
        assert reader.state.error is None
    assert actions(logged) == ["reconcile_failed", "reconcile_recovered"]
    assert actions(logged, "error") == (["reconcile_failed"] if fault == "forbidden" else [])


async def test_an_expired_cursor_rewinds_in_time(there: Scene, logged: list[EventDict]) -> None:
    there.happen("a")
    async with there.running() as reader:
        there.happen("b")
        there.happen("late", ago=7200)
        there.api.faults.extend(["gone", "broken", None])
        await there.clock.advance(120)
        assert there.store.uuids == ["a", "b", "late"]
        since = there.api.calls[-2]
        assert "since=2026-01-01T11%3A00%3A00.000Z" in since
        assert reader.state.restarts == 1
        there.happen("c")
        await there.clock.advance(60)
        assert there.store.uuids[-1] == "c"
    assert actions(logged).count("reconcile_restarted") == 1
    assert there.cursor.newest == NOON + 120 * SECOND


async def test_a_refusal_of_the_credentials_with_status_400_does_not_lose_the_cursor(
    there: Scene, logged: list[EventDict]
) -> None:
    there.happen("a")
    async with there.running() as reader:
        there.happen("b")
        there.api.faults.extend(["clock", "clock", None])
        await there.clock.advance(120)
        assert there.store.uuids == ["a", "b"]
        assert reader.state.restarts == 0
    assert actions(logged) == ["reconcile_failed", "reconcile_recovered"]


async def test_a_clock_that_is_a_year_ahead_at_the_first_start_hides_no_event(
    there: Scene, logged: list[EventDict]
) -> None:
    year = 365 * 86_400
    there.api.behind = year * SECOND
    there.happen("before", ago=year + 600)
    async with there.running() as reader:
        assert there.store.uuids == ["before"]
        there.happen("a", ago=year)
        await there.clock.advance(60)
        assert there.store.uuids == ["before", "a"]
        assert reader.state.restarts == 1
    assert there.cursor.newest == NOON - year * SECOND
    assert [line["since"] for line in logged if line["action"] == "reconcile_restarted"] == ["2025-01-01T11:00:00Z"]


async def test_a_clock_that_is_a_second_ahead_restarts_nothing(there: Scene) -> None:
    there.api.behind = SECOND
    async with there.running(lookback="1s") as reader:
        there.happen("a")
        await there.clock.advance(60)
        assert there.store.uuids == ["a"]
        assert reader.state.restarts == 0


async def test_an_event_from_the_future_hides_nothing_when_the_cursor_is_lost(there: Scene) -> None:
    there.happen("future", ago=-86_400)
    async with there.running():
        assert there.cursor.newest == NOON
        there.happen("a")
        there.api.faults.append("gone")
        await there.clock.advance(60)
        assert there.store.uuids == ["future", "a"]


@pytest.mark.parametrize("behind", [None, 0])
@pytest.mark.parametrize("link", ["", f"{URL}/api/v1/logs?since=2027-01-01T12%3A00%3A00.000Z&limit=3&after=0"])
async def test_a_stored_cursor_in_the_future_hides_no_event(
    there: Scene, logged: list[EventDict], link: str, behind: int | None
) -> None:
    there.api.behind = behind
    year = NOON + 365 * 86_400 * SECOND
    there.store.cursors["log:acme"] = json.dumps({"next": link, "polled": year, "newest": year})
    there.happen("a", ago=600)
    async with there.running(lookback="1h") as reader:
        assert there.store.uuids == ["a"]
        assert "since=2026-01-01T11%3A00%3A00.000Z" in there.api.calls[-1]
        assert there.cursor.complete_until == NOON
        there.api.faults.extend(["timeout"] * 9)
        await there.clock.advance(60)
        assert reader.lag() == 60
    assert [line["since"] for line in logged if line["action"] == "reconcile_restarted"] == ["2026-01-01T11:00:00Z"]


async def test_an_event_from_the_future_restarts_nothing_though_our_clock_is_minutes_ahead(there: Scene) -> None:
    there.api.behind = 300 * SECOND
    there.happen("future", ago=-86_400)
    there.happen(*"abcdef", ago=600)
    async with there.running() as reader:
        await there.clock.advance(60)
        assert there.store.uuids == ["future", *"abcdef"]
        assert reader.state.restarts == 0


async def test_a_log_that_cannot_be_read_is_behind_although_the_clock_was_ahead_at_the_last_poll(there: Scene) -> None:
    stored = {"next": f"{URL}/api/v1/logs?after=0", "polled": NOON + HOUR, "newest": NOON - HOUR}
    there.store.cursors["log:acme"] = json.dumps(stored)
    there.api.faults.extend(["timeout"] * 9)
    async with there.running() as reader:
        await there.clock.advance(60)
        assert reader.lag() == 60


async def test_a_cursor_of_another_url_is_never_requested(there: Scene, logged: list[EventDict]) -> None:
    stored = {"next": "https://old.okta.com/api/v1/logs?after=9", "polled": NOON, "newest": NOON - HOUR}
    there.store.cursors["log:acme"] = json.dumps(stored)
    there.happen("a")
    async with there.running():
        assert not any("old.okta.com" in call for call in there.api.calls)
        assert "since=2026-01-01T10%3A00%3A00.000Z" in there.api.calls[0]
        assert there.store.uuids == ["a"]
        assert there.cursor.next_link.startswith(URL)
    assert actions(logged) == ["reconcile_restarted"]


async def test_a_renamed_org_is_read_on_from_its_cursor_and_the_new_name_is_logged_once(
    there: Scene, logged: list[EventDict]
) -> None:
    async with there.running():
        there.happen("a")
        await there.clock.advance(60)
    there.happen("b")
    await there.clock.advance(5 * 3600)  # longer than `lookback`
    reader = there.renamed()
    await reader.poll()
    await reader.poll()
    await there.renamed().poll()
    assert [(stored.event.org, stored.event.uuid) for stored in there.store.events] == [("acme", "a"), ("emea", "b")]
    assert actions(logged, "warning") == ["org_renamed"]


async def test_the_cursor_of_another_configured_org_is_not_taken_over(there: Scene) -> None:
    async with there.running():
        there.happen("a")
        await there.clock.advance(60)
    await there.renamed("acme").poll()
    assert there.store.uuids == ["a", "a"]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"next": 7}'])
async def test_an_unreadable_cursor_rewinds_by_a_day(there: Scene, text: str) -> None:
    assert FULL_REWIND > REWIND
    there.store.cursors["log:acme"] = text
    async with there.running():
        assert "since=2025-12-31T12%3A00%3A00.000Z" in there.api.calls[0]
        assert there.cursor.polled_until == NOON


@pytest.mark.long
async def test_an_event_that_the_hook_did_not_deliver_is_missed_within_two_polls_after_the_grace(there: Scene) -> None:
    async with there.running(poll="60s", grace="5m") as reader:
        await there.clock.advance(301)
        there.happen("missed", hooks=["who1", HOOK])
        there.happen("foreign", hooks=["who1"])
        there.happen("unhooked")
        there.happen("delivered", hooks=[HOOK])
        await there.clock.advance(150)
        await there.deliver("delivered", ago=150)
        await there.clock.advance(150)
        assert there.store.missed == {}
        await there.clock.advance(120)
        assert list(there.store.missed) == [("acme", "missed")]
        assert reader.state.missed == 1
        assert there.sample("events_missed_total") == 1


@pytest.mark.long
async def test_an_event_that_the_hook_delivered_first_is_not_pending(there: Scene) -> None:
    async with there.running():
        await there.deliver("a")
        there.happen("a", hooks=[HOOK])
        await there.clock.advance(1200)
        assert there.store.missed == {}
        assert there.sample("events_duplicate_total", via="log") == 1


@pytest.mark.long
async def test_the_grace_period_restarts_with_the_process_and_after_a_store_error(there: Scene) -> None:
    there.happen("a", hooks=[HOOK])
    async with there.running(grace="5m"):
        await there.clock.advance(120)
    await there.clock.advance(3600)
    async with there.running(grace="5m"):
        await there.clock.advance(240)
        assert there.store.missed == {}
        there.store.failure = StoreFullError("no room")
        await there.clock.advance(120)
        there.store.failure = None
        await there.clock.advance(240)
        assert there.store.missed == {}
        await there.clock.advance(240)
        assert list(there.store.missed) == [("acme", "a")]


async def test_nothing_is_missed_while_the_log_is_not_read_to_its_end(there: Scene) -> None:
    there.happen("a", hooks=[HOOK])
    async with there.running(poll="60s", grace="2m"):
        await there.clock.advance(60)
        there.api.faults.extend(["broken"] * 8)
        await there.clock.advance(180)
        assert there.api.faults
        assert there.store.missed == {}
        await there.clock.advance(120)
        assert list(there.store.missed) == [("acme", "a")]


async def test_while_the_hook_id_is_unknown_the_last_known_one_counts(there: Scene) -> None:
    async with there.running():
        pass
    there.hook = None
    async with there.running():
        there.happen("a", hooks=[HOOK])
        await there.clock.advance(60)
        assert list(there.store.pending) == [("acme", "a")]
        there.hook = "who3p0a3y5uKucF8I0g8"
        there.happen("b", hooks=[HOOK])
        await there.clock.advance(60)
        assert list(there.store.pending) == [("acme", "a")]


async def test_a_hook_created_since_the_last_check_is_looked_up_when_an_event_targets_one(there: Scene) -> None:
    there.hook, there.made = None, HOOK
    async with there.running():
        there.happen("before")
        await there.clock.advance(60)
        assert there.looks == 0
        there.happen("its first", hooks=[HOOK])
        there.happen("unhooked")
        await there.clock.advance(60)
        there.happen("its second", hooks=[HOOK])
        await there.clock.advance(60)
    assert there.looks == 1
    assert list(there.store.pending) == [("acme", "its first"), ("acme", "its second")]


@pytest.mark.long
async def test_every_series_starts_at_0_and_counts_the_events_of_the_log(there: Scene) -> None:
    there.reader()
    assert there.sample("events_missed_total") == 0
    assert there.sample("events_duplicate_total", via="log") == 0
    there.happen("a", "b", ago=5)
    there.happen("c", eventType="made.up.by.okta")
    there.api.store(b"7")
    async with there.running():
        pass
    assert there.sample("events_received_total", via="log", event_type="user.session.start") == 2
    assert there.sample("events_received_total", via="log", event_type="other") == 1
    assert there.sample("receive_lag_seconds_sum", via="log") == 10
    assert there.sample("events_rejected_total") == 1
    assert [reject.body for reject in there.store.malformed] == [b"7"]


async def test_the_lag_is_the_age_of_the_last_time_known_to_be_complete(there: Scene) -> None:
    there.happen(*"abc", ago=600)
    there.api.faults.extend([None, *["broken"] * 20])
    async with there.running() as reader:
        assert there.sample("reconcile_lag_seconds") == 600
        await there.clock.advance(60)
        assert there.sample("reconcile_lag_seconds") == 660
        assert reader.state.last_poll is None
        there.api.faults.clear()
        await there.clock.advance(60)
        assert reader.state.last_poll is not None
        assert reader.lag() == (there.clock.now() - reader.state.last_poll) / SECOND < 60


async def test_after_a_start_the_lag_counts_from_the_stored_cursor(there: Scene) -> None:
    async with there.running():
        pass
    await there.clock.advance(3600)
    there.api.faults.extend(["broken"] * 20)
    async with there.running():
        assert there.sample("reconcile_lag_seconds") == 3600


async def test_failed_deliveries_and_the_quota_are_logged_without_a_line_for_each(
    there: Scene, logged: list[EventDict]
) -> None:
    quota = {"debugData": {"operationRateLimitType": "event_hook_delivery"}}
    other = {"debugData": {"operationRateLimitType": "web_request"}}
    limit = "system.operation.rate_limit"
    reason = {"result": "FAILURE", "reason": "timed out"}
    async with there.running(poll="10s") as reader:
        there.happen("a", "b", eventType="event_hook.delivery", outcome=reason)
        there.happen("c", eventType=f"{limit}.warning", displayMessage="70 %", debugContext=quota)
        there.happen("d", eventType=f"{limit}.violation", debugContext=other)
        await there.clock.advance(10)
        there.happen("e", eventType="event_hook.delivery", debugContext="odd")
        await there.clock.advance(20)
        assert actions(logged, "warning") == ["hook_quota", "hook_delivery_failed"]
        assert (logged[-1]["failures"], logged[-1]["last_reason"]) == (2, "timed out")
        await there.clock.advance(60)
        assert actions(logged, "warning")[2:] == ["hook_delivery_failed"]
        assert reader.hook_warnings.failures == 3
        assert reader.hook_warnings.quota == f"{limit}.warning: 70 %"


async def test_a_page_that_links_to_itself_is_not_followed_without_end_and_loses_nothing(
    there: Scene, logged: list[EventDict]
) -> None:
    async with there.running() as reader:
        there.happen(*"abcdefgh")
        there.api.faults.extend([None, "circle"])
        await there.clock.advance(60)
        calls = len(there.api.calls)
        assert actions(logged, "warning") == ["reconcile_restarted", "reconcile_failed"]
        assert reader.state.error is not None
        assert "links to a page that was read before" in reader.state.error
        await there.clock.advance(1)
        assert len(there.api.calls) > calls
        assert reader.state.error is None
    assert there.store.uuids == list("abcdefgh")


@pytest.mark.parametrize("fault", ["circle", "back"], ids=["one page", "two pages"])
async def test_a_circle_of_short_pages_is_noticed_and_the_log_is_read_on(
    there: Scene, logged: list[EventDict], fault: str
) -> None:
    async with there.running(poll="10s") as reader:
        there.happen("a")
        await there.clock.advance(10)
        there.happen("b")
        there.api.faults.append(fault)
        await there.clock.advance(10)
        assert actions(logged, "warning") == ["reconcile_restarted", "reconcile_failed"]
        assert "links to a page that was read before" in next(line["why"] for line in logged if "why" in line)
        there.happen("c")
        await there.clock.advance(10)
        assert reader.state.error is None
    assert there.store.uuids == ["a", "b", "c"]


@pytest.mark.long
async def test_a_server_that_always_links_to_itself_is_asked_ever_less_often(there: Scene) -> None:
    there.api.faults.extend(["circle"] * 1000)
    async with there.running():
        there.happen(*"abcdefgh")
        await there.clock.advance(3600)
    assert len(there.api.calls) < 150


async def test_an_event_that_is_too_large_does_not_stop_the_log_and_is_counted_as_malformed(
    there: Scene, logged: list[EventDict]
) -> None:
    there.api.max_bytes = 1500
    there.happen("a", "b")
    there.happen("large", displayMessage="x" * 2000)
    there.happen("c", "d", "e", "f")
    async with there.running() as reader:
        assert there.store.uuids == ["a", "b", "c", "d", "e", "f"]
        assert reader.state.error is None
        there.happen("g")
        await there.clock.advance(60)
        assert there.store.uuids[-1] == "g"
    assert there.sample("events_rejected_total") == 1
    assert actions(logged, "warning") == ["event_too_large"]


async def test_only_failed_deliveries_to_our_hook_count(there: Scene) -> None:
    def target(hook_id: str) -> list[dict[str, str]]:
        return [{"id": hook_id, "type": "EventHook", "displayName": "a hook"}]

    async with there.running(poll="10s") as reader:
        there.happen("a", "b", eventType="event_hook.delivery", target=target("who1another2hook"))
        there.happen("c", eventType="event_hook.delivery", target=target(HOOK))
        there.happen("d", eventType="event_hook.delivery", target=[{"id": "x", "type": "User"}])
        await there.clock.advance(10)
        assert reader.hook_warnings.failures == 2
        assert reader.hook_warnings.failed_at == NOON


async def test_without_a_hook_of_ours_no_failed_delivery_counts(there: Scene) -> None:
    there.hook = None
    async with there.running(poll="10s") as reader:
        there.happen("a", eventType="event_hook.delivery")
        await there.clock.advance(10)
        assert reader.hook_warnings.failures == 0
