from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from forwarder.core.errors import OktaError, OktaRefusedError, OktaUnreachableError, StoreFullError
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.okta.settings import ReconcileSettings
from forwarder.okta.system_log.backfill import PAUSE, Backfill, BackfillPlan, BackfillProgress, BackfillRequest, backlog
from forwarder.okta.system_log.pages import SystemLog
from forwarder.okta.system_log.reconcile import Reconciler
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.okta_log import HOOK, URL, LogApi, event
from tests.fakes.store import MemoryStore

SECOND = 1_000_000
HOUR = 3600 * SECOND


@dataclass
class Scene:
    """An org's log, a store, and a backfill from the log into the store.

    Attributes:
        reasons: why the next pages must wait.
        reports: everything that was reported.
        calls_per_minute: our share of Okta's rate limit.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    store: MemoryStore = field(default_factory=MemoryStore)
    metrics: Metrics = field(default_factory=Metrics)
    reasons: list[str] = field(default_factory=list)
    reports: list[BackfillPlan | BackfillProgress] = field(default_factory=list)
    calls_per_minute: int | None = None

    def __post_init__(self) -> None:
        self.api = LogApi(self.clock)
        self.log = SystemLog("acme", URL, self.api, self.clock, limit=3)
        self.task = self.backfill(self.log)

    def backfill(self, log: SystemLog, clock: ManualClock | None = None) -> Backfill:
        clock = clock or self.clock
        return Backfill(log, self.store, clock, self.metrics, self.should_wait, lambda: self.calls_per_minute)

    async def should_wait(self) -> str | None:
        return self.reasons.pop(0) if self.reasons else None

    def happened(self, *uuids: str, at: Micros, apart: Micros = SECOND) -> None:
        """Put events into the log that were stored long ago, the first one at `at`."""
        self.api.store(*(event(uuid, at + n * apart, hooks=[HOOK]) for n, uuid in enumerate(uuids)))

    async def fetch(self, since: Micros, until: Micros, task: Backfill | None = None) -> BackfillProgress:
        request = BackfillRequest("acme", since, until, 0.5)
        return await (task or self.task).run(request, self.reports.append)

    @property
    def waits(self) -> list[str | None]:
        """Return the reasons to wait in the reported progress."""
        return [report.waits for report in self.reports if isinstance(report, BackfillProgress)]

    async def plan(self, since: Micros, until: Micros, task: Backfill | None = None) -> BackfillPlan:
        """Return the plan of a backfill that starts now."""
        reports: list[BackfillPlan | BackfillProgress] = []
        request = BackfillRequest("acme", since, until, 0.5, dry_run=True)
        await (task or self.task).run(request, reports.append)
        (plan,) = reports
        assert isinstance(plan, BackfillPlan)
        return plan

    async def remaining(self, since: Micros, until: Micros) -> tuple[Micros, Micros]:
        plan = await self.plan(since, until)
        return plan.since, plan.until

    @property
    def uuids(self) -> Sequence[str]:
        return [stored.event.uuid for stored in self.store.events]


@pytest.fixture
def there() -> Scene:
    return Scene()


async def test_exactly_the_requested_time_range_is_fetched(there: Scene) -> None:
    there.happened("before", at=NOON - 3 * HOUR)
    there.happened(*"abcdefg", at=NOON - 2 * HOUR)
    there.happened("after", at=NOON - HOUR)
    done = await there.fetch(NOON - 2 * HOUR, NOON - HOUR)
    assert there.uuids == list("abcdefg")
    assert done == BackfillProgress(NOON - HOUR, read=7, new=7)
    reports = [report for report in there.reports if isinstance(report, BackfillProgress)]
    assert [progress.read for progress in reports] == [3, 6, 7]
    assert reports[0].reached == NOON - 2 * HOUR + 2 * SECOND


async def test_known_events_are_not_stored_again(there: Scene) -> None:
    there.happened(*"abcd", at=NOON - 2 * HOUR)
    await there.fetch(NOON - 3 * HOUR, NOON)
    done = await there.fetch(NOON - 3 * HOUR, NOON)
    assert (done.read, done.new) == (4, 0)
    assert there.uuids == list("abcd")


@pytest.mark.long
@pytest.mark.parametrize("fault", ["broken", "timeout", "limited"])
async def test_an_interrupted_backfill_resumes(there: Scene, fault: str) -> None:
    there.happened(*"abcdefgh", at=NOON - 2 * HOUR)
    there.api.faults.extend([None, None, None, fault])
    with pytest.raises((OktaRefusedError, OktaUnreachableError)):
        await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdef")
    rest = await there.remaining(NOON - 3 * HOUR, NOON)
    assert rest == (NOON - 2 * HOUR + 5 * SECOND, NOON)
    again = await there.remaining(NOON - 3 * HOUR + 60 * SECOND, NOON - SECOND)
    assert again == (rest[0], NOON - SECOND)
    done = await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdefgh")
    assert done.new == 2
    assert there.store.duplicates == 1


async def test_a_backfill_that_is_interrupted_twice_still_knows_its_start(there: Scene) -> None:
    there.happened(*"abcdefghijkl", at=NOON - 2 * HOUR)
    for _ in range(2):
        there.api.faults.extend([None, None, "broken"])
        with pytest.raises(OktaRefusedError):
            await there.fetch(NOON - 3 * HOUR, NOON)
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdefghijkl")
    assert there.store.duplicates == 2


@pytest.mark.parametrize("earlier", [True, False])
async def test_another_range_than_the_interrupted_one_is_fetched_from_its_start(there: Scene, *, earlier: bool) -> None:
    there.happened(*"abcd", at=NOON - 2 * HOUR)
    there.api.faults.extend([None, None, "broken"])
    with pytest.raises(OktaRefusedError):
        await there.fetch(NOON - 3 * HOUR, NOON)
    since = NOON - 4 * HOUR if earlier else NOON - HOUR
    assert await there.remaining(since, NOON) == (since, NOON)


async def test_the_checkpoint_does_not_advance_past_an_unstored_page(there: Scene) -> None:
    there.happened(*"abcd", at=NOON - 2 * HOUR)
    there.store.failure = StoreFullError("no room")
    with pytest.raises(StoreFullError):
        await there.fetch(NOON - 3 * HOUR, NOON)
    there.store.failure = None
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcd")


async def test_an_expired_link_loses_nothing(there: Scene) -> None:
    there.happened(*"abcdefgh", at=NOON - 2 * HOUR, apart=0)
    there.happened(*"ijkl", at=NOON - HOUR)
    there.api.faults.extend([None, None, None, None, "gone"])
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdefghijkl")


class RushingClock(ManualClock):
    """A clock on which a sleep ends at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self._elapsed += seconds


