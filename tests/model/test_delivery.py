"""A worker against a sink with outages and events that spoil their requests, with crashes between."""

import asyncio
from collections.abc import Sequence

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.sink_settings import DeliverySettings
from tests.examples import examples
from tests.fakes.clock import ManualClock
from tests.unit.deliver.helpers import SINK, Rig, running

REASONS = [RetryReason.TIMEOUT, RetryReason.CONNECTION, RetryReason.SERVER, RetryReason.FORBIDDEN]


class ModelSink:
    """Fails a request during an outage, or if it holds one of the events `spoiling`.

    Attributes:
        accepted: seqs that were delivered.
        down: whether every request fails.
    """

    def __init__(self, clock: ManualClock, spoiling: set[int], reason: RetryReason) -> None:
        self.accepted: set[int] = set()
        self.down = False
        self._clock = clock
        self._spoiling = spoiling
        self._reason = reason

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        seqs = [stored.seq for stored in batch]
        await self._clock.sleep(4.0 if self._reason is RetryReason.TIMEOUT else 0.01)
        if not self.down and not self._spoiling.intersection(seqs):
            self.accepted.update(seqs)
            return BatchResult(seqs)
        pause = self._reason is RetryReason.FORBIDDEN
        return BatchResult(retry=seqs, reason=self._reason, detail="no", pause=pause, whole=True)

    async def close(self) -> None:
        """Has nothing to close."""


STEPS = st.lists(st.tuples(st.sampled_from(["append", "outage", "recover", "crash"]), st.integers(1, 30)), max_size=6)


@pytest.mark.long
@examples(10)
@given(
    steps=STEPS,
    spoiling=st.sets(st.integers(1, 60), max_size=4),
    reason=st.sampled_from(REASONS),
    batch_events=st.sampled_from([1, 4, 50]),
    concurrency=st.integers(1, 2),
)
def test_only_events_that_spoil_their_requests_become_dead_letters(
    steps: list[tuple[str, int]], spoiling: set[int], reason: RetryReason, batch_events: int, concurrency: int
) -> None:
    async def deliver() -> None:
        settings = DeliverySettings(batch_events=batch_events, concurrency=concurrency, lone_tries=4)
        rig = Rig(settings)
        sink = ModelSink(rig.clock, spoiling, reason)

        def balanced() -> None:
            dead, stored = set(rig.dead), len(rig.store.events)
            assert rig.store.delivered[SINK] + len(dead) + rig.store.waiting(SINK) == stored
            assert dead <= spoiling
            assert set(range(1, rig.position + 1)) <= sink.accepted | dead

        for action, amount in [*steps, ("recover", 1)]:
            async with running(rig.worker(sink, random=lambda: 0.5)):
                if action in ("outage", "recover"):
                    sink.down = action == "outage"
                await rig.append(amount)
                dead = rig.dead
                await rig.clock.advance(amount)
                balanced()
                if sink.down and action != "outage":
                    assert rig.dead == dead
        async with running(rig.worker(sink, random=lambda: 0.5)):
            for _ in range(90):
                await rig.append(1)
                await rig.clock.advance(60)
                balanced()
                if len(rig.store.events) > 60 and not rig.store.waiting(SINK):
                    break
        stored = set(range(1, len(rig.store.events) + 1))
        assert (sink.accepted, set(rig.dead)) == (stored - spoiling, spoiling)

    with structlog.testing.capture_logs():
        asyncio.run(deliver())
