"""Every sink that `test_sink.py` runs on, real and fake.

To register a sink, write an async context manager that takes an empty directory, starts the sink and its peer, yields
both as `Running`, and stops both; then add one line to `SINKS`. A peer simulates the faults of `tests/fakes/peer.py`;
those that it cannot simulate are in its `cannot`. A sink that needs a real server has the mark `real`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from forwarder.core.event import Source, StoredEvent, read_event
from forwarder.core.ports import Sink
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.elasticsearch.sink import ElasticsearchSink
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.sinks.file.sink import FileSink
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.otlp.sink import OtlpSink
from tests.fakes.archive import ArchiveDirectory
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.otlp import FakeOtlpGrpc, FakeOtlpHttp
from tests.fakes.peer import Peer
from tests.fakes.sink import MemorySink


@dataclass(frozen=True)
class Running:
    """A sink and the other side that it sends to."""

    sink: Sink
    peer: Peer


Factory = Callable[[Path], AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def memory(_directory: Path) -> AsyncIterator[Running]:
    """The fake that the tests of the worker use."""
    sink = MemorySink()
    yield Running(sink, sink)


@asynccontextmanager
async def elasticsearch(_directory: Path) -> AsyncIterator[Running]:
    """The sink for Elasticsearch, with compression, as it is by default."""
    async with FakeElasticsearch() as server:
        sink = ElasticsearchSink(ElasticsearchSinkSettings(hosts=(server.url,)), ManualClock())
        yield Running(sink, server)
        await sink.close()


@asynccontextmanager
async def otlp_http(_directory: Path) -> AsyncIterator[Running]:
    """The sink for OTLP over HTTP, with compression."""
    async with FakeOtlpHttp() as server:
        sink = OtlpSink("otlp", OtlpSinkSettings(endpoint=server.url, compression="gzip"), ManualClock())
        yield Running(sink, server)
        await sink.close()


@asynccontextmanager
async def otlp_grpc(_directory: Path) -> AsyncIterator[Running]:
    """The sink for OTLP over gRPC."""
    async with FakeOtlpGrpc() as server:
        sink = OtlpSink("otlp", OtlpSinkSettings(endpoint=server.url, protocol="grpc"), ManualClock())
        yield Running(sink, server)
        await sink.close()


@asynccontextmanager
async def file(directory: Path) -> AsyncIterator[Running]:
    """The sink for a file, with the events as received."""
    path = directory / "archive" / "okta.ndjson"
    settings = FileSinkSettings.model_validate({"path": path, "format": "raw", "rotate_age": "36500d"})
    sink = FileSink("archive", settings, ManualClock())
    yield Running(sink, ArchiveDirectory(path))
    await sink.close()


SINKS = [
    pytest.param(memory, id="memory"),
    pytest.param(file, id="file"),
    pytest.param(elasticsearch, id="elasticsearch", marks=pytest.mark.both_clients),
    pytest.param(otlp_http, id="otlp-http"),
    pytest.param(otlp_grpc, id="otlp-grpc"),
]


def stored_events(count: int, first: int = 1) -> list[StoredEvent]:
    """Make `count` stored events, each with its own uuid; `first` is the first `seq`."""
    return [
        StoredEvent(seq, read_event(_body(), org="acme", source=Source.HOOK, received_at=NOON))
        for seq in range(first, first + count)
    ]


def _body() -> bytes:
    return msgspec.json.encode(
        {
            "uuid": str(uuid4()),
            "eventType": "user.session.start",
            "published": "2026-01-01T11:59:58.123Z",
            "severity": "INFO",
            "displayMessage": "User login to Okta",
            "actor": {"id": "00u1", "type": "User", "alternateId": "a@acme.test", "displayName": "Ada"},
            "client": {"ipAddress": "192.0.2.7", "zone": "null", "device": "Computer"},
            "outcome": {"result": "SUCCESS", "reason": None},
            "target": [],
        }
    )
