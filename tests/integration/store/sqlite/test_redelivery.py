"""Events of a time range are delivered to a sink again: which ones, in what order of the ledger, and after a kill."""

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.errors import StoreError
from forwarder.core.event import Event, Source
from forwarder.core.ports import Batch, DeadLetterSelection, Settlement
from forwarder.core.time import SECOND, Micros
from forwarder.store.event_search import Search
from forwarder.store.redelivery import (
    Range,
    RedeliverRequest,
    RedeliveryCheckpoint,
    RedeliveryPlan,
    RedeliveryProgress,
    redeliver,
)
from forwarder.store.sqlite.store import SqliteStore
from tests.examples import examples
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import (
    attach,
    commands,
    delivered,
    event,
    events,
    opened,
    prune,
    rejections,
    settle,
    view,
)

ALL = Range(0, NOON + 10**12)


class Sink(ManualClock):
    """A clock whose sleeper finds, when it wakes, that the sink has taken what waited for it.

    Attributes:
        got: seqs, in the order in which the sink got them.
        rate: events handed over per second of this clock.
    """

    def __init__(self, store: SqliteStore, *, rejects: int = 0) -> None:
        super().__init__()
        self._store = store
        self._rejects = rejects
        self.got: list[int] = []

    async def sleep(self, seconds: float) -> None:
        self._elapsed += seconds
        while replays := await view(self._store).replays(limit=1000):
            seqs = [stored.seq for stored in replays]
            self.got += seqs
            bad = [seq for seq in seqs if seq == self._rejects]
            position = (await self._store.ledger()).sinks["siem"].position
            good = [seq for seq in seqs if seq not in bad]
            await settle(self._store, "siem", Settlement(position, replayed=good, dead_again=rejections(*bad)))
            assert (await self._store.ledger()).balanced


def ignore(_: RedeliveryProgress) -> None:
    """What to do about progress."""


def only(*types: str) -> Callable[[str], bool]:
    return lambda event_type: event_type in types


async def run(store: SqliteStore, clock: ManualClock, chosen: Range | None = ALL, **more: Any) -> RedeliveryProgress:
    request = RedeliverRequest("siem", chosen, more.pop("rate", 1e6))
    return await redeliver(store, clock, request, more.pop("accepts", None), more.pop("report", ignore))


async def planned(path: Path, chosen: Range, accepts: Any) -> RedeliveryPlan:
    return await asyncio.to_thread(commands(path).redelivery_plan, "siem", chosen, accepts)


def of_type(event_type: str, *, org: str = "acme", at: Micros = NOON) -> Event:
    one = event(org=org)
    return Event(org, one.uuid, event_type, NOON, at, Source.HOOK, "", one.body)


async def places(path: Path, uuid: str) -> dict[str, str]:
    found = await asyncio.to_thread(commands(path).find, Search(uuid=uuid))
    return {sink.sink: sink.place for sink in found.lives[0].sinks}


async def test_only_what_the_sink_has_finished_is_delivered_again(path: Path) -> None:
    async with opened(path) as store:
        stored = events(10)
        await store.append(Batch(stored), timeout=5)
        await settle(store, "siem", Settlement(8, delivered=5, dead=rejections(3, 4), filtered=(5,)))
        await store.discard(DeadLetterSelection(ids=(2,)))  # the second dead letter, seq 4
        plan = await planned(path, ALL, None)
        assert plan == RedeliveryPlan(6, 2, 1, 1, 0, 0, NOON)
        sink = Sink(store)
        done = await run(store, sink)
        assert done == RedeliveryProgress(6, 0)
        assert sink.got == [1, 2, 5, 6, 7, 8]
        ledger = await store.ledger()
        siem = ledger.sinks["siem"]
        assert ledger.balanced
        assert (siem.position, siem.delivered, siem.filtered, siem.dead, siem.discarded) == (8, 6, 0, 1, 1)
        assert siem.waiting == 2
        assert await places(path, stored[0].uuid) == {"siem": "delivered"}


async def test_while_it_waits_for_the_sink_an_event_is_waiting_in_the_ledger(path: Path) -> None:
    async with opened(path) as store:
        stored = events(3)
        await store.append(Batch(stored), timeout=5)
        await settle(store, "siem", delivered(3, 3))
        work = asyncio.create_task(run(store, clock := ManualClock()))
        await clock.asleep()
        ledger = await store.ledger()
        assert ledger.balanced
        assert (ledger.sinks["siem"].delivered, ledger.sinks["siem"].waiting) == (0, 3)
        assert ledger.sinks["siem"].position == 3  # new events do not wait for it
        assert await places(path, stored[0].uuid) == {"siem": "waiting"}
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def test_an_event_that_is_rejected_again_is_a_dead_letter(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(3)), timeout=5)
        await settle(store, "siem", delivered(3, 3))
        await run(store, Sink(store, rejects=2))
        ledger = await store.ledger()
        assert ledger.balanced
        assert (ledger.sinks["siem"].delivered, ledger.sinks["siem"].dead) == (2, 1)


