"""Clocks for tests: one that a test moves by hand, so that no test sleeps, and a fast one for waits beside real servers."""

import asyncio
import heapq
import itertools
import threading
from typing import Any

from forwarder.clock import SystemClock
from forwarder.core.time import Micros

NOON: Micros = 1_767_268_800_000_000
"""2026-01-01T12:00:00Z: where a manual clock starts unless told otherwise."""

_TURNS = 20  # of the event loop, after a sleeper wakes: enough for what it wakes in turn


class FastClock(SystemClock):
    """A clock that runs so many times as fast as the real one: for waits beside a real server, which a test cannot advance."""

    def __init__(self, times: float) -> None:
        self._times = times

    def monotonic(self) -> float:
        return super().monotonic() * self._times

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self._times)


class ManualClock:
    """`core.ports.Clock`: time stands still until `advance`."""

    def __init__(self, now: Micros = NOON) -> None:
        self._start = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._arrivals = asyncio.Condition()

    def now(self) -> Micros:
        return self._start + round(self._elapsed * 1_000_000)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has advanced the clock by `seconds`; none or less returns after one turn of the loop."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._numbers), woken))
        async with self._arrivals:
            self._arrivals.notify_all()
        await woken

    @property
    def waits(self) -> list[float]:
        """Seconds from now until each sleeper wakes, the next one first. Cancelled sleepers do not count."""
        return sorted(due - self._elapsed for due, _, woken in self._sleepers if not woken.done())

    async def asleep(self, sleepers: int = 1) -> None:
        """Return when at least `sleepers` tasks sleep on this clock."""
        async with self._arrivals:
            await self._arrivals.wait_for(lambda: len(self.waits) >= sleepers)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass: wake the sleepers in the order of their times, each with the clock at its time, and let
        what each one wakes run (so a task that sleeps again in between is woken again)."""
        await settle()
        target = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self._elapsed = max(self._elapsed, due)
            woken.set_result(None)
            await settle()
        self._elapsed = target
        await settle()


async def settle() -> None:
    """Let every task that can run do so, as far as a bounded number of turns of the event loop goes."""
    loop = asyncio.get_running_loop()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
        if _is_idle(loop):
            return


def _is_idle(loop: Any) -> bool:
    """Tell that more turns of asyncio's own loop change nothing: it has no call, no due timer, no socket and no thread.

    Most turns of the tests of the worker and of the reactions were such turns, and most of their time.
    """
    if not isinstance(loop, asyncio.SelectorEventLoop) or loop._ready:  # type: ignore[attr-defined]
        return False
    timers, files = loop._scheduled, loop._selector.get_map()  # type: ignore[attr-defined]
    is_due = bool(timers) and timers[0].when() <= loop.time()
    return not is_due and len(files) == 1 and threading.active_count() == 1  # the one file wakes the loop
