"""The timeouts of appends."""

import asyncio
from collections.abc import Callable
from typing import Any

_POLL_INTERVAL = 0.05  # seconds between two checks of the deadlines; a timeout is late by at most this time


class Deadlines:
    """The timeouts of appends. One timer serves all of them: a timer for each append would take 5 % of the time of a POST."""

    def __init__(self, on_expired: Callable[[asyncio.Future[Any], float], None]) -> None:
        """Create the timer. For each future that is not done in time, it calls `on_expired` with (future, timeout in seconds)."""
        self._on_expired = on_expired
        self._loop = asyncio.get_running_loop()
        self._watched: list[tuple[asyncio.Future[Any], float, float]] = []
        self._polling = False

    def watch(self, future: asyncio.Future[Any], seconds: float) -> None:
        """Call `on_expired` for `future` if it is not done after `seconds`."""
        self._watched.append((future, self._loop.time() + seconds, seconds))
        if seconds < _POLL_INTERVAL:
            self._loop.call_later(seconds, self._check)
        if not self._polling:
            self._polling = True
            self._loop.call_later(_POLL_INTERVAL, self._poll)

    def _check(self) -> None:
        """Call `on_expired` for late futures, and forget those that are done. A callback of each future would cost more."""
        now = self._loop.time()
        watched, self._watched = self._watched, []
        for future, deadline, seconds in watched:
            if future.done():
                continue
            if deadline <= now:
                self._on_expired(future, seconds)
            else:
                self._watched.append((future, deadline, seconds))

    def _poll(self) -> None:
        self._check()
        self._polling = bool(self._watched)
        if self._polling:
            self._loop.call_later(_POLL_INTERVAL, self._poll)