@pytest.mark.long
async def test_a_backfill_waits_while_the_sinks_are_behind(there: Scene) -> None:
    there.happened("a", at=NOON - 2 * HOUR)
    there.reasons = ["9 wait", "8 wait"]
    clock = RushingClock()
    task = there.backfill(there.log, clock)
    await there.fetch(NOON - 3 * HOUR, NOON, task)
    assert there.waits == ["9 wait", "8 wait", None]
    assert clock.pauses == [PAUSE, PAUSE]
    assert there.uuids == ["a"]


def test_more_than_50_000_waiting_events_of_a_sink_are_a_backlog() -> None:
    assert backlog({}) is None
    assert backlog({"archive": 50_000}) is None
    assert backlog({"archive": 3, "siem": 50_001}) == "50,001 events wait for the sink siem"


async def test_a_backfill_uses_its_fraction_of_the_rate_limit_and_waits_for_the_next_minute(there: Scene) -> None:
    there.happened(*"abcdefghi", at=NOON - 2 * HOUR)
    there.calls_per_minute = 5
    clock = RushingClock()
    task = there.backfill(there.log, clock)
    await there.fetch(NOON - 3 * HOUR, NOON, task)
    assert there.waits[:3] == [None, None, "the share of Okta's rate limit is used up for this minute"]
    assert there.waits[-1] is None
    assert sum(clock.pauses) == 60
    assert there.uuids == list("abcdefghi")


async def test_the_plan_says_what_is_left_and_a_dry_run_fetches_nothing(there: Scene) -> None:
    there.happened(*"abcd", at=NOON - 2 * HOUR)
    there.calls_per_minute = 300
    plan = await there.plan(NOON - 3 * HOUR, NOON)
    assert (plan.since, plan.until) == (NOON - 3 * HOUR, NOON)
    assert (plan.polled_until, plan.began) == (None, NOON - 3 * HOUR)
    assert (plan.events > 0, plan.calls_per_minute, there.store.events) == (True, 150, [])


async def test_backfilled_events_are_counted_without_their_lag(there: Scene) -> None:
    there.happened(*"abcd", at=NOON - 2 * HOUR)
    for _ in range(2):
        await there.fetch(NOON - 3 * HOUR, NOON)
    labels = {"org": "acme", "via": "log"}
    sample = there.metrics.registry.get_sample_value
    typed = labels | {"event_type": "user.session.start"}
    assert sample("forwarder_events_received_total", typed) == 4
    assert sample("forwarder_events_duplicate_total", labels) == 4
    assert sample("forwarder_receive_lag_seconds_count", labels) == 0


