"""The real store against a model that fits on two screens, with crashes among the steps."""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from forwarder.core.event import Event, Source
from forwarder.core.outcome import Rejection, RejectReason
from forwarder.core.ports import Batch, DeadLetterSelection, Settlement
from forwarder.metrics import Metrics
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite.store import SqliteStore
from tests.examples import examples
from tests.fakes.clock import ManualClock
from tests.integration.store.helpers import attach, commands, event, malformed_event, prune, settle, view
from tests.model.model import RETENTION, WINDOW, Model, Sink

T = TypeVar("T")

SINKS = ("siem", "archive", "traces")
NAMES = [*(f"dc3c8e66-ea0{n}-11ef-9cf1-ad97f4a9f2f5" for n in range(6)), "odd", "ODD"]


class StoreMachine(RuleBasedStateMachine):
    """Does to both what the forwarder and its operator do, and compares them after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.copies = itertools.count()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.model = Model()
        self.path = self.directory / "store.db"
        self.store = self.run(self.open())
        self.attach({"siem": "oldest"})

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 30))

    @property
    def options(self) -> StoreSettings:
        return StoreSettings.model_validate(
            {"path": self.path, "retention": f"{RETENTION}s", "dedup_window": f"{WINDOW}s"}
        )

    async def open(self) -> SqliteStore:
        return await SqliteStore.open(self.options, self.clock, Metrics())

    def attach(self, names: dict[str, Any]) -> None:
        self.model.attach(names)
        positions = self.run(attach(self.store, names))
        assert positions == {name: self.model.sinks[name].position for name in names}

    @property
    def seconds(self) -> int:
        return self.clock.now() // 1_000_000

    def attached(self) -> list[str]:
        return [name for name, sink in self.model.sinks.items() if sink.attached]

    def sample(self, org: str, name: str | None) -> Event:
        return event(name, org=org, received_at=self.clock.now(), size=len(name or "") * 100)

    def page(self, org: str, names: list[tuple[str | None, bool, int]], malformed: int) -> Batch:
        """For each name: whether the hook should deliver it too, and how many seconds before now it happened."""
        cursor = f"page {next(self.copies)}"
        events = [
            msgspec.structs.replace(
                self.sample(org, name), source=Source.LOG, published=self.clock.now() - ago * 1_000_000
            )
            for name, _, ago in names
        ]
        hooked = frozenset(one.uuid for one, (_, hook, _) in zip(events, names, strict=True) if hook)
        return Batch(events, [malformed_event()] * malformed, Source.LOG, (f"log:{org}", cursor), hooked)

    @rule(
        org=st.sampled_from("ab"),
        names=st.lists(
            st.tuples(st.none() | st.sampled_from(NAMES), st.booleans(), st.sampled_from((-60, 0, 60))), max_size=6
        ),
        malformed=st.integers(0, 2),
        times=st.integers(1, 2),
    )
    def append_page(self, org: str, names: list[tuple[str | None, bool, int]], malformed: int, times: int) -> None:
        """A page of the System Log comes, perhaps twice."""
        page = self.page(org, names, malformed)
        for _ in range(times):
            expected = self.model.append(page, self.seconds)
            appended = self.run(self.store.append(page, timeout=20))
            assert list(appended.stored) == expected
            assert appended.duplicates == len(page.events) - len(expected)

    @precondition(lambda self: self.model.pending or self.model.missed)
    @rule(data=st.data())
    def hook_brings_what_the_log_brought(self, data: st.DataObject) -> None:
        keys = sorted([*self.model.pending, *self.model.missed])
        chosen = data.draw(st.lists(st.sampled_from(keys), min_size=1, unique=True))
        copies = [self.sample(org, uuid) for org, uuid in chosen]
        assert self.model.append(Batch(copies), self.seconds) == []
        assert self.run(self.store.append(Batch(copies), timeout=20)).duplicates == len(copies)

    @rule(count=st.integers(1, 6), hook_first=st.booleans())
    def hook_and_log_at_once(
        self,
        count: int,
        hook_first: bool,  # noqa: FBT001  # Hypothesis passes it by name
    ) -> None:
        both = self.page("a", [(None, True, 0)] * count, 0)
        copies = [msgspec.structs.replace(one, source=Source.HOOK) for one in both.events]

        async def at_once() -> None:
            works = [self.store.append(Batch(copies), timeout=20), self.store.append(both, timeout=20)]
            await asyncio.gather(*(works if hook_first else reversed(works)))

        self.run(at_once())
        if hook_first:
            self.model.append(Batch(copies), self.seconds)
        self.model.append(both, self.seconds)
        if not hook_first:
            self.model.append(Batch(copies), self.seconds)

    @rule(org=st.sampled_from("abc"), grace=st.sampled_from((-3600, 0, 1, 59, 61, 3600)))
    def miss(self, org: str, grace: int) -> None:
        before = self.clock.now() - grace * 1_000_000
        expected = self.model.mark_missed(org, before)
        assert self.run(self.store.mark_missed(org, before)) == expected

    @rule(
        names=st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.sampled_from(NAMES)), max_size=6),
        malformed=st.integers(0, 2),
    )
    def append(self, names: list[tuple[str, str | None]], malformed: int) -> None:
        events = [self.sample(org, name) for org, name in names]
        batch = Batch(events, [malformed_event()] * malformed)
        expected = self.model.append(batch, self.seconds)
        appended = self.run(self.store.append(batch, timeout=20))
        assert list(appended.stored) == expected
        assert appended.duplicates == len(events) - len(expected)

    @rule(count=st.integers(2, 12))
    def append_at_once(self, count: int) -> None:
        batches = [[self.sample("a", None), self.sample("b", NAMES[n % 8])] for n in range(count)]
        expected = [self.model.append(Batch(batch), self.seconds) for batch in batches]

        async def all_together() -> list[list[Event]]:
            appended = await asyncio.gather(*(self.store.append(Batch(batch), timeout=20) for batch in batches))
            return [list(one.stored) for one in appended]

        assert self.run(all_together()) == expected

    @precondition(lambda self: self.attached())
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.attached()))
        sink = self.model.sinks[name]
        count = data.draw(st.integers(0, len(self.model.log) - sink.position))
        seqs = range(sink.position + 1, sink.position + count + 1)
        dead = data.draw(st.sets(st.sampled_from(seqs))) if count else set()
        filtered = data.draw(st.sets(st.sampled_from(seqs))) - dead if count else set()
        delivered = count - len(dead) - len(filtered)
        unattributed = data.draw(st.integers(0, delivered)) if data.draw(st.booleans()) else 0
        replaying = [seq for seq, again in sink.letters.items() if again]
        fates = {seq: data.draw(st.sampled_from(("wait", "taken", "dead", "filtered"))) for seq in replaying}
        settlement = Settlement(
            sink.position + count,
            delivered,
            self.rejections(dead),
            unattributed,
            "too old",
            tuple(seq for seq, fate in fates.items() if fate == "taken"),
            self.rejections(seq for seq, fate in fates.items() if fate == "dead"),
            tuple(filtered),
            tuple(seq for seq, fate in fates.items() if fate == "filtered"),
        )
        self.run(settle(self.store, name, settlement))
        sink.position += count
        sink.delivered += delivered - unattributed + len(settlement.replayed)
        sink.unattributed += unattributed
        sink.letters |= dict.fromkeys(dead, False)
        sink.letters |= {seq: False for seq, fate in fates.items() if fate == "dead"}
        sink.filtered += len(filtered) + len(settlement.filtered_replays)
        for seq in (*settlement.replayed, *settlement.filtered_replays):
            del sink.letters[seq]

    @staticmethod
    def rejections(seqs: Any) -> tuple[Rejection, ...]:
        return tuple(Rejection(seq, RejectReason.MAPPING, f"{seq} does not fit") for seq in seqs)

    @precondition(lambda self: self.attached())
    @rule(data=st.data())
    def settle_wrongly(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.attached()))
        position = self.model.sinks[name].position
        step, delivered = data.draw(
            st.tuples(st.integers(-2, 3), st.integers(-2, 3)).filter(lambda pair: pair[0] != pair[1])
        )
        with pytest.raises(ValueError, match="do not add up"):
            self.run(settle(self.store, name, Settlement(position + step, delivered)))

    @rule(name=st.sampled_from(SINKS))
    def replay(self, name: str) -> None:
        letters = self.model.sinks[name].letters if name in self.model.sinks else {}
        expected = sum(not again for again in letters.values())
        assert self.run(self.store.replay(DeadLetterSelection(sink=name))) == expected
        for seq in letters:
            letters[seq] = True
        replays = self.run(view(self.store, name).replays(limit=1000))
        assert {stored.seq: stored.event for stored in replays} == {seq: self.model.log[seq - 1] for seq in letters}

    @rule(name=st.sampled_from((*SINKS, "receiver")))
    def discard(self, name: str) -> None:
        if name == "receiver":
            expected, self.model.rejects_kept = self.model.rejects_kept, 0
        else:
            sink = self.model.sinks.get(name, Sink(0, 0))
            expected = sink.unattributed + sum(not again for again in sink.letters.values())
            sink.letters = {seq: again for seq, again in sink.letters.items() if again}
            sink.unattributed = 0
            sink.discarded += expected
        assert self.run(self.store.discard(DeadLetterSelection(sink=name))) == expected

    @rule(names=st.dictionaries(st.sampled_from(SINKS), st.sampled_from(("oldest", "now"))))
    def configure(self, names: dict[str, Any]) -> None:
        self.attach(names)

    @rule(seconds=st.sampled_from((1, 1800, 3700, 7300)))
    def time_passes(self, seconds: int) -> None:
        self.run(self.clock.advance(seconds))

    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.store = self.run(self.open())
        self.attach(dict.fromkeys(self.attached(), "oldest"))

    @rule(tail=st.binary(max_size=64), in_flight=st.sampled_from((None, "hook", "log")))
    def crash(self, tail: bytes, in_flight: str | None) -> None:
        """What lies on the disk now is all there is, and the last write was torn."""
        copy = self.directory / f"copy-{next(self.copies)}.db"
        batch = {
            "hook": Batch([self.sample("a", None)]),
            "log": self.page("a", [(None, True, 0), (NAMES[0], True, 0)], 1),
        }.get(in_flight or "")

        def take_what_is_there(_: object) -> None:
            for end in ("", "-wal"):
                shutil.copyfile(f"{self.path}{end}", f"{copy}{end}")

        async def end() -> None:
            if batch:
                unanswered = asyncio.ensure_future(self.store.append(batch, timeout=20))
            await self.store._writer.submit(take_what_is_there)
            if batch:
                await unanswered
            await self.store.close()

        self.run(end())
        with copy.with_name(copy.name + "-wal").open("ab") as log:
            log.write(tail)
        self.path = copy
        self.store = self.run(self.open())
        if batch and self.run(self.store.ledger()).stored > len(self.model.log):
            self.model.append(batch, self.seconds)
        self.attach(dict.fromkeys(self.attached(), "oldest"))

    @invariant()
    def both_agree(self) -> None:
        self.model.prune(self.seconds)
        self.run(prune(self.store))
        inside = self.run(self.store.ledger())
        model = self.model
        assert (inside.stored, inside.duplicates, inside.rejected) == (len(model.log), model.duplicates, model.rejected)
        assert inside.events == len(model.log) - model.gone
        assert {
            name: (sink.delivered, sink.dead, sink.discarded, sink.skipped, sink.filtered, sink.waiting)
            for name, sink in inside.sinks.items()
        } == {name: self.expected(sink) for name, sink in model.sinks.items() if sink.attached}
        assert inside.balanced, inside.imbalances
        outside = commands(self.path).ledger()
        assert (outside.stored, outside.sinks) == (inside.stored, inside.sinks)
        held = self.run(view(self.store, "siem").read(0, limit=10**6, max_bytes=10**9))
        assert [stored.seq for stored in held] == list(range(model.gone + 1, len(model.log) + 1))
        assert [stored.event for stored in held] == model.log[model.gone :]

    @invariant()
    def both_agree_on_the_log(self) -> None:
        gaps = commands(self.path).gaps()
        assert {(gap.org, gap.uuid): (gap.published, gap.since) for gap in gaps.events} == {
            key: (one.published, one.received_at) for key, one in self.model.missed.items()
        }
        assert sum(gaps.pending.values()) == len(self.model.pending)
        for org in "ab":
            assert gaps.pending.get(org, 0) == sum(one.org == org for one in self.model.pending.values())
            assert self.run(self.store.cursor(f"log:{org}")) == self.model.cursors.get(f"log:{org}")

    def expected(self, sink: Sink) -> tuple[int, ...]:
        replaying = sum(sink.letters.values())
        return (
            sink.delivered,
            len(sink.letters) - replaying + sink.unattributed,
            sink.discarded,
            sink.skipped,
            sink.filtered,
            len(self.model.log) - sink.position + replaying,
        )

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.directory)


# All examples take 15 s, and a minute on cores that do other work as well.
TestStoreAgainstModel = pytest.mark.timeout(300)(StoreMachine.TestCase)
TestStoreAgainstModel.settings = settings(examples(25), stateful_step_count=40)
