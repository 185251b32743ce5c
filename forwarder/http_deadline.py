"""Ends a request of a synchronous HTTP client that takes too long."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Any, Self

import httpx


class HttpDeadline:
    """A time within which a response must be complete. It is a context manager, and each request gets its `extensions`.

    The timeouts of httpx limit each read alone, so a server that sends a byte each second keeps a request open for
    hours. When the time is over, this class closes the connection, so that httpx or the end of the `with` block raises
    an httpx.HTTPError. The connection of the request must be new.

    Attributes:
        is_over: whether the time was over before `stop` or the end of the `with` block.
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    @property
    def extensions(self) -> dict[str, Any]:
        """The extensions of a request of httpx. They make the connection known to this object."""
        return {"trace": self._trace}

    def stop(self) -> None:
        """Let the rest of the response take any time."""
        self._timer.cancel()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self.is_over and error is None:  # a body without a length seems to be complete if the connection ends
            raise httpx.ReadTimeout("the response was not complete in time")

    def _trace(self, event: str, details: dict[str, Any]) -> None:
        # TLS wraps the socket. Through a proxy, the event has another beginning.
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            with self._lock:
                self._socket = details["return_value"].get_extra_info("socket")
                if self.is_over:
                    self._close()

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            self._close()

    def _close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # The method of an SSLSocket would forget its TLS state while another thread reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
