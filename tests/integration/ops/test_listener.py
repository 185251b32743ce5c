"""The ops listener over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from forwarder.clock import SystemClock
from forwarder.config_types import Listen
from forwarder.http.connections import ConnectionLimiter
from forwarder.http.server import Server
from forwarder.http.settings import ListenerLimits
from forwarder.metrics import Metrics
from forwarder.ops import listener
from tests.integration.receive.helpers import Answer, Client, request


class NoStatus:
    """Nothing is there to see."""

    async def gather(self) -> dict[str, Any]:
        return {}

    async def refresh_gauges(self) -> None:
        """There are none."""


@pytest.fixture
async def ops() -> AsyncIterator[Server]:
    limiter = ConnectionLimiter(ListenerLimits(), SystemClock(), lambda _: None)
    server = Server(listener.app(Metrics(), NoStatus(), lambda: None), Listen("127.0.0.1:0"), limiter)
    await server.start()
    yield server
    await server.stop()


async def ask(client: Client, method: str, path: str) -> Answer:
    client.send(request(method, path, {}))
    return await client.answer(head=method == "HEAD")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/api/status", "/", "/nope"])
async def test_head_answers_as_get_without_a_body(ops: Server, path: str) -> None:
    async with Client(*await asyncio.open_connection("127.0.0.1", ops.address.port)) as client:
        for _ in range(2):  # a body that came with the first would be read as the second answer
            head = await ask(client, "HEAD", path)
            got = await ask(client, "GET", path)
            assert head.status == got.status
            assert head.headers.keys() == got.headers.keys()
            assert got.body
