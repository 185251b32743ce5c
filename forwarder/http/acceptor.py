"""Accepts the connections of a listener.

The forwarder does not use uvloop's own server, for two reasons. If one `accept` fails, for example because the process
has too many open files, uvloop closes the listening socket and logs nothing. And uvloop reports a TLS connection only
after its handshake, so the limit of connections would not count the connections whose handshake is not complete.
"""

import asyncio
import os
import resource
import socket
from collections.abc import Callable

from forwarder.config.hosts import Listen
from forwarder.http.connections import ConnectionLimiter

_BACKLOG = 2048
_ACCEPTS_PER_TURN = 32  # in one turn of the event loop
_TRY_AGAIN = (BlockingIOError, InterruptedError, ConnectionAbortedError)


class Acceptor:
    """The listening sockets of one listener: one socket for each address of its host.

    If the forwarder cannot accept a connection now, it pauses the listening socket until `resume` is called. Meanwhile,
    new clients wait in the kernel's queue.
    """

    def __init__(self, limiter: ConnectionLimiter, take: Callable[[socket.socket], None]) -> None:
        """Call `take` with the socket of each accepted connection. `take` must add the connection to `limiter`."""
        self._limiter = limiter
        self._take = take
        self._sockets: list[socket.socket] = []
        self._paused: set[socket.socket] = set()

    async def start(self, listen: Listen) -> None:
        """Listen on every address to which `listen.host` resolves.

        Raises:
            OSError: the host does not resolve, or the system does not allow to listen on one of its addresses.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in found:
                self._sockets.append(socket.create_server(address, family=family, backlog=_BACKLOG))
        except OSError:
            self.close()
            raise
        for listener in self._sockets:
            listener.setblocking(False)
            loop.add_reader(listener, self._accept, listener)

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of the first listening socket; None before `start` and after `close`."""
        if not self._sockets:
            return None
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Stop listening. Safe to call twice."""
        for listener in self._sockets:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        self._sockets.clear()
        self._paused.clear()

    def resume(self) -> None:
        """Accept connections on the paused sockets again."""
        while self._paused:
            listener = self._paused.pop()
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if not self._limiter.has_room():
                self._pause(listener)
                self._limiter.log(
                    "new connections wait, because too many connections are still being answered or closed",
                    "connections_full",
                )
                return
            try:
                accepted, _ = listener.accept()
            except _TRY_AGAIN:
                return
            except OSError as error:
                self._pause(listener)
                self._limiter.evict_long_waits()
                self._log_failure(error)
                return
            accepted.setblocking(False)
            self._take(accepted)

    def _pause(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(listener)
        self._paused.add(listener)

    def _log_failure(self, error: OSError) -> None:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._limiter.log(
            "the listener cannot accept new connections now; new connections wait until the listener tries again",
            "accept_failed",
            error=os.strerror(error.errno or 0),
            open_files_limit=limit,
            hint="raise the limit of open files (LimitNOFILE=, ulimit -n), or lower `max_connections`",
        )
