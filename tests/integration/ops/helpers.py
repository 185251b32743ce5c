"""The ops listener on a real socket, and a client of its live stream."""

import asyncio
import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

import httpx

from forwarder.clock import SystemClock
from forwarder.config.hosts import Listen
from forwarder.config.types import Secret
from forwarder.core.event import Event, StoredEvent
from forwarder.http.connections import ConnectionLimiter
from forwarder.http.server import Server
from forwarder.http.settings import ListenerLimits
from forwarder.metrics import Metrics
from forwarder.ops.listener import OpsListener
from forwarder.ops.settings import OpsSettings
from tests.fakes.store_data import FakeData

TOKEN = "the-token-of-the-operators"
DEADLINE = 20.0


class FakeStatus:
    """A status that counts how often it is gathered."""

    gathered = 0

    async def gather(self) -> dict[str, Any]:
        self.gathered += 1
        return {"ready": True, "sinks": {}}

    async def refresh_gauges(self) -> None:
        """There are none."""


class MemoryEvents:
    """Events in memory; `reads` counts the queries."""

    def __init__(self) -> None:
        self._held: list[StoredEvent] = []
        self._changed = asyncio.Event()
        self.newest = 0
        self.reads = 0

    def append(self, events: Iterable[Event]) -> None:
        for event in events:
            self.newest += 1
            self._held.append(StoredEvent(self.newest, event))
        self._changed.set()
        self._changed = asyncio.Event()

    def drop(self, until: int) -> None:
        """Drop the bodies up to this `seq`, as the store does after its retention."""
        self._held = [stored for stored in self._held if stored.seq > until]

    async def wait(self, after: int) -> None:
        while self.newest <= after:
            await self._changed.wait()

    async def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        self.reads += 1
        found: list[StoredEvent] = []
        for stored in self._held[bisect_right(self._held, after, key=lambda stored: stored.seq) :][:limit]:
            max_bytes -= len(stored.event.body)
            if found and max_bytes < 0:
                break
            found.append(stored)
        return found


@asynccontextmanager
async def serving(events: MemoryEvents, status: FakeStatus | None = None) -> AsyncIterator[tuple[Server, OpsListener]]:
    """Serve the ops listener with `TOKEN`."""
    limiter = ConnectionLimiter(ListenerLimits(), SystemClock(), lambda _: None)
    ops = OpsListener(
        Metrics(),
        status or FakeStatus(),
        events,
        FakeData(),
        lambda: None,
        settings=lambda: OpsSettings(token=Secret(TOKEN)),
    )
    server = Server(ops.app, Listen("127.0.0.1:0"), limiter)
    await server.start()
    try:
        yield server, ops
    finally:
        ops.close_streams()
        await server.stop()


class Message(NamedTuple):
    """One server-sent event; a comment has the kind "" and no data."""

    id: int
    kind: str
    data: Any


class Tail:
    """A client of the live stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    @classmethod
    @asynccontextmanager
    async def open(cls, base: str, query: str = "", **headers: str) -> AsyncIterator[Self]:
        """Connect; `base` is the address of the listener."""
        async with (
            httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client,
            client.stream("GET", f"http://{base}/api/events?{query}", headers=headers) as response,
        ):
            assert response.status_code == 200
            yield cls(response)

    async def next(self, kind: str | None = None) -> Message:
        """The next message, of this kind if given; EOFError where the stream has ended."""
        async with asyncio.timeout(DEADLINE):
            while (message := await self._message()) is not None:
                if kind is None or message.kind == kind:
                    return message
        raise EOFError("the stream has ended")

    async def ended(self) -> bool:
        """Read on; true once the stream has ended as it should."""
        async with asyncio.timeout(DEADLINE):
            while await self._message() is not None:
                pass
        return True

    async def _message(self) -> Message | None:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line:
                data = fields.get("data")
                return Message(int(fields["id"]), fields.get("event", ""), json.loads(data) if data else None)
            name, _, value = line.partition(": ")
            fields[name] = value
        return None
