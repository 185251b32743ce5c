"""Tracks the connections of a listener, and closes a connection whose deadline has passed. If a listener has more
connections than its limit, evicts the connections that have waited longest for their client: closes them before their
deadline."""

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
"""The number of seconds that a connection may wait for its client before the connection can be evicted."""

HARD_LIMIT_FACTOR = 2
"""The hard limit of open connections is this number times `max_connections`. Above the hard limit, each new connection
evicts the connection that has waited longest, however short its wait."""

SWEEP_BATCH = 20
"""The largest number of connections that one sweep evicts, and the largest number that one sweep closes at their
deadline. With this limit, a sweep does not delay a POST, even if many clients reconnect at the same time."""

CLOSING_ROOM = 64
"""The number of sockets that may be open above the hard limit; if `max_connections` is smaller, that number. These
sockets belong to evicted connections that are not closed yet, or to connections in service, which are never evicted."""


class Connection(Protocol):
    """A connection of a listener: the part of `protocol.GuardedProtocol` that the limiter uses.

    Attributes:
        since: when the current wait for the client began, in seconds of the monotonic clock.
        deadline: when the current wait for the client must end, in seconds of the monotonic clock.
        transport: the transport of the connection. It is set only after the TLS handshake.
    """

    since: float
    deadline: float
    transport: asyncio.Transport

    def evict(self) -> str: ...
    def expire(self) -> bool: ...
    def shutdown(self) -> None: ...


class ConnectionLimiter:
    """Tracks the connections of one listener, and closes those that exceed a limit or a deadline.

    Attributes:
        limits: the limits of the listener. A reload may replace them.
        connections: the open connections, without those that were evicted.
        waiting: the connections that wait for their client, the longest wait first.
        closing: the evicted connections whose sockets are still open.
        empty: an event that is set while `connections` is empty.
        listener: the address of the listener, for log lines.
    """

    def __init__(self, limits: ListenerLimits, clock: Clock, on_evict: Callable[[str], None]) -> None:
        """Call `on_evict` with the reason when the limiter closes a waiting connection.

        The reason is `handshake`, `idle` or `half_sent` if the listener has too many connections, and `deadline` if the
        deadline of an incomplete request has passed. `on_evict` is not called if the deadline of another wait has
        passed, such as that of an idle connection or of a TLS handshake.
        """
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
        """Log the warning `text` about this listener. Lines with the same `action` and `key` share one rate limit."""
        self._logger.warning(text, *key, action=action, listener=self.listener, **fields)

    def has_room(self) -> bool:
        """Return whether the listener may accept another connection."""
        most = self.limits.max_connections
        return len(self.connections) + len(self.closing) < HARD_LIMIT_FACTOR * most + min(CLOSING_ROOM, most)

    def add(self, connection: Connection) -> None:
        """Track the new connection `connection`. If the hard limit is now exceeded, evict one other connection at once.

        Between `max_connections` and the hard limit, only `sweep` evicts connections, up to SWEEP_BATCH at a time. The
        reason: the listener accepts a whole burst of connections before it reads the first byte of any of them. If each
        new connection evicted another connection, clients that reconnect at once would evict each other without end.
        """
        self.connections.add(connection)
        self.empty.clear()
        if len(self.connections) > HARD_LIMIT_FACTOR * self.limits.max_connections:
            self._evict(1, keep=connection)

    def _evict(self, count: int, *, before: float = math.inf, keep: Connection | None = None) -> None:
        """Evict up to `count` connections, the longest wait first. Stop at the connection `keep`, and at the first
        connection whose wait began after `before` (in seconds of the monotonic clock)."""
        for oldest in list(islice(self.waiting, count)):
            if oldest is keep or oldest.since > before:
                return
            self._forget(oldest)  # before its socket is closed, so that the next `add` does not count the connection
            self.closing.add(oldest)
            reason = oldest.evict()
            self._on_evict(reason)
            self.log(
                "too many connections are open; the listener closes the connections that have waited longest for "
                "their client",
                "connections_evicted",
                reason,
                reason=reason,
                max_connections=self.limits.max_connections,
            )

    def evict_long_waits(self) -> None:
        """Evict up to SWEEP_BATCH connections, the longest wait first. Keep connections that have waited for less than
        EVICTION_GRACE."""
        self._evict(SWEEP_BATCH, before=self.clock.monotonic() - EVICTION_GRACE)

    def remove(self, connection: Connection) -> None:
        """Stop tracking `connection`, whose socket is closed."""
        self.closing.discard(connection)
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.waiting.pop(connection, None)
        if not self.connections:
            self.empty.set()

    def sweep(self) -> None:
        """Evict up to SWEEP_BATCH connections if there are more than `max_connections`, and close up to SWEEP_BATCH
        connections whose deadline has passed."""
        now = self.clock.monotonic()
        excess = len(self.connections) - self.limits.max_connections
        if excess > 0:
            self._evict(min(excess, SWEEP_BATCH), before=now - EVICTION_GRACE)
        late = (connection for connection in self.waiting if connection.deadline <= now)
        for connection in list(islice(late, SWEEP_BATCH)):
            if connection.expire():
                self._on_evict("deadline")
