"""uvicorn's HTTP protocol, hardened: deadlines, caps, and room for a whole request at any time.

uvicorn itself waits for ever for the rest of a request and takes headers of any size. Here a connection is at any
moment either ours to serve (a whole request waits for its answer) or the client's turn (nothing, half a head, half a
body, or an answer that it does not read). Every client's turn has a deadline, and when there are more connections
than the cap, the one whose turn has lasted longest makes room. A connection that is ours is never closed for room,
so a POST that arrives whole is answered however many others idle.
"""

import asyncio
from enum import Enum
from http import HTTPStatus
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from forwarder.http.connections import ConnectionLimiter

_MAX_URL = 8192
_MAX_PIPELINE = 16  # requests waiting behind the one in service; uvicorn would read on without an end
_LINGER = 2.0  # seconds for a client to read an answer that came before it had sent everything
_OVERHEAD = 8  # bytes that a chunked body may cost for each of its own; chunks of one byte take 6


class Phase(Enum):
    """How far the request has come that the client is sending."""

    IDLE = "idle"  # nothing of it yet
    HEAD = "head"
    BODY = "body"
    LINGER = "linger"  # whatever comes is thrown away; the connection closes soon


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        loop: asyncio.AbstractEventLoop,
        guard: ConnectionLimiter,
    ) -> None:
        super().__init__(config, state, {}, loop)
        self._guard = guard
        self._outlet: Any = None
        self._phase = Phase.IDLE
        self._unanswered = 0  # whole requests: more than one where the client pipelines
        self._last_answer = False  # no request after those that are whole is read any more
        self._fault = 0  # the status that a callback of the parser asks for
        self._now = 0.0  # when the last bytes came
        self._received = 0  # bytes of the request that the client is sending, as they come off the wire
        self._body_size = 0
        self._completed = 0
        self.since = 0.0
        self.deadline = 0.0

    # Whose turn it is.

    def _clients_turn(self, seconds: float) -> None:
        now = self._guard.clock.monotonic()
        self.deadline = now + seconds
        if self not in self._guard.waiting:  # else it keeps its place: who drips is not young again
            self.since = now
            self._guard.waiting[self] = None

    def _our_turn(self) -> None:
        self._guard.waiting.pop(self, None)

    def _next_turn(self) -> None:
        """An answer is out, or the client reads again: serve what is whole, or wait for what is not."""
        limits = self._guard.limits
        if self._unanswered:
            self._our_turn()
        elif self._phase is Phase.IDLE:
            self._clients_turn(limits.keep_alive)
        elif self._phase is not Phase.LINGER:
            self._clients_turn(limits.header_timeout if self._phase is Phase.HEAD else limits.body_timeout)

    # The transport's calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._outlet = _Outlet(self, transport)
        self._clients_turn(self._guard.limits.header_timeout)
        self._guard.entered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._guard.left(self)
        if self.cycle is not None and not self.cycle.more_body:
            # The request came whole, so it is served, and what it brought is stored. uvicorn would tell the app
            # that there is no body where the app had not yet read it.
            self.cycle.disconnected = False

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's own signature
        """The client sends no more, but may still wait for its answer (TLS cannot do that)."""
        self._last_answer = True
        return self._unanswered > 0 and self.scheme == "http"

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.LINGER or self._last_answer:
            return
        phase, completed = self._phase, self._completed
        if phase is Phase.IDLE:
            self._received = 0
        self._received += len(data)
        self._now = self._guard.clock.monotonic()
        fault = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            fault = 400  # what follows would be another protocol
        except httptools.HttpParserError:
            fault = self._fault or 400
        if completed != self._completed or phase is not self._phase:
            self._next_turn()  # once for all that came: nobody asks whose turn it is before this returns
        if fault:
            self._refuse(fault)
        elif completed != self._completed:
            self._received = 0  # most of `data` belonged to a request before
        elif self._received > self._guard.limits.max_header_bytes + _OVERHEAD * self._body_size:
            self._refuse(431)  # a head without an end, a trailer, or chunks that are nothing but extensions

    def pause_writing(self) -> None:
        super().pause_writing()
        self._clients_turn(self._guard.limits.body_timeout)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._next_turn()

    # The parser's calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["began"] = self._now
        self._phase = Phase.HEAD
        self._body_size = 0

    def on_headers_complete(self) -> None:
        limit = self._guard.limits.max_header_bytes
        if len(self.url) > _MAX_URL:
            self._fault = 414
        elif (
            self._received > limit
            and sum(len(n) + len(v) + 4 for n, v in self.headers) + len(self.url) > limit
        ):
            self._fault = 431
        elif len(self.pipeline) >= _MAX_PIPELINE:
            self._fault = 400  # goes suppressed: those before it are answered, and the connection ends
        if self._fault:
            raise ValueError  # httptools wraps it; `data_received` answers
        super().on_headers_complete()
        self.headers = []  # a trailer means nothing here, and must not pass for a header
        self._phase = Phase.BODY
        self.cycle.transport = cast("asyncio.Transport", self._outlet)
        if self.expect_100_continue:
            # Refused before its body, the client may send the body or not: nobody can tell where a next request begins.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._phase = Phase.IDLE
        self._completed += 1
        if (
            not self.cycle.response_complete
        ):  # else it was answered early, and the client has now sent the rest
            self._unanswered += 1

    # The answers.

    def on_response_complete(self) -> None:
        """Take the next request. Replaces uvicorn's, which would arm a timer for each answer."""
        self.server_state.total_requests += 1
        early = (
            not self.pipeline and self.cycle.more_body
        )  # the last request was answered before it was whole
        if not early:
            self._unanswered -= 1
        if self.transport.is_closing() or self._phase is Phase.LINGER:
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._last_answer:
            self.transport.close()
            return
        self._next_turn()

    def close_after_answer(self) -> None:
        """Close, but not over a client that is still sending: that would reset the connection, and it would
        never see its answer."""
        if self._phase in (Phase.HEAD, Phase.BODY):
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        self._phase = Phase.LINGER
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._clients_turn(_LINGER)

    def _refuse(self, status: int) -> None:
        """Answer something that is no request, or only half of one, and close."""
        if self.transport.is_closing():
            return
        if self._unanswered:
            self._last_answer = True  # the answers that are due go first
            return
        if not self._answered_early():
            self._write(status)
            self._give_up_cycle()
        self._linger()

    def _answered_early(self) -> bool:
        return self._phase is Phase.BODY and self.cycle.response_started

    def _write(self, status: int) -> None:
        line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        self.transport.write(line.encode() + b"content-length: 0\r\nconnection: close\r\n\r\n")

    def _give_up_cycle(self) -> None:
        """Tell an app that still reads a body that no more will come."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()

    # What the guard does to it.

    def make_room(self) -> str:
        """Close at once; why, for counting. Half a request hears 503, so that its sender tries again."""
        if self._phase is Phase.IDLE and not self.flow.write_paused:
            self.transport.close()
            return "idle"
        if (
            self._phase in (Phase.HEAD, Phase.BODY)
            and not self.flow.write_paused
            and not self._answered_early()
        ):
            self._write(503)
            self._give_up_cycle()
        self._close_now()
        return "half_sent"

    def expire(self) -> bool:
        """The client has let its deadline pass. True where it had begun a request: then it hears 408."""
        self._our_turn()
        phase = self._phase
        if phase is Phase.IDLE and not self.flow.write_paused:
            self.transport.close()
        elif phase is Phase.LINGER or self.flow.write_paused or self._answered_early():
            self.transport.abort()
        else:
            self._refuse(408)
        return phase in (Phase.HEAD, Phase.BODY)

    def _close_now(self) -> None:
        """Close without waiting for a client that does not read."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()


class _Outlet:
    """What a request's answer is written to: the connection, which may be gone, or may have to stay a while."""

    __slots__ = ("_connection", "_transport", "is_closing")

    def __init__(self, connection: GuardedProtocol, transport: asyncio.Transport) -> None:
        self._connection = connection
        self._transport = transport
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if not self.is_closing():
            self._connection.close_after_answer()
