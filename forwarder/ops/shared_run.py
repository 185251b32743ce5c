"""Runs expensive work once for all requests that wait for it, so that many requests do not delay answers to Okta."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SharedRun(Generic[_T]):
    """Calls an async function for many callers: one run at a time, and one run for all callers that wait for its
    start."""

    def __init__(self, run: Callable[[], Awaitable[_T]]) -> None:
        self._run = run
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[_T] | None = None

    async def result(self) -> _T:
        """Return the result of a run that begins after this call. Raise what that run raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._run_next())
        return await asyncio.shield(self._next)  # a caller that is cancelled does not end the run of the others

    async def _run_next(self) -> _T:
        async with self._lock:
            self._next = None
            return await self._run()
