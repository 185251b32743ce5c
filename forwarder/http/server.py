"""Runs one ASGI app on one listener, in the running event loop.

This module uses only uvicorn's protocol and configuration, not uvicorn's own `Server`, because `Server` handles the
signals of the process, calls `sys.exit` if the port is in use, and answers 500 to the requests that it cancels.
"""

import asyncio
import os
import resource
import socket
import ssl
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from forwarder import logs
from forwarder.config.hosts import Listen
from forwarder.core.errors import SettingsError
from forwarder.http.acceptor import Acceptor
from forwarder.http.connections import HARD_LIMIT_FACTOR, ConnectionLimiter
from forwarder.http.protocol import GuardedProtocol
from forwarder.http.settings import ListenerLimits

_SWEEP_INTERVAL = 0.1
_RESERVED_FILES = 512  # open files for the store, the sinks, and the other listener, which needs at most 264
_FLUSH_TIMEOUT = 1.0  # seconds in which the last responses must be sent


class Server:
    """A listener that serves one ASGI app. Any task of the event loop may call `start` and `stop`.

    Attributes:
        tls: the TLS context of new connections; None for plain HTTP. A reload may replace this context.
    """

    def __init__(self, app: Any, listen: Listen, limiter: ConnectionLimiter, tls: ssl.SSLContext | None = None) -> None:
        """Serve `app`, an ASGI 3 app, which gets no lifespan events. If `listen` has port 0, the system chooses a free
        port. No other listener may use `limiter`."""
        self._listen = listen
        self._limiter = limiter
        self.tls = tls
        self._logger = logs.get("receive")
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
        self._acceptor = Acceptor(limiter, self._open)
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def address(self) -> Listen:
        """The host and port on which the listener listens. Before `start` and after `stop`, this is the configured
        address."""
        if self._acceptor.address is None:
            return self._listen
        host, port = self._acceptor.address
        return Listen(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def start(self, key: str = "--listen") -> None:
        """Start to listen. `key` is the name of the setting or option that has the address, for the error message.

        Raises:
            SettingsError: the forwarder cannot listen on the address.
        """
        self.reload(self._limiter.limits)
        self._config.load()
        try:
            await self._acceptor.start(self._listen)
        except OSError as error:
            number = error.errno or 0  # negative if the host has no address
            reason = os.strerror(number) if number > 0 else error.strerror or str(error)
            hint = "choose another address, or stop the process that uses it"
            raise SettingsError([f"{key}: cannot listen on {self._listen}: {reason}; {hint}"]) from None
        self._limiter.listener = str(self.address)
        self._sweeper = asyncio.create_task(self._sweep(), name="sweeper")

    def _open(self, accepted: socket.socket) -> None:
        GuardedProtocol(self._config, self._state, self._limiter).open(accepted, self.tls)

    def reload(self, limits: ListenerLimits) -> None:
        """Apply `limits` to open and new connections. If the process may not open enough files, use a lower
        `max_connections` and log a warning."""
        files = raise_open_files_limit(HARD_LIMIT_FACTOR * limits.max_connections + _RESERVED_FILES)
        possible = most_connections(files)
        if possible < limits.max_connections:
            self._logger.warning(
                "the limit of open files allows fewer connections than `max_connections`",
                action="listener_limited",
                max_connections=possible,
                hint="raise the limit of open files (LimitNOFILE=, ulimit -n)",
            )
            limits = limits.model_copy(update={"max_connections": possible})
        self._limiter.limits = limits

    async def stop(self, grace: float | None = None) -> None:
        """Stop listening, finish the requests in progress, and close all connections. Cancel the requests that take
        longer than `grace` seconds; None means the `grace` of the limits. A second call does nothing."""
        self._acceptor.close()
        for connection in list(self._limiter.connections):
            connection.shutdown()
        await self._drain(self._limiter.limits.grace if grace is None else grace)
        for connection in list(self._limiter.connections):
            connection.transport.close()
        try:
            async with asyncio.timeout(_FLUSH_TIMEOUT):
                await self._limiter.empty.wait()
        except TimeoutError:
            for connection in list(self._limiter.connections):
                connection.transport.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
            self._sweeper = None

    async def _drain(self, grace: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        # While these requests end, more requests may begin on open connections.
        while self._state.tasks and (left := until - loop.time()) > 0:
            await asyncio.wait(set(self._state.tasks), timeout=left)
        late = set(self._state.tasks)
        for task in late:
            task.cancel()
        if late:
            self._logger.warning(
                "requests took too long; the listener cancelled them, and answered 503, so that the clients retry",
                action="requests_cancelled",
                requests=len(late),
                after_seconds=grace,
            )
            await asyncio.wait(late, timeout=_FLUSH_TIMEOUT)

    async def _sweep(self) -> None:
        while True:
            await self._limiter.clock.sleep(_SWEEP_INTERVAL)
            try:
                self._limiter.sweep()
                self._acceptor.resume()
            except Exception:  # the deadlines of the other connections must still be checked
                self._logger.exception(
                    "connections past their deadline could not be closed; the listener tries again. This is a bug: please report it",
                    action="connection_sweep_failed",
                )


def most_connections(files: int) -> int:
    """Return the largest `max_connections` that one listener can use if the process may open `files` files."""
    return max((files - min(_RESERVED_FILES, files * 3 // 4)) // HARD_LIMIT_FACTOR, 1)


def raise_open_files_limit(wanted: int) -> int:
    """Raise this process's limit of open files to `wanted`, or to the highest limit below `wanted` that the system
    allows. Return the resulting limit; if the process has no limit, return `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= wanted:
        return wanted if soft == unlimited else soft
    target = wanted if hard == unlimited else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    return target
