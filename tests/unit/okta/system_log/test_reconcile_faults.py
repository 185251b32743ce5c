"""No sequence of faults loses an event, stores an event twice, or moves the cursor ahead of the stored pages."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.errors import OktaError, StoreError, StoreFullError, StoreTimeoutError, StoreTooSmallError
from forwarder.core.ports import Appended, Batch
from forwarder.metrics import Metrics
from forwarder.okta.settings import ReconcileSettings
from forwarder.okta.system_log.pages import SystemLog
from forwarder.okta.system_log.reconcile import Reconciler
from tests.examples import examples
from tests.fakes.clock import ManualClock
from tests.fakes.okta_log import HOOK, REFUSALS, URL, LogApi, event
from tests.fakes.store import MemoryStore

SECOND = 1_000_000


class OurHook:
    """As `HookIdSource`."""

    def hook_id(self) -> str | None:
        return HOOK

    async def check(self) -> None:
        return


class RushingClock(ManualClock):
    """A clock on which a sleep ends at once."""

    async def sleep(self, seconds: float) -> None:
        self._elapsed += seconds
        await asyncio.sleep(0)


class FaultyStore(MemoryStore):
    """A store in which the append of a page can fail.

    Attributes:
        faults: the faults of the next appends, in order: `full`, `small` (too small for the batch), `late` (committed, but the
            caller hears of a timeout), `lost` (a timeout, and nothing was committed), or None.
    """

    def __init__(self, api: LogApi) -> None:
        super().__init__()
        self.faults: list[str | None] = []
        self._api = api

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        fault = self.faults.pop(0) if self.faults else None
        if fault == "full":
            raise StoreFullError("no room")
        if fault == "small":
            raise StoreTooSmallError("no room for so much")
        if fault == "lost":
            raise StoreTimeoutError("not committed in time")
        appended = await super().append(batch, timeout=timeout)
        if batch.cursor is not None:  # else it is a part of a page, and not the last one
            self._check_cursor(batch.cursor[1])
        if fault == "late":
            raise StoreTimeoutError("not committed in time; it may still be")
        return appended

    def _check_cursor(self, cursor: str) -> None:
        """Check that all events before the cursor are stored."""
        after = int(parse_qs(urlsplit(json.loads(cursor)["next"]).query)["after"][0])
        passed = {json.loads(stored.body)["uuid"] for stored in self._api.log[:after]}
        assert passed <= {stored.event.uuid for stored in self.events}


happenings = st.tuples(
    st.just("happen"),
    # By how many seconds each event is stored after it happened: some come very late.
    st.lists(st.sampled_from([0, 1, 30, 3000, 40_000]), min_size=1, max_size=9),
)
steps = st.one_of(
    happenings,
    st.tuples(st.just("okta"), st.lists(st.sampled_from([*REFUSALS, "timeout", "repeat", None]), max_size=6)),
    st.tuples(st.just("store"), st.lists(st.sampled_from(["full", "small", "late", "lost", None]), max_size=4)),
    st.tuples(st.just("okta"), st.just(["gone"])),
    st.tuples(st.just("crash"), st.just([])),
    st.tuples(st.just("wait"), st.sampled_from([[1], [600], [90_000]])),
    st.tuples(st.just("poll"), st.just([])),
)


class Run:
    """One run of a reader through a script of faults."""

    def __init__(self) -> None:
        self.clock = RushingClock()
        self.api = LogApi(self.clock)
        self.store = FaultyStore(self.api)
        self.count = 0
        self.start()

    def start(self) -> None:
        """Start a reconciler that knows only what the store has."""
        log = SystemLog("acme", URL, self.api, self.clock, limit=3)
        reconcile = ReconcileSettings(lookback="60d")
        self.reader = Reconciler(log, self.store, reconcile, OurHook(), Metrics(), self.clock)

    async def take(self, kind: str, given: Sequence[object]) -> None:
        if kind == "happen":
            for late in given:
                assert isinstance(late, int)
                self.count += 1
                self.api.store(event(f"u{self.count}", self.clock.now() - late * SECOND))
        elif kind == "okta":
            self.api.faults.extend(given)  # type: ignore[arg-type]  # the strategy gives names
        elif kind == "store":
            self.store.faults += given  # type: ignore[arg-type]  # the strategy gives names
        elif kind == "crash":
            self.start()
        elif kind == "wait":
            await self.clock.sleep(given[0])  # type: ignore[arg-type]  # the strategy gives seconds
        else:
            await self.poll()

    async def poll(self) -> bool:
        try:
            await self.reader.poll()
        except (OktaError, StoreError):
            return False
        return True

    async def end(self) -> None:
        """Run without faults until all events are stored."""
        while not await self.poll() or self.api.faults:
            pass


@pytest.mark.long
@examples(200)
@given(script=st.lists(steps, max_size=25))
def test_no_event_is_lost_or_doubled_under_any_sequence_of_faults(script: list[tuple[str, list[object]]]) -> None:
    async def play() -> Run:
        run = Run()
        for kind, given_ in script:
            await run.take(kind, given_)
        await run.end()
        return run

    with structlog.testing.capture_logs():
        run = asyncio.run(play())
    stored = Counter(stored.event.uuid for stored in run.store.events)
    assert stored == {f"u{n + 1}": 1 for n in range(run.count)}
