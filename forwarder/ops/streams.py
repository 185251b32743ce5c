"""The live stream of the ops listener: the status each second, and each new event (as server-sent events).

    id: 4711                       the client's position in the store; with `Last-Event-ID`, the stream resumes there
    event: event                   one event as JSON, with the fields of `event_view.line`
    event: status                  the JSON that /api/status returns
    event: skipped                 {"events": 250}: the number of events that were left out, because the client reads
                                   too slowly, or because the store has dropped their bodies

Each client has a position in the store, as a sink has. Whenever the client can take more, the stream reads the events
after this position from the store and sends them. So the stream needs no queue: events that a slow client has not read
yet are in the store. If a client is too far behind, the stream moves its position forward, and the client misses some
events. While no client is connected, no code of this module runs.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec

from forwarder import logs
from forwarder.core.errors import ForwarderError
from forwarder.core.ports import Clock
from forwarder.event_loop_steps import Cooperative
from forwarder.ops.event_view import EventFilter, Form, in_form, line
from forwarder.ops.ports import Events, StatusSource
from forwarder.tasks import end_tasks

MAX_CLIENTS = 32
MOST_BEHIND = 1_000
"""The maximum number of events that a client may be behind the newest event. Above this number, its position is moved
forward."""
_RESUMED = 100
"""The number of events that a client is behind the newest event after its position was moved forward."""
STATUS_INTERVAL = 1.0
_PING_INTERVAL = 15.0
_PACE = 0.25
"""The number of seconds between two reads of the store for one client. At 200 events/s, a read for each event would
take five times as much CPU time."""
_MOST_EVENTS = 1_000  # in one read of the store
_MOST_BYTES = 256 * 1024
"""The maximum size in bytes of the bodies in one read of the store.

For each slow client, the events of one read are in memory, in the form that the client asked for. With a maximum of 4
MiB, 32 slow clients took 800 MB.
"""
_END_TIMEOUT = 0.2
"""The number of seconds in which a client must accept the end of its stream when the forwarder stops."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
    (b"x-content-type-options", b"nosniff"),
]

_logger = logs.get("ops")


class StreamQuery(msgspec.Struct, frozen=True):
    """The options that a client of the live stream asks for.

    Attributes:
        filter: selects the events that are sent.
        since: the `seq` after which the stream begins. With a negative number -N, the stream begins with the newest N
            events; with None, it begins with the next new event.
        backlog: the maximum number of stored events that are sent at the start. Older events are skipped.
        status: whether the stream also has the status each second.
        form: the form in which the whole event is added to each line; None if the whole event is not added.
    """

    filter: EventFilter = EventFilter()
    since: int | None = None
    backlog: int = MOST_BEHIND
    status: bool = True
    form: Form | None = None


class StatusFeed:
    """The status as JSON, for all clients together, so that the status is gathered at most about once a second."""

    def __init__(self, status: StatusSource, clock: Clock) -> None:
        self._status = status
        self._clock = clock
        self._lock = asyncio.Lock()
        self._gathered_at = -STATUS_INTERVAL
        self._encoded = b"{}"

    async def encoded(self) -> bytes:
        """Return the status as JSON. The status is at most about one second old."""
        async with self._lock:
            if self._clock.monotonic() - self._gathered_at >= STATUS_INTERVAL * 0.9:
                self._encoded = msgspec.json.encode(await self._status.gather())
                self._gathered_at = self._clock.monotonic()
            return self._encoded


