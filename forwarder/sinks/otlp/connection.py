"""An HTTP adapter of `requests` whose connection another thread can end.

The timeouts of `requests` count from byte to byte: a server that sends one now and then keeps a call, its thread
and its descriptor without end. Only the end of the socket ends such a call.
"""

import contextlib
import functools
import socket
import threading
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection


class AbortableAdapter(HTTPAdapter):
    """One connection at a time, which `abort` ends, together with each that is opened later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._aborted = False
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def abort(self) -> None:
        with self._lock:
            self._aborted = True
            self._end()

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> Any:
        pool: Any = super().get_connection_with_tls_context(request, *args, **options)
        kind = _HttpsConnection if pool.scheme == "https" else _HttpConnection
        pool.ConnectionCls = functools.partial(kind, opened=self._opened)
        return pool

    def _opened(self, connected: socket.socket) -> None:
        with self._lock:
            self._socket = connected
            if self._aborted:
                self._end()

    def _end(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # Not the method of an SSLSocket, which takes the TLS state away from the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _HttpConnection(HTTPConnection):
    def __init__(self, *args: Any, opened: Callable[[Any], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._opened = opened

    def connect(self) -> None:
        super().connect()
        self._opened(self.sock)


class _HttpsConnection(HTTPSConnection):
    def __init__(self, *args: Any, opened: Callable[[Any], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._opened = opened

    def connect(self) -> None:
        super().connect()
        self._opened(self.sock)
