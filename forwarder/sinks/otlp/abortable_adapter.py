"""An HTTP adapter for the library `requests`. The adapter skips interim responses (1xx), and another thread can close
the connection of the adapter.

The timeouts of `requests` apply only to the time between two bytes. So a server that slowly sends single bytes can keep
a call, its thread and its file descriptor busy without limit. Only closing the socket ends the call.

`http.client` skips an interim response only if its status is 100. It treats an interim response with another status,
such as 103, as the final response. It then treats the real response as the response to the next request on the
connection.
"""

import contextlib
import functools
import http.client
import socket
import threading
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from forwarder.interim_responses import MAX_INTERIM


class AbortableAdapter(HTTPAdapter):
    """An adapter with one connection at a time. The method `abort` closes the open connection, and also makes every
    later connection close at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._aborted = False
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def abort(self) -> None:
        with self._lock:
            self._aborted = True
            self._end()

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(request, *args, **options)
        kind = _ReportingTlsConnection if pool.scheme == "https" else _ReportingConnection
        pool.ConnectionCls = functools.partial(kind, opened=self._opened)
        return pool

    def _opened(self, connected: socket.socket) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            # A copy of the descriptor is kept, because TLS detaches it from the original socket before its handshake.
            self._socket = connected.dup()
            if self._aborted:
                self._end()

    def _end(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the server may have ended the connection already
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None


class _FinalResponse(http.client.HTTPResponse):
    """An HTTP response. While it is read, the interim responses (1xx) that the server sent before it are skipped."""

    def begin(self) -> None:
        for _ in range(MAX_INTERIM + 1):
            super().begin()
            if self.status >= 200:
                return
            self.headers = self.msg = None  # type: ignore[assignment]  # `begin` reads a response only while these are None
        raise http.client.HTTPException(f"more than {MAX_INTERIM} interim responses (status {self.status})")


class _ReportingConnection(HTTPConnection):
    """A connection that passes its socket to `opened` before it starts TLS and before it sends data."""

    response_class = _FinalResponse

    def __init__(self, *args: Any, opened: Callable[[socket.socket], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._opened = opened

    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        self._opened(connected)
        return connected


class _ReportingTlsConnection(_ReportingConnection, HTTPSConnection):
    """A connection with TLS that passes its socket to `opened` before the handshake."""
