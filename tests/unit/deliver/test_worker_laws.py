"""Whatever a sink answers, in whatever order, nothing is lost and everything ends in exactly one place."""

import asyncio
from collections.abc import Sequence
from typing import Any

import hypothesis
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.errors import StoreFullError
from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason, RetryReason
from forwarder.core.ports import Settlement
from forwarder.sink_settings import DeliverySettings
from tests.examples import examples
from tests.fakes.clock import settle
from tests.fakes.store import MemoryStore
from tests.unit.deliver.helpers import SINK, Rig, running

# As in conftest.py: it takes a third of the time.
DEBUG = hypothesis.settings.get_current_profile_name() != "inner"
FATES = ["delivered", "rejected", "retry", "forgotten"]


class ErraticSink:
    """Answers as drawn, out of order; once the draws are used up it takes everything.

    Attributes:
        taken: seqs that it has said are delivered.
        refused: seqs that it has said it will never take, at some time.
    """

    def __init__(self, script: Sequence[dict[str, Any]]) -> None:
        self._script = list(script)
        self.taken: set[int] = set()
        self.refused: set[int] = set()

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        if not self._script:
            return self._note(BatchResult([stored.seq for stored in batch]))
        answer = self._script.pop(0)
        for _ in range(answer["turns"]):
            await asyncio.sleep(0)
        if answer["raises"]:
            raise RuntimeError("drawn")
        fates = [answer["fates"][n % len(answer["fates"])] for n in range(len(batch))]
        parts: dict[str, list[int]] = {fate: [] for fate in FATES}
        for stored, fate in zip(batch, fates, strict=True):
            parts[fate].append(stored.seq)
        delivered = parts["delivered"]
        return self._note(
            BatchResult(
                delivered,
                parts["retry"],
                [Rejection(seq, RejectReason.MAPPING, "drawn") for seq in parts["rejected"]],
                reason=answer["reason"] if parts["retry"] else None,
                wait=answer["wait"],
                pause=answer["pause"],
                whole=answer["whole"],
                split=answer["split"],
                unattributed=min(answer["unattributed"], len(delivered)),
            )
        )

    def _note(self, outcome: BatchResult) -> BatchResult:
        self.taken.update(outcome.delivered)
        self.refused.update(rejection.seq for rejection in outcome.rejected)
        return outcome

    async def close(self) -> None:
        """Has nothing to close."""


class WatchedStore(MemoryStore):
    """Notes what a settlement must never do; the worker would outlive an exception.

    Attributes:
        sink: whose words the settlements are held against.
        violations: what was wrong, in words.
        failures: how many of the next settlements fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sink = ErraticSink([])
        self.violations: list[str] = []
        self.failures = 0

    async def settle(self, sink: str, settlement: Settlement) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreFullError("drawn")
        before = self.positions.get(SINK, 0)
        try:
            await super().settle(sink, settlement)
        except ValueError as error:
            self.violations.append(str(error))
            raise
        dead = {rejection.seq for rejection in settlement.dead}
        for seq in range(before + 1, settlement.position + 1):
            if seq not in (self.sink.refused | self.sink.taken if seq in dead else self.sink.taken):
                self.violations.append(f"the position passed {seq}, which has no such outcome")
        accounts = self.delivered[SINK] + self.unattributed[SINK] + len(self.dead[SINK]) + self.waiting(SINK)
        if accounts != len(self.events):
            self.violations.append(f"{accounts} events are accounted for, {len(self.events)} are stored")


ANSWERS = st.fixed_dictionaries(
    {
        "turns": st.integers(0, 6),
        "raises": st.sampled_from([False, False, False, True]),
        "fates": st.lists(st.sampled_from(FATES), min_size=1, max_size=5),
        "reason": st.sampled_from(list(RetryReason)),
        "wait": st.none() | st.floats(0, 100),
        "pause": st.sampled_from([False, False, True]),
        "whole": st.sampled_from([False, False, True]),
        "split": st.booleans(),
        "unattributed": st.integers(0, 3),
    }
)


@pytest.mark.long
@examples(40)
@given(
    script=st.lists(ANSWERS, max_size=25),
    count=st.integers(0, 40),
    later=st.integers(0, 20),
    concurrency=st.integers(1, 3),
    batch_events=st.integers(1, 9),
    limit=st.sampled_from([0, 1, 3, 100]),
    store_failures=st.integers(0, 3),
    chance=st.floats(0, 0.999),
)
def test_nothing_is_lost_and_everything_ends_in_one_place(
    *,
    script: list[dict[str, Any]],
    count: int,
    later: int,
    concurrency: int,
    batch_events: int,
    limit: int,
    store_failures: int,
    chance: float,
) -> None:
    async def deliver() -> None:
        store = WatchedStore()
        store.sink, store.failures = ErraticSink(script), store_failures
        rig = Rig(
            DeliverySettings(batch_events=batch_events, concurrency=concurrency, dead_letter_limit=limit), store=store
        )
        await rig.append(count)
        async with running(rig.worker(store.sink, random=lambda: chance)):
            await settle()
            await rig.append(later)
            for _ in range(400):
                if not store.waiting(SINK):
                    break
                await rig.clock.advance(60)
            assert store.violations == []
            assert store.waiting(SINK) == 0
            seqs = set(range(1, count + later + 1))
            assert store.sink.taken | set(store.dead[SINK]) == seqs
            assert set(store.dead[SINK]) <= store.sink.refused | store.sink.taken
            total = store.delivered[SINK] + store.unattributed[SINK] + len(store.dead[SINK])
            assert total == count + later

    with structlog.testing.capture_logs():
        asyncio.run(deliver(), debug=DEBUG)


@pytest.mark.long
@examples(25)
@given(
    script=st.lists(ANSWERS, max_size=12),
    crashes=st.lists(st.integers(0, 30), max_size=4),
    graceful=st.booleans(),
    batch_events=st.integers(1, 5),
)
def test_a_worker_that_is_killed_or_stopped_anywhere_loses_nothing(
    script: list[dict[str, Any]], crashes: list[int], *, graceful: bool, batch_events: int
) -> None:
    async def deliver() -> None:
        store = WatchedStore()
        store.sink = ErraticSink(script)
        rig = Rig(DeliverySettings(batch_events=batch_events, concurrency=2, dead_letter_limit=0), store=store)
        await rig.append(30)
        for turns in crashes:
            worker = rig.worker(store.sink)
            async with running(worker):
                for _ in range(turns):
                    await asyncio.sleep(0)
                if graceful:
                    await worker.stop(0.0)
        async with running(rig.worker(store.sink)):
            for _ in range(200):
                await rig.clock.advance(60)
                if not store.waiting(SINK):
                    break
        assert store.violations == []
        assert store.waiting(SINK) == 0
        assert store.sink.taken | set(store.dead[SINK]) == set(range(1, 31))

    with structlog.testing.capture_logs():
        asyncio.run(deliver(), debug=DEBUG)
