"""Limits the memory of all bodies together, from their first byte to the commit.

Above the limit, the largest body that is still being received gives way, the oldest of equals: so neither many half-sent
bodies nor a few huge ones keep a small POST from its answer.
"""

import asyncio
from types import TracebackType
from typing import Self

from forwarder.core.errors import ForwarderError

_FREE = 65_536
"""Bytes of each body that do not count: `max_connections` limits those."""

_LEAST = 32 * 1024 * 1024
_LARGEST_BODIES = 4


class OverloadedError(ForwarderError):
    """All bodies together take too much memory, and this one gives way."""


def budget_for(max_body: int) -> int:
    """Return the limit for bodies of at most `max_body` bytes each."""
    return max(_LEAST, _LARGEST_BODIES * max_body)


class BodyBudget:
    """All bodies that are in memory.

    Attributes:
        limit: in bytes. A reload may change it.
        held: bytes that count.
        inflating: held while a body is inflated, so that only one is that nothing has counted yet.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.inflating = asyncio.Lock()
        self._large: dict[HeldBody, None] = {}  # the oldest first

    def body(self) -> "HeldBody":
        """Begin a body: use it as a context manager, to release it."""
        return HeldBody(self)

    def charge(self, body: "HeldBody", size: int) -> None:
        """Count `size` more bytes of `body`.

        Raises:
            OverloadedError: it is too much, and no other body gives way.
        """
        self._large[body] = None
        body.charged += size
        self.held += size
        while self.held > self.limit:
            largest = max(
                (each for each in self._large if each.receiving), key=lambda each: each.charged, default=body
            )
            if largest is body:
                raise OverloadedError(f"bodies of POSTs take more than {self.limit} bytes of memory")
            self.release(largest)
            largest.evict()

    def release(self, body: "HeldBody") -> None:
        """Count it no more."""
        self._large.pop(body, None)
        self.held -= body.charged
        body.charged = 0


class HeldBody:
    """One body. Its task must be the one that creates it.

    Attributes:
        charged: bytes of it that count.
        receiving: it is not complete, so it may be evicted.
        evicted: it had to give way: its task is cancelled.
    """

    def __init__(self, budget: BodyBudget) -> None:
        self.charged = 0
        self.receiving = True
        self.evicted = False
        self.inflating = budget.inflating
        self._budget = budget
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.charged:
            self._budget.release(self)

    def grow(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            OverloadedError: it is too much, and no other body gives way.
        """
        self._size += size
        if self._size > _FREE:
            self._task = self._task or asyncio.current_task()
            self._budget.charge(self, self._size - _FREE - self.charged)

    def evict(self) -> None:
        """Cancel the task that receives it."""
        self.evicted = True
        if self._task is not None:
            self._task.cancel()
