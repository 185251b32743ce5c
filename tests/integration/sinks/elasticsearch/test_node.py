"""The connection to one host of a cluster."""

import gc
import sys
from collections.abc import Iterator

import elastic_transport
import pytest

from forwarder.sinks.elasticsearch.node import Node
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
