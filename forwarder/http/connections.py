"""Which connections there are, whose client is to act, and which one goes when there are too many."""

import asyncio
import math
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from forwarder.core.ports import Clock
from forwarder.http.settings import ListenerLimits

YOUNG = 0.25
"""Seconds in which a connection is not closed for room."""

BURST = 2
"""But for this many times the cap, at which the oldest goes, however young."""

A_SWEEP = 20
"""Connections closed at one look for their deadline, or for room, so that a crowd that comes again at once holds up no
POST."""


class Connection(Protocol):
    """A connection as the guard sees it."""

    since: float
    """When it began to wait, by `clock.monotonic`."""
    deadline: float
    """Until when it may wait."""
    transport: asyncio.Transport

    def make_room(self) -> str:
        """Close at once; the reason, for counting."""
        ...

    def expire(self) -> bool:
        """Close because the deadline has passed. True where half a request was there."""
        ...

    def shutdown(self) -> None:
        """Close once what is in flight is answered."""
        ...


class ConnectionLimiter:
    """What the connections of one listener share.

    Attributes:
        limits: what they allow; a reload swaps it.
        clock: the time.
        connections: all of them.
        waiting: those where it is the client's turn, the longest first.
        empty: set while there are none.
    """

    def __init__(self, limits: ListenerLimits, clock: Clock, shed: Callable[[str], None]) -> None:
        """Make a guard for one listener.

        Args:
            limits: what a client may do.
            clock: the time.
            shed: called for each connection that is closed on its client, with the reason: `idle` or `half_sent`
                where it made room, `deadline` where it had begun a request and did not end it.
        """
        self.limits = limits
        self.clock = clock
        self.connections: set[Connection] = set()
        self.waiting: dict[Connection, None] = {}
        self.empty = asyncio.Event()
        self.empty.set()
        self._shed = shed

    def entered(self, connection: Connection) -> None:
        """Take a connection in. At twice the cap another one goes at once, but never this one.

        Between the cap and that, `sweep` makes room little by little: a burst of connections is accepted before the
        first byte of any is read, and a client that comes again as soon as it is sent away would otherwise push out
        the next one, and so on without an end.
        """
        self.connections.add(connection)
        self.empty.clear()
        if len(self.connections) > BURST * self.limits.max_connections:
            self._make_room(1, but=connection)

    def _make_room(self, count: int, *, before: float = math.inf, but: Connection | None = None) -> None:
        """Send the longest waiting away, `count` at most, those only whose wait began `before`."""
        for oldest in list(islice(self.waiting, count)):
            if oldest is but or oldest.since > before:
                return
            self.left(oldest)  # now, not when its transport has closed: the next one must not count it
            self._shed(oldest.make_room())

    def left(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self.waiting.pop(connection, None)
        if not self.connections:
            self.empty.set()

    def sweep(self) -> None:
        """Close connections whose client has let its deadline pass, and those that are too many after a burst."""
        now = self.clock.monotonic()
        too_many = len(self.connections) - self.limits.max_connections
        if too_many > 0:
            self._make_room(min(too_many, A_SWEEP), before=now - YOUNG)
        late = (connection for connection in self.waiting if connection.deadline <= now)
        for connection in list(islice(late, A_SWEEP)):
            if connection.expire():
                self._shed("deadline")
