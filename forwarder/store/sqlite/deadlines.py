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
        self._watched: list[tuple[asyncio.Future[Any], float, float]] = []
        self._looking = False

    def watch(self, future: asyncio.Future[Any], seconds: float) -> None:
        """Let `future` have so many seconds from now."""
        self._watched.append((future, self._loop.time() + seconds, seconds))
        if seconds < _LOOK:
            self._loop.call_later(seconds, self._look)
        if not self._looking:
            self._looking = True
            self._loop.call_later(_LOOK, self._look_on)

    def _look(self) -> None:
        """End what is late. What is done is forgotten here, and not when it is done: that is one step less for each."""
        now = self._loop.time()
        watched, self._watched = self._watched, []
        for future, deadline, seconds in watched:
            if future.done():
                continue
            if deadline <= now:
                self._expired(future, seconds)
            else:
                self._watched.append((future, deadline, seconds))

    def _look_on(self) -> None:
        self._look()
        self._looking = bool(self._watched)
        if self._looking:
            self._loop.call_later(_LOOK, self._look_on)
