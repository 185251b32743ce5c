"""Tracks a listener's connections, closes those past their deadline, and evicts waiting ones above the limit."""

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
"""Above this many times the limit, the connection that waits longest is evicted, even after a short wait."""

SWEEP_BATCH = 20
"""The most connections that one sweep closes, so that a crowd of clients that reconnect at once delays no POST."""

CLOSING_ROOM = 64
"""How many sockets may be open beyond the hard limit, but at most `max_connections`. They belong to evicted
connections that are still closing, or to connections in service, which are never evicted."""


class Connection(Protocol):
    """A `protocol.GuardedProtocol`. It began to wait on its client at `since`, and that wait must end at
    `deadline`, both by `clock.monotonic`."""

    since: float
    deadline: float
    transport: asyncio.Transport  # only after the TLS handshake

    def evict(self) -> str: ...
    def expire(self) -> bool: ...
    def shutdown(self) -> None: ...


class ConnectionLimiter:
    """The connections of one listener.

    Attributes:
        waiting: the connections that wait on their client, the longest wait first.
        closing: evicted connections whose sockets are still open.
        empty: set while there are no connections.
        listener: the address of the listener, for log lines.
    """

    def __init__(self, limits: ListenerLimits, clock: Clock, on_evict: Callable[[str], None]) -> None:
        """Args: `on_evict` is called with the reason why a waiting connection is closed: `handshake`, `idle`
        or `half_sent` above the limit, `deadline` for a request past its deadline. A reload may replace
        `limits`."""
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
        """Log a warning about this listener; lines with the same `action` and `key` are limited together."""
        self._logger.warning(text, *key, action=action, listener=self.listener, **fields)

    def has_room(self) -> bool:
        """Whether the listener may accept another connection."""
        most = self.limits.max_connections
        return len(self.connections) + len(self.closing) < HARD_LIMIT_FACTOR * most + min(CLOSING_ROOM, most)

    def add(self, connection: Connection) -> None:
        """Track a new connection. Above the hard limit, evict another connection at once, never `connection`.

        Between the limit and the hard limit, `sweep` evicts little by little: a burst of connections is
        accepted before the first byte of any is read, and clients that reconnect as soon as they are evicted
        would otherwise evict each other without end.
        """
        self.connections.add(connection)
        self.empty.clear()
        if len(self.connections) > HARD_LIMIT_FACTOR * self.limits.max_connections:
            self._evict(1, keep=connection)

    def _evict(self, count: int, *, before: float = math.inf, keep: Connection | None = None) -> None:
        """Evict up to `count` of the connections that have waited longest, if their wait began at `before` or
        earlier. Stop at `keep`."""
        for oldest in list(islice(self.waiting, count)):
            if oldest is keep or oldest.since > before:
                return
            self._forget(oldest)  # before its socket has closed, so that the next `add` does not count it
            self.closing.add(oldest)
            reason = oldest.evict()
            self._on_evict(reason)
            self.log(
                "too many connections; those that waited longest for their client are closed",
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
        """Evict connections above the limit, and close those past their deadline: up to 20 of each."""
        now = self.clock.monotonic()
        excess = len(self.connections) - self.limits.max_connections
        if excess > 0:
            self._evict(min(excess, SWEEP_BATCH), before=now - EVICTION_GRACE)
        late = (connection for connection in self.waiting if connection.deadline <= now)
        for connection in list(islice(late, SWEEP_BATCH)):
            if connection.expire():
                self._on_evict("deadline")
