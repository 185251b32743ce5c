"""How long each commit is waited for: one timer for all of them, because one for each costs a twentieth of a POST."""

import asyncio
from collections.abc import Callable
from typing import Any

_LOOK = 0.05
"""Seconds between two looks, and so the most that a wait is too long."""


class Deadlines:
    """Futures that are waited for, and until when. Belongs to the event loop that it was made on."""

    def __init__(self, expired: Callable[[asyncio.Future[Any], float], None]) -> None:
        """Args:
        expired: called with a future that was not done in time, and the seconds that it had.
        """
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._watched: dict[asyncio.Future[Any], tuple[float, float]] = {}
        self._looking = False

    def watch(self, future: asyncio.Future[Any], seconds: float) -> None:
        """Let `future` have so many seconds from now."""
        self._watched[future] = (self._loop.time() + seconds, seconds)
        if seconds < _LOOK:
            self._loop.call_later(seconds, self._look)
        if not self._looking:
            self._looking = True
            self._loop.call_later(_LOOK, self._look_on)

    def forget(self, future: asyncio.Future[Any]) -> None:
        """Nobody waits for `future` any more."""
        self._watched.pop(future, None)

    def _look(self) -> None:
        now = self._loop.time()
        for future, (deadline, seconds) in list(self._watched.items()):
            if deadline <= now:
                del self._watched[future]
                if not future.done():
                    self._expired(future, seconds)

    def _look_on(self) -> None:
        self._look()
        self._looking = bool(self._watched)
        if self._looking:
            self._loop.call_later(_LOOK, self._look_on)
