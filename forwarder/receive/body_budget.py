"""Limits the memory of all request bodies together, from their first byte to the commit.

Above the limit, the largest body that is still being received is evicted: it is dropped, and its POST is
answered 503. If several bodies are equally large, the oldest is evicted. So neither many half-sent bodies nor
a few huge bodies delay the answer to a small POST.
"""

import asyncio
from types import TracebackType
from typing import Self

from forwarder.core.errors import ForwarderError

_FREE = 65_536
"""The number of bytes of each body that do not count. Small bodies need no limit here: `max_connections`
limits their number."""

_LEAST = 32 * 1024 * 1024
_LARGEST_BODIES = 4


class OverloadedError(ForwarderError):
    """All bodies together take too much memory, so this body is dropped."""


def budget_for(max_body: int) -> int:
    """Return the limit, in bytes, for all bodies together, if each may have up to `max_body` bytes."""
    return max(_LEAST, _LARGEST_BODIES * max_body)


class BodyBudget:
    """Counts the bytes of all bodies that are in memory. The first _FREE bytes of each body do not count.

    Attributes:
        limit: the largest number of bytes that may be counted at one time. A reload may change it.
        held: the number of counted bytes of all bodies together.
        inflating: a lock for inflating a body. Only one body at a time is inflated, because the bytes of the
            result are counted only afterwards.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.inflating = asyncio.Lock()
        self._large: dict[HeldBody, None] = {}  # the oldest first

    def body(self) -> "HeldBody":
        """Return a counter for a new body. The counter is a context manager: when it ends, the bytes of the
        body no longer count."""
        return HeldBody(self)

    def charge(self, body: "HeldBody", size: int) -> None:
        """Count `size` more bytes of `body`. Above the limit, evict the largest incomplete bodies.

        Raises:
            OverloadedError: `body` is itself the largest, or there is no other body to evict.
        """
        self._large[body] = None
        body.charged += size
        self.held += size
        while self.held > self.limit:
            largest = max((each for each in self._large if each.receiving), key=lambda each: each.charged, default=body)
            if largest is body:
                raise OverloadedError(f"bodies of POSTs take more than {self.limit} bytes of memory")
            self.release(largest)
            largest.evict()

    def release(self, body: "HeldBody") -> None:
        """Subtract the bytes of `body` from the count."""
        self._large.pop(body, None)
        self.held -= body.charged
        body.charged = 0


class HeldBody:
    """Counts the bytes of one body. Call `grow` in the task that receives the body: `evict` cancels this
    task.

    Attributes:
        charged: the number of bytes of the body that count in the budget.
        receiving: whether the body is still incomplete. Only an incomplete body may be evicted.
        evicted: whether the body was dropped to free memory, and its task was cancelled.
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
        """Count `size` more bytes of this body.

        Raises:
            OverloadedError: the body does not fit into the budget; see `BodyBudget.charge`.
        """
        self._size += size
        if self._size > _FREE:
            self._task = self._task or asyncio.current_task()
            self._budget.charge(self, self._size - _FREE - self.charged)

    def evict(self) -> None:
        """Cancel the task that receives this body."""
        self.evicted = True
        if self._task is not None:
            self._task.cancel()
