"""Sinks whose server never accepts a connection, because a firewall on the way drops the packets."""

import socket
from collections.abc import Callable, Iterator

import pytest

from forwarder.core.event import Source, StoredEvent, read_event
from forwarder.core.outcome import RetryReason
from forwarder.core.ports import Sink
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.elasticsearch.sink import ElasticsearchSink
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.otlp.sink import OtlpSink
from tests.fakes.clock import NOON, ManualClock


@pytest.fixture
def address() -> Iterator[str]:
    """The address of a socket that answers no further connection: its queue of connections is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(3):
            waiting.append(client := socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        yield f"127.0.0.1:{full.getsockname()[1]}"
        for client in waiting:
            client.close()


EVENT = b'{"uuid":"1","eventType":"user.session.start","published":"2026-01-01T11:59:58.123Z"}'
DELIVERY = {"timeout": "1s"}


def elasticsearch(address: str) -> Sink:
    return ElasticsearchSink(
        ElasticsearchSinkSettings.model_validate({"hosts": [f"http://{address}"], "delivery": DELIVERY}), ManualClock()
    )


def otlp_http(address: str) -> Sink:
    settings = OtlpSinkSettings.model_validate({"endpoint": f"http://{address}", "delivery": DELIVERY})
    return OtlpSink("otlp", settings, ManualClock())


def otlp_grpc(address: str) -> Sink:
    settings = OtlpSinkSettings.model_validate(
        {"endpoint": f"http://{address}", "protocol": "grpc", "delivery": DELIVERY}
    )
    return OtlpSink("otlp", settings, ManualClock())


@pytest.mark.parametrize("build", [elasticsearch, otlp_http, otlp_grpc])
async def test_a_server_that_drops_packets_is_a_missing_connection_and_not_a_slow_response(
    build: Callable[[str], Sink], address: str
) -> None:
    sink = build(address)
    event = read_event(EVENT, org="acme", source=Source.HOOK, received_at=NOON)
    try:
        result = await sink.send([StoredEvent(1, event)])
    finally:
        await sink.close()
    assert (result.reason, list(result.retry)) == (RetryReason.CONNECTION, [1])
    assert f"http://{address}" in result.detail
    assert "no connection within 0.4 s; check" in result.detail
    assert "firewalls on the way" in result.detail
