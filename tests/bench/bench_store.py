"""What the store does: appends a second, latency of an append, size on disk, speed of a drain. A script, no test.

    python -m tests.bench.bench_store [--events 100000] [--producers 32] [--rate 0] [--directory /tmp]

`--rate N` appends N events a second instead of as many as it can. All bodies are random, so nothing compresses.
"""

import argparse
import asyncio
import random
import resource
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import uvloop

from forwarder.clock import SystemClock
from forwarder.core.event import Event, Source
from forwarder.core.ports import Batch, Settlement
from forwarder.metrics import Metrics
from forwarder.store.interface import open_commands
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite.store import SqliteStore

_FILLER = random.Random(1).randbytes(4000).hex()


def events(count: int, least: int, most: int) -> Iterator[Event]:
    """Events with version-1 uuids in the order of time, as Okta makes them."""
    chance = random.Random(2)
    ticks = 0x1F0_0000_0000_0000
    for _ in range(count):
        ticks += chance.randrange(1, 100_000)
        name = uuid.UUID(
            fields=(ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 | 0x1000, 0x80, chance.randrange(256), 7)
        )
        body = f'{{"uuid":"{name}","x":"{_FILLER[: chance.randrange(least, most) - 54]}"}}'.encode()
        now = time.time_ns() // 1000
        yield Event("acme", str(name), "user.session.start", now, now, Source.HOOK, str(uuid.uuid4()), body)


class Bench:
    """One store, filled and drained."""

    def __init__(self, store: SqliteStore, options: argparse.Namespace) -> None:
        self.store = store
        self.options = options
        self.source = events(options.events, options.least, options.most)
        self.latencies: list[float] = []
        self.raw = 0

    async def fill(self) -> float:
        """Append everything; seconds that it took."""
        started = time.perf_counter()
        if self.options.rate:
            async with asyncio.TaskGroup() as tasks:
                for number, event in enumerate(self.source):
                    tasks.create_task(self._append(event))
                    await asyncio.sleep(started + (number + 1) / self.options.rate - time.perf_counter())
        else:
            await asyncio.gather(*(self._produce() for _ in range(self.options.producers)))
        return time.perf_counter() - started

    async def _produce(self) -> None:
        for event in self.source:
            await self._append(event)

    async def _append(self, event: Event) -> None:
        started = time.perf_counter()
        await self.store.append(Batch([event]), timeout=30)
        self.latencies.append(time.perf_counter() - started)
        self.raw += len(event.body)

    async def drain(self, sink: str, until: int) -> None:
        """Read and settle as a sink that takes everything at once."""
        log, position = await self.store.log(sink, "oldest")
        while position < until:
            await log.wait(position, replays=0)
            batch = await log.read(position, limit=500, max_bytes=4 * 1024 * 1024)
            position = batch[-1].seq
            await log.settle(Settlement(position, delivered=len(batch)))

    def report(self, seconds: float) -> None:
        """Print throughput and latency."""
        ordered = sorted(self.latencies)
        at = {q: ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1000 for q in (0.5, 0.99, 0.999)}
        print(
            f"{len(ordered) / seconds:10,.0f} appends/s   p50 {at[0.5]:.2f}  p99 {at[0.99]:.2f}  "
            f"p99.9 {at[0.999]:.2f}  max {ordered[-1] * 1000:.2f} ms"
        )


def resident() -> float:
    """Peak resident memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def run(options: argparse.Namespace) -> None:
    """Fill with the sinks down, then drain; then both at once."""
    for title, live in (("sinks down", False), ("two sinks draining meanwhile", True)):
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            path = Path(directory) / "store.db"
            store = await SqliteStore.open(StoreSettings(path=path), SystemClock(), Metrics())
            for sink in ("a", "b"):
                await store.log(sink, "oldest")
            bench = Bench(store, options)
            sinks = (bench.drain(name, options.events) for name in ("a", "b"))
            draining = asyncio.gather(*sinks) if live else None
            cpu = time.process_time()
            seconds = await bench.fill()
            print(
                f"{title}: {options.events} events, CPU {(time.process_time() - cpu) / options.events * 1e6:.0f} us/event"
            )
            bench.report(seconds)
            started = time.perf_counter()
            await (draining or asyncio.gather(*sinks))
            drained = time.perf_counter() - started
            log = Path(f"{path}-wal").stat().st_size
            await asyncio.sleep(1.5)
            size = sum(Path(f"{path}{end}").stat().st_size for end in ("", "-wal"))
            print(
                f"    drained in {drained:.1f} s; log {log / 1e6:.1f} MB; "
                f"size {size / bench.raw:.3f} x raw; peak {resident():.0f} MB"
            )
            await store.close()
            assert open_commands(StoreSettings(path=path), SystemClock()).ledger().balanced


def main() -> int:
    """Read the options and go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--producers", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--least", type=int, default=1500)
    parser.add_argument("--most", type=int, default=5000)
    parser.add_argument("--directory", default=None)
    uvloop.run(run(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
