"""Tracks the connections of a listener. Closes the connections whose deadline has passed. If there are more
connections than the limit, evicts (closes early) the connections that have waited longest for their
client."""

import asyncio
import math
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from forwarder import logs
from forwarder.core.ports import Clock
from forwarder.http.settings import ListenerLimits
from forwarder.logs import RateLimitedLogger

EVICTION_GRACE = 0.25
"""Seconds that a connection may wait before it can be evicted."""

HARD_LIMIT_FACTOR = 2
"""The hard limit is this many times `max_connections`. Above the hard limit, the connection that has waited
longest is evicted, however short its wait."""

SWEEP_BATCH = 20
"""The largest number of connections that one sweep evicts, and also the largest number that it closes at
their deadline. A POST is then not delayed, even if many clients reconnect at the same time."""

CLOSING_ROOM = 64
"""The number of sockets that may be open beyond the hard limit, or `max_connections` if that is smaller.
These sockets belong to evicted connections that are still closing, or to connections in service, which are
never evicted."""


class Connection(Protocol):
    """A connection of a listener: the part of `protocol.GuardedProtocol` that the limiter uses.

    Attributes:
        since: when the connection began to wait for its client, by `clock.monotonic`.
        deadline: when this wait must end, by `clock.monotonic`.
    """

    since: float
    deadline: float
    transport: asyncio.Transport  # set only after the TLS handshake

    def evict(self) -> str: ...
    def expire(self) -> bool: ...
    def shutdown(self) -> None: ...


class ConnectionLimiter:
    """The connections of one listener.

    Attributes:
        waiting: the connections that wait for their client, the longest wait first.
        closing: evicted connections whose sockets are still open.
        empty: set while there are no connections.
        listener: the address of the listener, for log lines.
    """

    def __init__(self, limits: ListenerLimits, clock: Clock, on_evict: Callable[[str], None]) -> None:
        """Call `on_evict` with the reason when a waiting connection is closed: `handshake`, `idle` or
        `half_sent` if there are too many connections, `deadline` if the deadline of a partial request has
        passed. A reload may replace `limits`."""
        self.limits = limits
        self.clock = clock
        self.connections: set[Connection] = set()
        self.waiting: dict[Connection, None] = {}
        self.closing: set[Connection] = set()
        self.listener = ""
        self.empty = asyncio.Event()
        self.empty.set()
        self._on_evict = on_evict
        self._logger = RateLimitedLogger(logs.get("http"), clock)

    def log(self, text: str, action: str, *key: str, **fields: object) -> None:
        """Log a warning about this listener. Lines with the same `action` and `key` share one rate limit."""
        self._logger.warning(text, *key, action=action, listener=self.listener, **fields)

    def has_room(self) -> bool:
        """Whether the listener may accept another connection."""
        most = self.limits.max_connections
        return len(self.connections) + len(self.closing) < HARD_LIMIT_FACTOR * most + min(CLOSING_ROOM, most)

    def add(self, connection: Connection) -> None:
        """Track a new connection. If the hard limit is now exceeded, evict one other connection immediately.

        Between the limit and the hard limit, only `sweep` evicts connections, a few at a time. The reason:
        the listener accepts a whole burst of connections before it reads the first byte of any of them. If
        each new connection evicted another one, clients that reconnect immediately would evict each other
        without end.
        """
        self.connections.add(connection)
        self.empty.clear()
        if len(self.connections) > HARD_LIMIT_FACTOR * self.limits.max_connections:
            self._evict(1, keep=connection)

    def _evict(self, count: int, *, before: float = math.inf, keep: Connection | None = None) -> None:
        """Evict up to `count` connections, the longest wait first. Stop at the first connection that is
        `keep`, or whose wait began after `before`."""
        for oldest in list(islice(self.waiting, count)):
            if oldest is keep or oldest.since > before:
                return
            self._forget(oldest)  # now, while its socket is still open: the next `add` must not count it
            self.closing.add(oldest)
            reason = oldest.evict()
            self._on_evict(reason)
            self.log(
                "too many connections; the connections that waited longest for their client are closed",
                "connections_evicted",
                reason,
                reason=reason,
                max_connections=self.limits.max_connections,
            )

    def evict_long_waits(self) -> None:
        """Evict up to SWEEP_BATCH of the connections that have waited longest for their client."""
        self._evict(SWEEP_BATCH, before=self.clock.monotonic() - EVICTION_GRACE)

    def remove(self, connection: Connection) -> None:
        """Stop tracking a connection whose socket has closed."""
        self.closing.discard(connection)
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.waiting.pop(connection, None)
        if not self.connections:
            self.empty.set()

    def sweep(self) -> None:
        """Evict connections above the limit, and close connections whose deadline has passed: up to
        SWEEP_BATCH of each kind."""
        now = self.clock.monotonic()
        excess = len(self.connections) - self.limits.max_connections
        if excess > 0:
            self._evict(min(excess, SWEEP_BATCH), before=now - EVICTION_GRACE)
        late = (connection for connection in self.waiting if connection.deadline <= now)
        for connection in list(islice(late, SWEEP_BATCH)):
            if connection.expire():
                self._on_evict("deadline")
