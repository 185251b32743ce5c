"""uvicorn's HTTP protocol with deadlines and limits.

uvicorn itself waits without limit for the rest of a request, and accepts headers of any size. In this module, a
connection is either in service or waiting for its client. A connection is in service while a complete request has no
response yet. A connection is waiting during the TLS handshake, while it is idle, while a request is incomplete, and
while the client does not read a response. Each wait has a deadline. Above the limit of connections, the connection that
has waited longest is evicted (closed before its deadline). A connection in service is never evicted, so a complete POST
is answered, however many other connections are open.
"""

import asyncio
import socket
import ssl
from enum import Enum
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from forwarder.http.connections import ConnectionLimiter
from forwarder.http.head import refusal, without_upgrade
from forwarder.http.settings import MAX_URL

_MAX_HEADERS = 256  # a header of 5 bytes takes 100 bytes of memory
_MAX_PIPELINED = 16  # requests that wait behind the request in service; uvicorn itself has no limit
_LINGER_SECONDS = 2.0  # for a client to read an answer that was sent before its request was complete
_TLS_SHUTDOWN_SECONDS = 0.2  # for a client to confirm the end of TLS; the kernel already has all data
_CHUNK_OVERHEAD = 8  # bytes that may be sent for each byte of a chunked body; a chunk of one byte takes 6


class Phase(Enum):
    """The part of its next request that the client has sent."""

    HANDSHAKE = "handshake"  # nothing, because the connection is not open yet
    IDLE = "idle"  # nothing; the connection is open
    HEAD = "head"  # a part of the head
    BODY = "body"  # the whole head, but not the whole body
    LINGER = "linger"  # irrelevant: the connection discards further input, and closes soon


