"""The ops listener over a real socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from forwarder.http.server import Server
from tests.integration.ops.helpers import MemoryEvents, serving
from tests.integration.receive.helpers import Answer, Client, request


@pytest.fixture
async def ops() -> AsyncIterator[Server]:
    async with serving(MemoryEvents()) as (server, _):
        yield server


async def ask(client: Client, method: str, path: str) -> Answer:
    client.send(request(method, path, {}))
    return await client.answer(head=method == "HEAD")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/api/status", "/api/access", "/", "/nope"])
async def test_head_answers_as_get_without_a_body(ops: Server, path: str) -> None:
    async with Client(*await asyncio.open_connection("127.0.0.1", ops.address.port)) as client:
        for _ in range(2):  # a body that came with the first would be read as the second answer
            head = await ask(client, "HEAD", path)
            got = await ask(client, "GET", path)
            assert head.status == got.status
            assert head.headers.keys() == got.headers.keys()
            assert got.body
