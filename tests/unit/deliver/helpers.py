"""A worker on a store in memory, a scripted sink and a manual clock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from forwarder.core.event import Event, Source
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.core.ports import Batch, Sink
from forwarder.deliver.worker import Worker
from forwarder.metrics import Metrics
from forwarder.sink_settings import DeliverySettings
from tests.fakes.clock import NOON, ManualClock, settle
from tests.fakes.sink import Call, ScriptedSink
from tests.fakes.store import MemoryStore

SINK = "siem"


def events(count: int, first: int = 1, size: int = 100, event_type: str = "user.session.start") -> list[Event]:
    """Events that happened 3 s before noon, with bodies of `size` bytes."""
    return [
        Event("acme", f"uuid-{n}", event_type, NOON - 3_000_000, NOON, Source.HOOK, "", b"x" * size)
        for n in range(first, first + count)
    ]


@dataclass
class Rig:
    """Everything around one worker; `sink` is scripted unless another is given."""

    settings: DeliverySettings = field(default_factory=DeliverySettings)
    accepts: Callable[[str], bool] | None = None
    sink: ScriptedSink = field(default_factory=ScriptedSink)
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: ManualClock = field(default_factory=ManualClock)
    metrics: Metrics = field(default_factory=Metrics)

    def worker(self, sink: Sink | None = None, random: Callable[[], float] = lambda: 0.5) -> Worker:
        return Worker(
            SINK,
            sink or self.sink,
            self.store.view(SINK),
            self.position,
            self.settings,
            metrics=self.metrics,
            clock=self.clock,
            accepts=self.accepts,
            random=random,
        )

    @property
    def position(self) -> int:
        return self.store.positions.get(SINK, 0)

    @property
    def dead(self) -> list[int]:
        return sorted(self.store.dead[SINK])

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"forwarder_{name}", {"sink": SINK, **labels})

    async def append(self, count: int, *, size: int = 100, event_type: str = "user.session.start") -> None:
        new = events(count, len(self.store.events) + 1, size, event_type)
        await self.store.append(Batch(new), timeout=1)

    async def called(self) -> Call:
        """The next batch that the sink is sent."""
        async with asyncio.timeout(5):
            return await self.sink.called()

    async def quiet(self) -> None:
        """Let all run that can, and see that the sink was sent nothing."""
        await settle()
        assert self.sink.unseen == 0


@asynccontextmanager
async def working(waiting: int = 0, *, size: int = 100, **settings: Any) -> AsyncIterator[tuple[Rig, Worker]]:
    """A running worker with `waiting` events in the store."""
    rig = Rig(DeliverySettings(**settings))
    await rig.append(waiting, size=size)
    worker = rig.worker()
    async with running(worker):
        yield rig, worker


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    """Run `worker`; cancel it at the end unless it has ended."""
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        assert not isinstance(results[0], Exception)


def some(seqs: Sequence[int], *, retry: Sequence[int], wait: float | None = None) -> BatchResult:
    """All delivered except `retry`, which were throttled."""
    return BatchResult(
        delivered=[seq for seq in seqs if seq not in retry],
        retry=retry,
        reason=RetryReason.THROTTLED,
        detail="slow down",
        wait=wait,
    )