class GuardedProtocol(HttpToolsProtocol):
    """The asyncio protocol of one connection. `connections.Connection` describes its public attributes."""

    def __init__(self, config: uvicorn.Config, state: ServerState, limiter: ConnectionLimiter) -> None:
        super().__init__(config, state, {})
        self._limiter = limiter
        self._phase = Phase.HANDSHAKE
        self._opening: asyncio.Task[Any] | None = None
        self._unanswered = 0  # number of complete requests without a response; above 1 if the client pipelines
        self._read_no_more = False  # whether to ignore further input, and to close after the last response
        self._upgrades = False  # whether the head asks for another protocol
        self._error_status = 0  # status that refuses the request, set by a callback of the parser; 0 for no refusal
        self._now = 0.0  # when the last bytes arrived, in seconds of the monotonic clock
        self._received = 0  # bytes of the current request that have arrived, including chunk headers
        self._body_size = 0  # bytes of the current request's body that have arrived, without chunk headers
        self._completed = 0  # the number of complete requests so far
        self.since = 0.0
        self.deadline = 0.0

    # Deadlines

    def _wait_for_client(self, seconds: float) -> None:
        now = self._limiter.clock.monotonic()
        self.deadline = now + seconds
        if self not in self._limiter.waiting:  # a client that sends slowly keeps the start of its first wait
            self.since = now
            self._limiter.waiting[self] = None

    def _update_deadline(self) -> None:
        """Set the deadline for the client's next input. While a complete request has no response yet, the connection
        has no deadline."""
        limits = self._limiter.limits
        if self._unanswered:
            self._limiter.waiting.pop(self, None)
        elif self._phase is Phase.IDLE:
            self._wait_for_client(limits.keep_alive)
        elif self._phase is not Phase.LINGER:
            self._wait_for_client(limits.header_timeout if self._phase is Phase.HEAD else limits.body_timeout)

    # The beginning

    def open(self, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Serve the connection of the socket `accepted`, with TLS if `tls` is not None. Limits and deadlines also apply
        during the TLS handshake."""
        self._wait_for_client(self._limiter.limits.header_timeout)
        options: dict[str, Any] = {"ssl": tls, "ssl_shutdown_timeout": _TLS_SHUTDOWN_SECONDS} if tls else {}
        opening = self.loop.connect_accepted_socket(lambda: self, accepted, **options)
        self._opening = self.loop.create_task(opening)
        self._opening.add_done_callback(partial(self._opened, accepted))
        self._limiter.add(self)

    def _opened(self, accepted: socket.socket, opening: asyncio.Task[Any]) -> None:
        self._opening = None
        if not opening.cancelled() and (error := opening.exception()) is None:
            return
        self._limiter.remove(self)
        accepted.close()
        if not opening.cancelled() and isinstance(error, ssl.SSLError):  # a disconnect is not logged
            self._limiter.log("a TLS handshake failed", "tls_handshake_failed", error=error.reason)

    # Called by the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._phase = Phase.IDLE
        self.app_state["abort"] = transport.abort  # for an app whose response never ends by itself
        if self not in self._limiter.connections:
            transport.abort()  # evicted while its handshake ended
            return
        self._limiter.waiting.pop(self, None)
        self._wait_for_client(self._limiter.limits.header_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._limiter.remove(self)
        if self.cycle is not None and not self.cycle.more_body:
            # The request is complete, so the app serves it. uvicorn would hide the unread body from the app.
            self.cycle.disconnected = False

    def eof_received(self) -> bool:  # type: ignore[override]
        """Stop reading. Return whether to keep the connection open until all responses are sent (never with TLS)."""
        self._read_no_more = True
        return self._unanswered > 0 and self.scheme == "http"

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.LINGER or self._read_no_more:
            return
        phase, completed = self._phase, self._completed
        if phase is Phase.IDLE:
            self._received = 0
        self._received += len(data)
        self._now = self._limiter.clock.monotonic()
        status = 0
        try:
            self._feed(data)
        except httptools.HttpParserError:
            status = self._error_status or 400
        if completed != self._completed or phase is not self._phase:
            self._update_deadline()  # once for all of `data`: no deadline is checked before this method ends
        if status:
            self._refuse(status)
        elif completed != self._completed:
            self._received = 0  # most of `data` belonged to an earlier request
        elif self._is_overlong():
            self._refuse(431)

    def _is_overlong(self) -> bool:
        """Return whether the head, the trailer or the chunk headers of an incomplete request are too large."""
        limit = self._limiter.limits.max_header_bytes + _CHUNK_OVERHEAD * self._body_size
        return self._received > limit or len(self.headers or ()) > _MAX_HEADERS

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:  # after this, the parser would not read the body
                method, version = self.parser.get_method(), self.parser.get_http_version()
                data = without_upgrade(method, self.url, version, self.headers) + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            else:
                return

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_client(self._limiter.limits.body_timeout)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._update_deadline()

    # Called by the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["began"] = self._now
        self._phase = Phase.HEAD
        self._body_size = 0

    def on_headers_complete(self) -> None:
        self._upgrades = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._upgrades:
            return  # `_feed` parses the head again, without the `Upgrade` header
        limit, version = self._limiter.limits.max_header_bytes, self.parser.get_http_version()
        if len(self.url) > MAX_URL:
            self._error_status = 414
        elif len(self.headers) > _MAX_HEADERS or (self._received > limit and self._head_bytes() > limit):
            self._error_status = 431
        elif status := refusal(self.headers, version):
            self._error_status = status
        elif len(self.pipeline) >= _MAX_PIPELINED:
            self._error_status = 400  # not sent: earlier requests are answered, then the connection closes
        if self._error_status:
            raise ValueError  # httptools raises HttpParserError instead; `data_received` sends the status
        self.expect_100_continue = self.expect_100_continue and version != "1.0"  # HTTP/1.0 has no interim responses
        super().on_headers_complete()
        self.headers = []  # a trailer must not be taken for a header
        self._phase = Phase.BODY
        self.cycle.transport = cast("asyncio.Transport", self)
        if self.expect_100_continue:
            # After an early refusal, the client may omit the body. Then the start of the next request is unknown.
            self.cycle.keep_alive = False

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrades:
            return
        super().on_message_complete()
        self._phase = Phase.IDLE
        self._completed += 1
        if not self.cycle.response_complete:  # else this request was answered before its body ended
            self._unanswered += 1

    # Responses

    def on_response_complete(self) -> None:
        """Serve or await the next request. Does not call uvicorn's method, which starts a timer for each response."""
        self.server_state.total_requests += 1
        early = not self.pipeline and self.cycle.more_body  # the response ended before the request was complete
        if not early:
            self._unanswered -= 1
        if self.transport.is_closing() or self._phase is Phase.LINGER:
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._read_no_more:
            self.transport.close()
            return
        self._update_deadline()

    # Methods of a transport for uvicorn's responses. The real one may be closed already, or must not close yet.

    def is_closing(self) -> bool:
        return self.transport.is_closing()

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Close the connection. If the client is still sending a request, first give it _LINGER_SECONDS to read the
        response: an immediate close sends a TCP reset, which makes the client lose the response."""
        if self._phase in (Phase.HEAD, Phase.BODY) and not self.transport.is_closing():
            self._linger()
        else:
            self.transport.close()

    # Errors

    def _linger(self) -> None:
        self._phase = Phase.LINGER
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._wait_for_client(_LINGER_SECONDS)

    def _refuse(self, status: int) -> None:
        """Answer an invalid or incomplete request with `status`, and close the connection. If an earlier request has no
        response yet, do not send `status`, and close the connection after the responses to the earlier requests."""
        if self.headers:
            self.headers.clear()  # frees memory: the connection may stay open for a while
        if self.transport.is_closing():
            return
        if self._unanswered:
            self._read_no_more = True  # the connection closes after the answers to the earlier requests
            return
        if not self._answered_early():
            self._answer(status)
        self._linger()
        self._limiter.log(
            "an invalid or incomplete request was refused",
            "request_refused",
            str(status),
            status=status,
            reason=HTTPStatus(status).phrase,
            client=self.client[0] if self.client else "",
        )

    def _answered_early(self) -> bool:
        return self._phase is Phase.BODY and self.cycle.response_started

    def _answer(self, status: int) -> None:
        """Send `status` instead of the app's response. If the app is still reading the body, the app receives the ASGI
        message `http.disconnect`."""
        line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        self.transport.write(line.encode() + b"content-length: 0\r\nconnection: close\r\n\r\n")
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()

    # Called by the limiter

    def evict(self) -> str:
        """Close the connection at once. If part of a request has arrived, answer 503 first, so that the client retries.
        Return the metric's label `reason`: `handshake`, `idle` or `half_sent`."""
        if self._phase is Phase.HANDSHAKE:
            self._cancel_opening()
            return "handshake"
        if self._phase is Phase.IDLE and not self.flow.write_paused:
            self.transport.abort()  # all answers are sent; do not wait for the end of TLS
            return "idle"
        half_sent = self._phase in (Phase.HEAD, Phase.BODY)
        if half_sent and not self.flow.write_paused and not self._answered_early():
            self._answer(503)
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # the client may never read the rest of the answer
        else:
            self.transport.close()
        return "half_sent"

    def expire(self) -> bool:
        """Close the connection, because its deadline has passed. If part of a request has arrived, answer 408 first.
        Return whether part of a request has arrived."""
        self._limiter.waiting.pop(self, None)
        phase = self._phase
        if phase is Phase.HANDSHAKE:
            self._cancel_opening()
        elif phase is Phase.IDLE and not self.flow.write_paused:
            self.transport.close()
        elif phase is Phase.LINGER or self.flow.write_paused or self._answered_early():
            self.transport.abort()
        else:
            self._refuse(408)
        return phase in (Phase.HEAD, Phase.BODY)

    def _cancel_opening(self) -> None:
        if self._opening is not None:
            self._opening.cancel()

    def shutdown(self) -> None:
        """Close the connection: after the response to the request in service, or at once if there is none."""
        if self._phase is Phase.HANDSHAKE:
            self._limiter.remove(self)
            self._cancel_opening()
        else:
            super().shutdown()