class Streams:
    """The live streams of all clients. `clients` is the number of connected clients."""

    def __init__(self, events: Events, status: StatusSource, clock: Clock) -> None:
        self._events = events
        self._feed = StatusFeed(status, clock)
        self._clock = clock
        self._closing = asyncio.Event()
        self.clients = 0

    @property
    def full(self) -> bool:
        """Whether the maximum number of clients is connected, so that a further client is refused."""
        return self.clients >= MAX_CLIENTS

    def close(self) -> None:
        """End every stream. A stream that a client opens later ends at once."""
        self._closing.set()

    def open(self, query: StreamQuery) -> "StreamResponse":
        """Return the response that sends a stream with the options `query` to one client."""
        return StreamResponse(self, query)

    @contextlib.contextmanager
    def client(self) -> Iterator[None]:
        """Count a client inside the `with` block."""
        self.clients += 1
        try:
            yield
        finally:
            self.clients -= 1

    async def closed(self) -> None:
        """Wait until `close` is called."""
        await self._closing.wait()

    async def produce(self, query: StreamQuery, send: Any) -> None:
        """Send events and the status to one client until this task is cancelled. Each call of `send` sends one chunk of
        the response."""
        position, skipped = self._begin(query)
        if skipped:
            await send(_skipped(skipped, position))
        status_at = ping_at = self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            frames: list[bytes] = []
            if query.status and now >= status_at:
                frames.append(_frame("status", await self._feed.encoded(), position))
                status_at = max(status_at + STATUS_INTERVAL, now)
                ping_at = now + _PING_INTERVAL
            if now >= ping_at:
                frames.append(b"id: %d\n: ping\n\n" % position)
                ping_at = now + _PING_INTERVAL
            position, more = await self._read_on(position, query, frames)
            if frames:
                await send(b"".join(frames))
            if more:
                continue
            until = min(status_at if query.status else ping_at, ping_at) - self._clock.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(until, 0.0)):
                    await self._events.wait(position)
                await self._clock.sleep(_PACE)  # so that the next read returns several events

    def _begin(self, query: StreamQuery) -> tuple[int, int]:
        """Return the `seq` after which the stream begins, and the number of requested events that are skipped."""
        newest = self._events.newest
        if query.since is None:
            return newest, 0
        wanted = max(newest + query.since, 0) if query.since < 0 else min(query.since, newest)
        position = max(wanted, newest - query.backlog)
        return position, position - wanted

    async def _read_on(self, position: int, query: StreamQuery, frames: list[bytes]) -> tuple[int, bool]:
        """Read the next events after `position` from the store, and append them to `frames` as encoded server-sent
        events.

        Return the new position, and whether the store has more events to read now.
        """
        newest = self._events.newest
        if newest - position > max(query.backlog, MOST_BEHIND):
            frames.append(_skipped(newest - _RESUMED - position, newest - _RESUMED))
            position = newest - _RESUMED
        if newest <= position:
            return position, False
        try:
            stored = await self._events.events(position, limit=_MOST_EVENTS, max_bytes=_MOST_BYTES)
        except ForwarderError as error:
            _logger.debug("the live stream cannot read the store", action="stream_unread", error=str(error))
            return position, False
        cooperative = Cooperative()
        if stored and stored[0].seq > position + 1:
            frames.append(_skipped(stored[0].seq - position - 1, stored[0].seq - 1))
        for each in stored:
            position = each.seq
            if query.filter.may_match(each.event) and query.filter.matches(found := line(each)):
                if query.form is not None:
                    found[query.form.value] = in_form(each.event, query.form)
                frames.append(_frame("event", msgspec.json.encode(found), position))
            await cooperative.yield_if_due()
        return position, self._events.newest > position and len(stored) > 0


def _skipped(events: int, position: int) -> bytes:
    return _frame("skipped", b'{"events":%d}' % events, position)


def _frame(kind: str, data: bytes, position: int) -> bytes:
    # A raw event may have line breaks between its JSON tokens. Line breaks in a JSON string are always escaped.
    data = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (position, kind.encode(), data)


class StreamResponse:
    """The HTTP response with the live stream of one client, as an ASGI app."""

    def __init__(self, streams: Streams, query: StreamQuery) -> None:
        self._streams = streams
        self._query = query

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if not scope["state"].get("head"):
            with self._streams.client():
                await self._stream(scope, receive, send)
        if not await _end(send):
            # The client does not read, so the connection is aborted. The second end sends nothing, but without it
            # uvicorn would log an error about a response without an end.
            scope["state"]["abort"]()
            await _end(send)

    async def _stream(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the stream until the client disconnects or the forwarder stops."""

        async def send_chunk(chunk: bytes) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        tasks = [
            asyncio.create_task(self._streams.produce(self._query, send_chunk)),
            asyncio.create_task(_disconnected(receive)),
            asyncio.create_task(self._streams.closed()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            results = await end_tasks(tasks)
        if isinstance(results[0], Exception):
            _logger.error(
                "a live stream of the ops listener failed. This is a bug: please report it",
                action="ops_failed",
                path=scope["path"],
                exc_info=results[0],
            )


async def _end(send: Any) -> bool:
    """End the response, and return whether the client has accepted the end in time."""
    try:
        async with asyncio.timeout(_END_TIMEOUT):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        return False
    return True


async def _disconnected(receive: Any) -> None:
    """Wait until the client disconnects.

    The first ASGI messages are the parts of the request. The message after them says that the client has disconnected.
    """
    while (await receive()).get("more_body"):
        pass
    await receive()
