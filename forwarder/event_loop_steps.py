"""Runs long computations on the event loop in steps, so that other tasks can run between the steps."""

import asyncio
from collections.abc import Generator
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

HOLD_SECONDS = 0.001
"""How long a step may hold the event loop. The general limit is 20 ms. But an answer to Okta takes several turns of the
loop, and in each turn it may have to wait for such a step."""


class Cooperative:
    """Lets other tasks run during a long computation: await `yield_if_due` in the loop of the computation.

    Create the object when the computation starts.
    """

    def __init__(self, hold_seconds: float = HOLD_SECONDS) -> None:
        self._hold_seconds = hold_seconds
        self._since = perf_counter()

    async def yield_if_due(self) -> None:
        """Let other tasks run, if `hold_seconds` have passed since they last ran."""
        if perf_counter() - self._since >= self._hold_seconds:
            await asyncio.sleep(0)
            self._since = perf_counter()


async def run_in_steps(steps: Generator[None, None, T]) -> T:
    """Run a generator that yields after short steps, and let other tasks run between the steps. Return the generator's
    result."""
    cooperative = Cooperative()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await cooperative.yield_if_due()
