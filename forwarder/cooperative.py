"""Work in slices: a long piece of computing lets the event loop go on with everything else in between."""

import asyncio
from time import perf_counter

HOLD = 0.002
"""Seconds that the event loop is held at a time. The bound is 20 ms, but an answer to Okta needs several turns."""


class Slices:
    """Made when the work starts; `breathe` stands in its loop."""

    def __init__(self, hold: float = HOLD) -> None:
        """Args:
        hold: seconds after which the event loop gets a turn.
        """
        self._hold = hold
        self._since = perf_counter()

    async def breathe(self) -> None:
        """Give the event loop a turn, if this work has held it for long enough."""
        if perf_counter() - self._since >= self._hold:
            await asyncio.sleep(0)
            self._since = perf_counter()
