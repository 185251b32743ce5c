from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from forwarder.core.errors import OktaRefusedError, OktaUnreachableError, StoreFullError
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.okta.settings import ReconcileSettings
from forwarder.okta.system_log.backfill import PAUSE, Backfill, Progress, Span
from forwarder.okta.system_log.pages import SystemLog
from forwarder.okta.system_log.reconcile import Reconciler
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.okta_log import HOOK, URL, LogApi, event
from tests.fakes.store import MemoryStore

SECOND = 1_000_000
HOUR = 3600 * SECOND


@dataclass
class Scene:
    """An org's log, a store, and what fetches spans from the one into the other.

    Attributes:
        holds: why the next looks whether to go on say no.
        told: every progress that was told.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    store: MemoryStore = field(default_factory=MemoryStore)
    holds: list[str] = field(default_factory=list)
    told: list[Progress] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = LogApi(self.clock)
        self.log = SystemLog("acme", URL, self.api, self.clock, limit=3)
        self.task = Backfill(self.log, self.store, self.clock, self.hold)

    async def hold(self) -> str | None:
        return self.holds.pop(0) if self.holds else None

    def happened(self, *uuids: str, at: Micros, apart: Micros = SECOND) -> None:
        """Let events be in the log since long, the first one from `at`."""
        self.api.store(*(event(uuid, at + n * apart, hooks=[HOOK]) for n, uuid in enumerate(uuids)))

    async def fetch(self, since: Micros, until: Micros) -> Progress:
        return await self.task.run(await self.task.rest(Span(since, until)), self.told.append)

    @property
    def uuids(self) -> Sequence[str]:
        return [stored.event.uuid for stored in self.store.events]


@pytest.fixture
def there() -> Scene:
    return Scene()


async def test_a_span_is_fetched_whole_and_nothing_beside_it(there: Scene) -> None:
    there.happened("before", at=NOON - 3 * HOUR)
    there.happened(*"abcdefg", at=NOON - 2 * HOUR)
    there.happened("after", at=NOON - HOUR)
    done = await there.fetch(NOON - 2 * HOUR, NOON - HOUR)
    assert there.uuids == list("abcdefg")
    assert done == Progress(NOON - HOUR, read=7, new=7)
    assert [progress.read for progress in there.told] == [3, 6, 7]
    assert there.told[0].reached == NOON - 2 * HOUR + 2 * SECOND


async def test_what_the_store_knows_comes_no_second_time(there: Scene) -> None:
    there.happened(*"abcd", at=NOON - 2 * HOUR)
    await there.fetch(NOON - 3 * HOUR, NOON)
    done = await there.fetch(NOON - 3 * HOUR, NOON)
    assert (done.read, done.new) == (4, 0)
    assert there.uuids == list("abcd")


@pytest.mark.parametrize("fault", ["broken", "timeout", "limited"])
async def test_one_that_was_stopped_goes_on_where_it_was(there: Scene, fault: str) -> None:
    there.happened(*"abcdefgh", at=NOON - 2 * HOUR)
    there.api.faults.extend([None, None, fault])
    with pytest.raises((OktaRefusedError, OktaUnreachableError)):
        await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdef")
    rest = await there.task.rest(Span(NOON - 3 * HOUR, NOON))
    assert rest == Span(NOON - 2 * HOUR + 5 * SECOND, NOON)
    again = await there.task.rest(Span(NOON - 3 * HOUR + 60 * SECOND, NOON - SECOND))
    assert again == Span(rest.since, NOON - SECOND)
    done = await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdefgh")
    assert done.new == 2
    assert there.store.duplicates == 1


async def test_one_that_was_stopped_twice_still_knows_where_it_began(there: Scene) -> None:
    there.happened(*"abcdefghijkl", at=NOON - 2 * HOUR)
    for _ in range(2):
        there.api.faults.extend([None, "broken"])
        with pytest.raises(OktaRefusedError):
            await there.fetch(NOON - 3 * HOUR, NOON)
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdefghijkl")
    assert there.store.duplicates == 2


@pytest.mark.parametrize("earlier", [True, False])
async def test_another_span_than_the_one_that_was_stopped_is_fetched_from_its_beginning(
    there: Scene, *, earlier: bool
) -> None:
    there.happened(*"abcd", at=NOON - 2 * HOUR)
    there.api.faults.extend([None, "broken"])
    with pytest.raises(OktaRefusedError):
        await there.fetch(NOON - 3 * HOUR, NOON)
    since = NOON - 4 * HOUR if earlier else NOON - HOUR
    assert await there.task.rest(Span(since, NOON)) == Span(since, NOON)


async def test_nothing_advances_that_the_store_did_not_take(there: Scene) -> None:
    there.happened(*"abcd", at=NOON - 2 * HOUR)
    there.store.failure = StoreFullError("no room")
    with pytest.raises(StoreFullError):
        await there.fetch(NOON - 3 * HOUR, NOON)
    there.store.failure = None
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcd")


async def test_a_link_that_okta_does_not_know_any_more_loses_nothing(there: Scene) -> None:
    there.happened(*"abcdefgh", at=NOON - 2 * HOUR, apart=0)
    there.happened(*"ijkl", at=NOON - HOUR)
    there.api.faults.extend([None, None, None, "gone"])
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.uuids == list("abcdefghijkl")


async def test_it_waits_while_the_sinks_are_behind(there: Scene) -> None:
    there.happened("a", at=NOON - 2 * HOUR)
    there.holds = ["9 wait", "8 wait"]
    waits: list[float] = []
    told: list[Progress] = []

    def tell(progress: Progress) -> None:
        told.append(progress)

    class Rushing(ManualClock):
        async def sleep(self, seconds: float) -> None:
            waits.append(seconds)

    task = Backfill(there.log, there.store, Rushing(), there.hold)
    await task.run(Span(NOON - 3 * HOUR, NOON), tell)
    assert [progress.waits for progress in told] == ["9 wait", "8 wait", None]
    assert waits == [PAUSE, PAUSE]
    assert there.uuids == ["a"]


async def test_nothing_is_awaited_from_a_hook_for_what_is_fetched(there: Scene) -> None:
    there.happened("a", at=NOON - 2 * HOUR)
    await there.fetch(NOON - 3 * HOUR, NOON)
    assert there.store.awaited == {}


async def test_it_knows_how_far_the_forwarders_own_polling_is(there: Scene) -> None:
    assert await there.task.polled() is None
    there.store.cursors["log:acme"] = "no place"
    assert await there.task.polled() is None
    settings = ReconcileSettings()
    del there.store.cursors["log:acme"]
    await Reconciler(there.log, there.store, settings, None, Metrics(), there.clock).poll()
    assert await there.task.polled() == NOON


async def test_an_unreadable_mark_begins_anew(there: Scene) -> None:
    there.store.cursors["backfill:acme"] = "{"
    assert await there.task.rest(Span(1, 2)) == Span(1, 2)


async def test_the_estimate_is_right_where_events_come_evenly(there: Scene) -> None:
    there.happened(*(f"u{n}" for n in range(1000)), at=NOON - HOUR, apart=HOUR // 1000)
    log = SystemLog("acme", URL, there.api, there.clock, limit=20)
    task = Backfill(log, there.store, there.clock, there.hold)
    assert await task.estimate(Span(NOON - HOUR, NOON)) == pytest.approx(1000, rel=0.1)
    assert len(there.api.calls) == 8
    assert await task.estimate(Span(NOON - 9 * HOUR, NOON - 8 * HOUR)) == 0
    assert await task.estimate(Span(NOON - 2 * HOUR, NOON - HOUR + 4 * HOUR // 1000)) == 4
    assert there.store.events == []


async def test_the_estimate_is_of_the_right_size_where_all_happened_at_once(there: Scene) -> None:
    there.happened(*(f"u{n}" for n in range(1000)), at=NOON - 5 * SECOND, apart=2000)
    log = SystemLog("acme", URL, there.api, there.clock, limit=50)
    task = Backfill(log, there.store, there.clock, there.hold)
    assert 500 <= await task.estimate(Span(NOON - HOUR, NOON)) <= 2000