async def test_no_backfilled_event_becomes_pending(there: Scene) -> None:
    there.happened("a", at=NOON - 2 * HOUR)
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.store.pending == {}


async def test_a_backfill_ends_where_polling_fetches_the_events(there: Scene) -> None:
    assert (await there.plan(NOON - HOUR, NOON + HOUR)).polled_until is None
    there.store.cursors["log:acme"] = "no cursor"
    assert (await there.plan(NOON - HOUR, NOON + HOUR)).polled_until is None
    settings = ReconcileSettings()
    del there.store.cursors["log:acme"]
    await Reconciler(there.log, there.store, settings, None, Metrics(), there.clock).poll()
    plan = await there.plan(NOON - HOUR, NOON + HOUR)
    assert (plan.since, plan.until, plan.polled_until) == (NOON - HOUR, NOON, NOON)
    plan = await there.plan(NOON + HOUR // 2, NOON + HOUR)
    assert (plan.until <= plan.since, plan.events) == (True, 0)


async def test_an_unreadable_checkpoint_is_ignored(there: Scene) -> None:
    there.store.cursors["backfill:acme"] = "{"
    assert await there.remaining(1, 2) == (1, 2)


@pytest.mark.long
async def test_the_estimate_is_right_if_events_come_evenly(there: Scene) -> None:
    there.happened(*(f"u{n}" for n in range(1000)), at=NOON - HOUR, apart=HOUR // 1000)
    task = there.backfill(SystemLog("acme", URL, there.api, there.clock, limit=20))
    plan = await there.plan(NOON - HOUR, NOON, task)
    assert plan.events == pytest.approx(1000, rel=0.1)
    assert len(there.api.calls) == 1
    assert (await there.plan(NOON - 9 * HOUR, NOON, task)).events == pytest.approx(1000, rel=0.1)
    assert (await there.plan(NOON - 9 * HOUR, NOON - 8 * HOUR, task)).events == 0
    assert (await there.plan(NOON - 2 * HOUR, NOON - HOUR + 4 * HOUR // 1000, task)).events == 4
    assert there.store.events == []


async def test_a_page_that_links_to_itself_is_not_followed_without_end(there: Scene) -> None:
    there.happened(*"abcdefgh", at=NOON - 2 * HOUR)
    there.api.faults.extend([None, None, "circle", "circle"])
    with pytest.raises(OktaError, match="links to a page that was read before"):
        await there.fetch(NOON - 3 * HOUR, NOON)
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdefgh")


async def test_the_events_after_an_empty_page_are_fetched(there: Scene) -> None:
    there.happened(*"abcdefgh", at=NOON - 2 * HOUR)
    there.api.faults.extend([None, "empty", None, "empty", "empty"])
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdefgh")


async def test_an_empty_page_that_links_to_itself_is_the_end(there: Scene) -> None:
    there.happened(*"abcd", at=NOON - 2 * HOUR)
    there.api.faults.extend([None, None, "idle", "idle"])
    progress = await there.fetch(NOON - 3 * HOUR, NOON)
    assert (progress.reached, progress.read) == (NOON, 3)


async def test_empty_pages_without_end_end_with_an_error_and_the_backfill_resumes(there: Scene) -> None:
    there.happened(*"abcdefgh", at=NOON - 2 * HOUR)
    there.api.faults.extend([None, None, *["empty"] * 200])
    with pytest.raises(OktaError, match="empty pages one after the other"):
        await there.fetch(NOON - 3 * HOUR, NOON)
    assert len(there.api.calls) < 150
    there.api.faults.clear()
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdefgh")


@pytest.mark.parametrize("place", [0, 2, 4])
async def test_an_event_that_is_too_large_does_not_end_the_backfill(there: Scene, place: int) -> None:
    there.api.max_bytes = 1500
    uuids = ["a", "b", "c", "d"]
    for n, uuid in enumerate([*uuids[:place], "large", *uuids[place:]]):
        more = {"displayMessage": "x" * 2000} if uuid == "large" else {}
        there.api.store(event(uuid, NOON - HOUR + n * SECOND, **more))
    progress = await there.fetch(NOON - 2 * HOUR, NOON)
    assert list(there.uuids) == uuids
    assert (progress.reached, progress.read, progress.malformed) == (NOON, 4, 1)


async def test_an_event_from_after_the_range_hides_nothing_when_the_backfill_resumes(there: Scene) -> None:
    there.happened(*"abcdefgh", at=NOON - 2 * HOUR)
    there.api.faults.extend([None, "future", "timeout"])
    with pytest.raises(OktaUnreachableError):
        await there.fetch(NOON - 3 * HOUR, NOON)
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert set(there.uuids) == {*"abcdefgh", "future"}
