"""Limits the memory of all request bodies together. A body counts from its first byte until its events are committed.

Above the limit, the largest body that is still being received is evicted: the forwarder drops this body and answers its
POST with 503, so Okta sends the POST again. If several bodies are equally large, the oldest is evicted. So neither many
half-sent bodies nor a few huge bodies delay the answer to a small POST.
"""

import asyncio
from types import TracebackType
from typing import Self

from forwarder.core.errors import ForwarderError

_FREE = 65_536
"""The number of bytes of each body that do not count. The memory of small bodies is limited by their number, and
`max_connections` limits this number."""

_LEAST = 32 * 1024 * 1024
_LARGEST_BODIES = 4


class OverloadedError(ForwarderError):
    """All bodies together take too much memory, so one of them was dropped. Its POST is answered 503."""


def budget_for(max_body: int) -> int:
    """Return the limit, in bytes, for all bodies together, if each may have up to `max_body` bytes."""
    return max(_LEAST, _LARGEST_BODIES * max_body)


class BodyBudget:
    """Counts the bytes of all bodies that are in memory. The first _FREE bytes of each body do not count.

    Attributes:
        limit: the largest number of bytes that may be counted at one time. A reload may change this number.
        held: the number of counted bytes of all bodies together.
        inflating: a lock for inflating a body. An inflated body is counted only when it is complete, so only one body
            at a time may be inflated.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.inflating = asyncio.Lock()
        self._large: dict[HeldBody, None] = {}  # the oldest first

    def body(self) -> "HeldBody":
        """Return a counter for the bytes of a new body. The counter is a context manager: after its `with` block, the
        bytes of the body no longer count."""
        return HeldBody(self)

    def charge(self, body: "HeldBody", size: int) -> None:
        """Count `size` more bytes of `body`. While the count is above the limit, evict the largest incomplete body.

        Raises:
            OverloadedError: `body` itself is the largest incomplete body, or every body is complete.
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
        """Subtract the counted bytes of `body`, which is no longer in memory, from the count."""
        self._large.pop(body, None)
        self.held -= body.charged
        body.charged = 0


class HeldBody:
    """Counts the bytes of one body. Call `grow` in the task that receives the body, because `evict` cancels the task
    that called `grow`.

    Attributes:
        charged: the number of bytes of the body that count in the budget.
        receiving: whether the body is still incomplete. Only an incomplete body may be evicted.
        evicted: whether the body was dropped to free memory. Its task is then cancelled.
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
        """Mark the body as evicted, and cancel the task that receives the body."""
        self.evicted = True
        if self._task is not None:
            self._task.cancel()
