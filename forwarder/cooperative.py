"""Long computations on the event loop, in steps between which other tasks run."""

import asyncio
from time import perf_counter

HOLD_SECONDS = 0.002
"""How long a step may hold the event loop. 20 ms is the bound, but an answer to Okta takes several turns."""


class Cooperative:
    """Create it when the computation starts, and await `yield_if_due` in its loop."""

    def __init__(self, hold_seconds: float = HOLD_SECONDS) -> None:
        self._hold_seconds = hold_seconds
        self._since = perf_counter()

    async def yield_if_due(self) -> None:
        """Let other tasks run, if this computation has held the event loop for `hold_seconds`."""
        if perf_counter() - self._since >= self._hold_seconds:
            await asyncio.sleep(0)
            self._since = perf_counter()