async def test_events_of_before_a_sink_began_can_be_delivered_to_it(path: Path) -> None:
    async with opened(path, sinks=()) as store:
        await store.append(Batch(events(5)), timeout=5)
        await attach(store, {"siem": "now"})
        await store.append(Batch(events(2)), timeout=5)
        await settle(store, "siem", delivered(7, 2))
        await run(store, Sink(store))
        siem = (await store.ledger()).sinks["siem"]
        assert (siem.delivered, siem.skipped, siem.waiting) == (7, 0, 0)


async def test_what_an_older_version_settled_is_counted_all_the_same(path: Path) -> None:
    async with opened(path, sinks=()) as store:
        await store.append(Batch(events(3)), timeout=5)
        await attach(store, {"siem": "now"})
        await store.append(Batch(events(3)), timeout=5)
        await settle(store, "siem", Settlement(6, delivered=2, filtered=(5,)))
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM settlements")
        db.commit()
    async with opened(path) as store:
        sink = Sink(store)
        await run(store, sink)
        siem = (await store.ledger()).sinks["siem"]
        assert sorted(sink.got) == [1, 2, 3, 4, 5, 6]
        assert (siem.delivered, siem.skipped, siem.filtered, siem.waiting) == (6, 0, 0, 0)


async def test_a_range_is_of_the_times_of_reception_and_of_types_and_an_org(path: Path) -> None:
    def at(seconds: int) -> Micros:
        return NOON + seconds * SECOND

    async with opened(path) as store:
        stored = [
            of_type("user.session.start", at=at(0)),
            of_type("user.session.end", at=at(100)),
            of_type("user.mfa.factor.update", at=at(99)),  # commits overtake each other
            of_type("user.session.start", at=at(200)),
            of_type("user.session.start", at=at(200), org="calm"),
            of_type("user.session.start", at=at(300)),
        ]
        await store.append(Batch(stored), timeout=5)
        await settle(store, "siem", delivered(6, 6))

        async def chosen(*bounds: int, accepts: Any = None, **more: Any) -> list[int]:
            sink = Sink(store)
            wanted = Range(at(bounds[0]), at(bounds[1]), **more)
            plan = await planned(path, wanted, accepts)
            await run(store, sink, wanted, accepts=accepts)
            assert plan.events == len(sink.got)
            return sink.got

        assert await chosen(0, 100) == [1, 3]
        assert await chosen(100, 300) == [2, 4, 5]
        assert await chosen(0, 1000, types=("user.session.*",), org="acme") == [1, 2, 4, 6]
        assert await chosen(0, 1000, accepts=only("user.session.end")) == [2]
        assert await chosen(400, 1000) == []
        assert (await planned(path, ALL, only("user.session.end"))).filtered == 5


@pytest.mark.long
async def test_after_a_kill_it_goes_on_and_delivers_none_twice(path: Path) -> None:
    got: list[int] = []
    async with opened(path) as store:
        await store.append(Batch(events(450)), timeout=5)
        await settle(store, "siem", delivered(450, 450))
        sink, steps = Sink(store), 0

        def stop_in_the_middle(_: RedeliveryProgress) -> None:
            nonlocal steps
            steps += 1
            if steps == 3:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await run(store, sink, report=stop_in_the_middle)
        got += sink.got
    assert 0 < len(got) < 450
    async with opened(path) as store:
        sink = Sink(store)
        done = await run(store, sink, None)
        got += sink.got
        assert done.taken == 450
        assert sorted(got) == list(range(1, 451))
        with pytest.raises(StoreError, match="no replay to siem was interrupted"):
            await run(store, sink, None)


async def test_it_keeps_to_the_rate(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(60)), timeout=5)
        await settle(store, "siem", delivered(60, 60))
        sink = Sink(store)
        await run(store, sink, rate=20)
        assert sink.monotonic() == pytest.approx(60 / 20)


