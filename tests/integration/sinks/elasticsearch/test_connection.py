"""The connection to one host of a cluster."""

import asyncio
import gc
import sys
import time
from collections.abc import Iterator

import elastic_transport
import pytest

from forwarder.sinks.elasticsearch.connection import Node
from tests.fakes.elasticsearch import FakeElasticsearch, Reply

pytestmark = pytest.mark.both_clients


@pytest.fixture
def _no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collection")
async def test_a_body_that_was_sent_is_freed_without_a_garbage_collection() -> None:
    body = b"x" * 100_000
    before = sys.getrefcount(body)
    async with FakeElasticsearch() as server:
        node = Node(elastic_transport.client_utils.url_to_node_config(server.url))
        await node.perform_request("POST", "/_bulk", body)
        after = sys.getrefcount(body)
        await node.close()
    assert after == before


async def test_a_timeout_is_named_without_the_digits_of_a_float() -> None:
    async with FakeElasticsearch() as server:
        server.always = Reply(silent=True)
        node = Node(elastic_transport.client_utils.url_to_node_config(server.url))
        with pytest.raises(elastic_transport.ConnectionTimeout) as error:
            await node.perform_request("GET", "/", request_timeout=0.7 * 0.1)  # 0.06999999999999999
        await node.close()
    assert error.value.message.endswith("no response within 0.07 s")


async def test_a_response_in_chunks_of_one_byte_holds_up_no_other_task() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b"1\r\n \r\n" * 30_000 + b"2\r\n{}\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    longest = 0.0  # seconds of CPU of this thread between two turns

    async def take_turns() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    node = Node(elastic_transport.client_utils.url_to_node_config(f"http://127.0.0.1:{port}"))
    turns = asyncio.create_task(take_turns())
    gc.disable()  # a collection of all that the tests keep in memory takes longer than the response
    try:
        assert (await node.perform_request("GET", "/")).body.strip() == b"{}"
    finally:
        gc.enable()
    turns.cancel()
    server.close()
    await node.close()
    assert longest < 0.02
