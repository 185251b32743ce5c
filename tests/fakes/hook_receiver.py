"""The other side of an event hook: an HTTP server on a real socket that answers as a test says, and keeps what came."""

import asyncio
import json
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self

SILENT = 0
"""Instead of a status: take the request and never answer."""

HANG_UP = -1
"""Instead of a status: take the request and close the connection."""


@dataclass
class Call:
    """One request.

    Attributes:
        headers: names in lower case.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def envelope(self) -> dict[str, Any]:
        envelope: dict[str, Any] = json.loads(self.body)
        return envelope

    @property
    def uuids(self) -> list[str]:
        return [event["uuid"] for event in self.envelope["data"]["events"]]


@dataclass
class HookReceiver:
    """Use it as a context.

    Attributes:
        answers: statuses of the next calls, POST or GET, in turn; then `otherwise`.
        otherwise: the status of all later calls.
        echo: what a GET is answered; None echoes the challenge.
        calls: what came.
        content_type: of every answer.
        busiest: most requests that were in its hands at a time.
        hold: while cleared, POSTs get no answer yet.
        tls: its certificate; None for plain HTTP.
    """

    answers: deque[int] = field(default_factory=deque)
    otherwise: int = 200
    echo: bytes | None = None
    calls: list[Call] = field(default_factory=list)
    content_type: str = ""
    busiest: int = 0
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    tls: ssl.SSLContext | None = None
    url: str = ""
    _busy: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _connections: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self.hold.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 24, ssl=self.tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{port}/okta/events"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hold.set()
        for _turn in range(10):  # a connection that was just accepted gets its task, and is closed below
            await asyncio.sleep(0)
        for writer in self._connections.values():
            writer.close()
        await asyncio.gather(*self._connections)
        await self._server.wait_closed()

    @property
    def posts(self) -> list[Call]:
        return [call for call in self.calls if call.method == "POST"]

    @property
    def uuids(self) -> list[str]:
        """The uuid of every event that came, once for each time that it came."""
        return [uuid for call in self.posts for uuid in call.uuids]

    async def called(self, times: int) -> None:
        """Return when at least so many calls have come."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.calls) >= times)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            while await self._serve(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self._connections[task]
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        try:
            return await self._answer(Call(method, path, headers, body), reader, writer)
        finally:
            self._busy -= 1

    async def _answer(self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.calls.append(call)
        async with self._news:
            self._news.notify_all()
        status = self.answers.popleft() if self.answers else self.otherwise
        if status == SILENT:
            await reader.read()
        if status in {SILENT, HANG_UP}:
            return False
        body = b""
        if call.method == "GET":
            challenge = call.headers.get("x-okta-verification-challenge", "")
            body = json.dumps({"verification": challenge}).encode() if self.echo is None else self.echo
        else:
            await self.hold.wait()
        told = f"HTTP/1.1 {status} -\r\nLocation: {self.url}/elsewhere\r\nContent-Length: {len(body)}\r\n"
        told += f"Content-Type: {self.content_type}\r\n" if self.content_type else ""
        writer.write(told.encode() + b"\r\n" + (b"" if status == 204 else body))
        await writer.drain()
        return True