@pytest.mark.long
async def test_while_the_sink_takes_nothing_no_more_are_taken_and_it_says_so(path: Path) -> None:
    async with opened(path) as store:
        await store.append(Batch(events(1_000)), timeout=5)
        await settle(store, "siem", delivered(1_000, 1_000))
        seen: list[RedeliveryProgress] = []
        clock = ManualClock()
        work = asyncio.create_task(run(store, clock, report=seen.append))
        async with asyncio.timeout(20):
            while not seen or not seen[-1].waits:
                await clock.advance(1)
        assert seen[-1] == RedeliveryProgress(500, 500, "500 of them wait for siem")
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def test_a_plan_says_how_many_are_no_longer_held(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, retention="1h") as store:
        await store.append(Batch([event(received_at=NOON) for _ in range(4)]), timeout=5)
        await settle(store, "siem", delivered(4, 4))
        await clock.advance(7_200)
        later = NOON + 7_200 * SECOND
        await store.append(Batch([event(received_at=later) for _ in range(2)]), timeout=5)
        await settle(store, "siem", delivered(6, 2))
        await prune(store)
        plan = await planned(path, ALL, None)
        assert (plan.events, plan.gone, plan.oldest) == (2, 4, later)
        recent = Range(later, later + SECOND)
        assert (await planned(path, recent, None)).gone == 0
        sink = Sink(store)
        await run(store, sink)
        assert sink.got == [5, 6]


async def test_an_empty_store_has_nothing_to_deliver(path: Path) -> None:
    async with opened(path) as store:
        assert await planned(path, ALL, None) == RedeliveryPlan()
        assert await run(store, Sink(store)) == RedeliveryProgress(0, 0)


FATES = ("delivered", "dead", "filtered")


@pytest.mark.long
@examples(40)
@given(
    before=st.integers(0, 4),
    fates=st.lists(st.sampled_from((*FATES, "discarded")), max_size=12),
    waiting=st.integers(0, 3),
    rounds=st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 20), st.lists(st.sampled_from(FATES), min_size=20, max_size=20)),
        min_size=1,
        max_size=4,
    ),
    forgets=st.booleans(),
)
def test_whatever_is_delivered_again_the_ledger_adds_up(
    before: int, fates: list[str], waiting: int, rounds: list[tuple[int, int, list[str]]], *, forgets: bool
) -> None:
    """For any history of a sink, any ranges, and whatever becomes of the replays; also after an older version."""

    async def work(path: Path) -> None:
        async with opened(path, sinks=()) as store:
            await store.append(
                Batch([event(received_at=NOON + seq * SECOND) for seq in range(1, before + 1)]), timeout=5
            )
            await attach(store, {"siem": "now"})
            rest = range(before + 1, before + len(fates) + waiting + 1)
            await store.append(Batch([event(received_at=NOON + seq * SECOND) for seq in rest]), timeout=5)
            by_seq = dict(enumerate(fates, before + 1))
            dead = [seq for seq, fate in by_seq.items() if fate in {"dead", "discarded"}]
            filtered = [seq for seq, fate in by_seq.items() if fate == "filtered"]
            position = before + len(fates)
            count = len(fates) - len(dead) - len(filtered)
            await settle(store, "siem", Settlement(position, count, rejections(*dead), filtered=filtered))
            for letter in await store.view.dead_letters(DeadLetterSelection(sink="siem"), limit=100):
                if letter.seq is not None and by_seq[letter.seq] == "discarded":
                    await store.discard(DeadLetterSelection(ids=(letter.id,)))
        if forgets:
            with closing(sqlite3.connect(path)) as db:
                db.execute("DELETE FROM settlements")
                db.commit()
        async with opened(path) as store:
            for since, length, outcomes in rounds:
                chosen = Range(NOON + since * SECOND, NOON + (since + length) * SECOND)
                plan = await planned(path, chosen, None)
                _, last = await store.redelivery_bounds(chosen)
                seqs, _ = await store.redelivery_step(chosen, None, after=0, last=last, limit=100)
                taken = await store.redeliver("siem", seqs, RedeliveryCheckpoint(chosen, 0, last))
                assert taken == plan.events
                await _settle_as(store, position, outcomes)
                ledger = await store.ledger()
                siem = ledger.sinks["siem"]
                assert ledger.balanced
                assert min(siem.delivered, siem.skipped, siem.filtered, siem.discarded, siem.dead) >= 0
                assert (siem.position, siem.waiting) == (position, waiting)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(work(Path(folder) / "store.db"))


async def _settle_as(store: SqliteStore, position: int, outcomes: list[str]) -> None:
    replays = [stored.seq for stored in await view(store).replays(limit=100)]
    ended: dict[str, list[int]] = {fate: [] for fate in FATES}
    for seq, fate in zip(replays, outcomes, strict=False):
        ended[fate].append(seq)
    done = Settlement(
        position, replayed=ended["delivered"], dead_again=rejections(*ended["dead"]), filtered_replays=ended["filtered"]
    )
    await settle(store, "siem", done)
