"""A receiver on a real socket, and a client that sends exactly what a test gives it."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

from forwarder.core.ports import Clock, EventStore
from forwarder.http.connections import ConnectionLimiter
from forwarder.http.server import Server
from forwarder.metrics import Metrics
from forwarder.receive.receiver import HookReceiver
from forwarder.receive.settings import HookEndpointSettings, ReceiverSettings
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

SECRET = "right-secret"
PATH = "/okta/events"
DEADLINE = 10.0  # seconds until a client gives up on an answer: only a broken test takes them


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, head: bool = False) -> Answer:
        """The next answer; EOFError where the connection ends without one."""
        async with asyncio.timeout(DEADLINE):
            try:
                top = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                raise EOFError("the connection ended without an answer") from None
            first, *lines = top.decode("latin-1").strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            size = 0 if head else int(headers.get("content-length", "0"))
            return Answer(int(first.split()[1]), headers, await self.reader.readexactly(size))

    async def ended(self) -> bytes:
        """What comes until the server closes; a reset counts as closed."""
        async with asyncio.timeout(DEADLINE):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()


class Listening:
    """A running receiver and its parts."""

    def __init__(self, receiver: HookReceiver, server: Server, limiter: ConnectionLimiter, metrics: Metrics) -> None:
        self.receiver = receiver
        self.server = server
        self.limiter = limiter
        self.metrics = metrics

    @property
    def port(self) -> int:
        return self.server.address.port

    async def connect(self, **options: Any) -> Client:
        where: dict[str, Any] = {} if "sock" in options else {"host": "127.0.0.1", "port": self.port}
        return Client(*await asyncio.open_connection(**where, **options))

    async def ask(self, request_bytes: bytes) -> Answer:
        """One request on a connection of its own."""
        async with await self.connect() as client:
            client.send(request_bytes)
            return await client.answer()

    async def post(self, body: bytes | dict[str, Any], **headers: str) -> Answer:
        return await self.ask(post(body, headers={name.replace("_", "-"): v for name, v in headers.items()}))

    def value(self, name: str, **labels: str) -> float | None:
        """A sample of the metrics; None where the series does not exist."""
        return self.metrics.registry.get_sample_value(f"forwarder_{name}", labels)


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request, byte for byte."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {v}" for name, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def post(
    body: bytes | dict[str, Any], *, secret: str | None = SECRET, path: str = PATH, headers: Mapping[str, str] = {}
) -> bytes:
    """A POST as Okta sends it."""
    raw = json.dumps(body).encode() if isinstance(body, dict) else body
    every = {"Content-Type": "application/json", "Content-Length": str(len(raw))}
    if secret is not None:
        every["Authorization"] = secret
    return request("POST", path, every | dict(headers), raw)


def event(uuid: str = "e1", **fields: Any) -> dict[str, Any]:
    return {"uuid": uuid, "published": "2026-01-01T11:59:50.000Z", "eventType": "user.session.start", **fields}


def envelope(*events: Any, **fields: Any) -> dict[str, Any]:
    return {"eventType": "com.okta.event_hook", "eventId": "post-1", "data": {"events": list(events)}, **fields}


def org(**fields: Any) -> HookEndpointSettings:
    return HookEndpointSettings(**{"secrets": [SECRET]} | fields)


def settings(**fields: Any) -> ReceiverSettings:
    return ReceiverSettings(**{"listen": "127.0.0.1:0"} | fields)


@asynccontextmanager
async def listening(
    store: EventStore | None = None,
    orgs: Mapping[str, HookEndpointSettings] | None = None,
    clock: Clock | None = None,
    tls: ssl.SSLContext | None = None,
    **fields: Any,
) -> AsyncIterator[Listening]:
    """Run a receiver on a port of its own, and stop it at the end. `fields` are `ReceiverSettings`."""
    chosen = settings(**fields)
    clock = clock or ManualClock()
    metrics = Metrics()
    receiver = HookReceiver(store or MemoryStore(), orgs or {"acme": org()}, chosen, metrics, clock)
    limiter = ConnectionLimiter(chosen, clock, lambda reason: metrics.connections_evicted.labels(reason).inc())
    server = Server(receiver.app, chosen.listen, limiter, tls)
    await server.start()
    try:
        yield Listening(receiver, server, limiter, metrics)
    finally:
        await server.stop(grace=0)
