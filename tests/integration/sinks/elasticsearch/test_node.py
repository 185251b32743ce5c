"""The connection to one host of a cluster."""

import gc
import sys
from collections.abc import Iterator

import elastic_transport
import pytest

from forwarder.sinks.elasticsearch.node import Node
from tests.fakes.elasticsearch import FakeElasticsearch

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
