"""One ASGI app on one listener, inside the running event loop, without a hand on the process's signals.

uvicorn's own `Server` would take the signals, leave by `sys.exit` where the port is taken, and answer 500 to what it
cancels. So its protocol and its configuration are used, and the few steps of its `Server` are written here.
"""

import asyncio
import resource
import ssl
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from forwarder import logs
from forwarder.config_types import Listen
from forwarder.core.errors import SettingsError
from forwarder.http.connections import BURST, ConnectionLimiter
from forwarder.http.protocol import GuardedProtocol
from forwarder.http.settings import ListenerLimits

_SWEEP = 0.1  # seconds between two looks at the deadlines
_RESERVE = 256  # open files for everything but connections: the store, the sinks, the other listener
_FLUSH = 1.0  # seconds for last answers to leave
_BACKLOG = 2048


class Server:
    """A listener: `start`, `stop`, and both may be called from any task of the loop."""

    def __init__(
        self, app: Any, listen: Listen, guard: ConnectionLimiter, tls: ssl.SSLContext | None = None
    ) -> None:
        """Make a listener; `start` opens it.

        Args:
            app: any ASGI 3 app; it hears nothing of a lifespan.
            listen: the address; port 0 lets the system choose.
            guard: of this listener alone.
            tls: serve HTTPS.
        """
        self._listen = listen
        self._guard = guard
        self._tls = tls
        self._log = logs.get("receive")
        self._config = uvicorn.Config(
            app,
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self._state = ServerState()
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def address(self) -> Listen:
        """Where it listens, with the port that the system chose where 0 was asked for."""
        if self._listener is None or not self._listener.sockets:
            return self._listen
        host, port = self._listener.sockets[0].getsockname()[:2]
        return Listen(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._guard.connections)

    async def start(self) -> None:
        """Listen.

        Raises:
            SettingsError: the address cannot be had.
        """
        self.reload(self._guard.limits)
        self._config.load()
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                lambda: GuardedProtocol(self._config, self._state, loop, self._guard),
                self._listen.host,
                self._listen.port,
                backlog=_BACKLOG,
                ssl=self._tls,
                # Until the handshake is through the protocol does not see the connection, so asyncio must watch it.
                ssl_handshake_timeout=self._guard.limits.header_timeout if self._tls else None,
                ssl_shutdown_timeout=_FLUSH if self._tls else None,
            )
        except OSError as error:
            what = error.strerror or str(error)
            fault = (
                f"{self._listen}: cannot listen there: {what}; choose another address or stop what uses it"
            )
            raise SettingsError([fault]) from None
        self._sweeper = asyncio.create_task(self._sweep(), name="sweeper")

    def reload(self, limits: ListenerLimits) -> None:
        """Take new limits, for connections old and new."""
        room = (open_files(BURST * limits.max_connections + _RESERVE) - _RESERVE) // BURST
        if room < limits.max_connections:
            self._log.warning(
                "fewer connections fit than configured",
                action="listener_limited",
                max_connections=room,
                hint="raise the limit of open files",
            )
            limits = limits.model_copy(update={"max_connections": max(room, 1)})
        self._guard.limits = limits

    async def stop(self, grace: float | None = None) -> None:
        """Close the door, let what is in flight end, close everything. Safe to call twice and without a `start`.

        Args:
            grace: seconds for requests in flight; the limits' own where None. What takes longer is cancelled.
        """
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self._guard.connections):
            connection.shutdown()
        await self._drain(self._guard.limits.grace if grace is None else grace)
        for connection in list(self._guard.connections):
            connection.transport.close()
        try:
            await asyncio.wait_for(self._guard.empty.wait(), _FLUSH)
        except TimeoutError:
            for connection in list(self._guard.connections):
                connection.transport.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
            self._sweeper = None

    async def _drain(self, grace: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        # More may begin meanwhile, on connections that are open.
        while self._state.tasks and (left := until - loop.time()) > 0:
            await asyncio.wait(set(self._state.tasks), timeout=left)
        late = set(self._state.tasks)
        for task in late:
            task.cancel()
        if late:
            self._log.warning(
                "requests took too long to end; their senders are told to try again",
                action="requests_cancelled",
                requests=len(late),
                after_seconds=grace,
            )
            await asyncio.wait(late, timeout=_FLUSH)

    async def _sweep(self) -> None:
        while True:
            await self._guard.clock.sleep(_SWEEP)
            try:
                self._guard.sweep()
            except Exception:  # noqa: BLE001  # deadlines must go on for all other connections
                self._log.exception("deadlines could not be looked at", action="connection_sweep_failed")


def open_files(wanted: int) -> int:
    """Raise this process's limit of open files towards `wanted`, never beyond what the system allows; the limit now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= wanted:
        return wanted if soft == unlimited else soft
    target = wanted if hard == unlimited else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    return target
