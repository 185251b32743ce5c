"""The sink `otlp`, over HTTP and over gRPC, against servers that decode what they get."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import grpc  # type: ignore[import-untyped]  # it ships no types
import msgspec
import pytest
from blockbuster import BlockBuster
from structlog.testing import capture_logs

from forwarder.config.types import Secret
from forwarder.core.event import Event, StoredEvent
from forwarder.core.outcome import Rejection, RejectReason, RetryReason
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.otlp.sink import OtlpSink
from tests.contract.sinks import stored_events
from tests.fakes.clock import ManualClock
from tests.fakes.otlp import Answer, FakeOtlpGrpc, FakeOtlpHttp, attributes
from tests.fakes.peer import Fault

Server = FakeOtlpHttp | FakeOtlpGrpc
Connect = Callable[..., OtlpSink]

HOSTILE = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:9",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-stray=1",
    "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "x-stray=2",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "gzip",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "0.000001",
    "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "0.000001",
    "OTEL_EXPORTER_OTLP_INSECURE": "false",
    "OTEL_EXPORTER_OTLP_LOGS_INSECURE": "false",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem",
    "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE": "/nowhere/ca.pem",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/nowhere/cert.pem",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/nowhere/key.pem",
    "OTEL_RESOURCE_ATTRIBUTES": "service.name=stray",
    "OTEL_SERVICE_NAME": "stray",
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_RETRYABLE_ERROR_CODES": "UNAVAILABLE",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "1",
    "REQUESTS_CA_BUNDLE": "/nowhere/ca.pem",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "all_proxy": "http://127.0.0.1:9",
    "grpc_proxy": "http://127.0.0.1:9",
}


@pytest.fixture(params=[FakeOtlpHttp, FakeOtlpGrpc], ids=["http", "grpc"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    async with request.param() as started:
        yield started


@pytest.fixture
async def connect(server: Server) -> AsyncIterator[Connect]:
    """Give a function that makes a sink for the server."""
    sinks: list[OtlpSink] = []

    def make(clock: ManualClock | None = None, timeout: str = "5s", **written: Any) -> OtlpSink:
        chosen = settings(server, delivery={"timeout": timeout}, **written)
        sink = OtlpSink("otlp", chosen, clock or ManualClock())
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        await sink.close()


def settings(server: Server, **written: Any) -> OtlpSinkSettings:
    protocol = "grpc" if isinstance(server, FakeOtlpGrpc) else "http/protobuf"
    return OtlpSinkSettings(**{"endpoint": server.url, "protocol": protocol, **written})


def seqs(batch: list[StoredEvent]) -> list[int]:
    return [stored.seq for stored in batch]


def uuids(batch: list[StoredEvent]) -> list[str]:
    return [stored.event.uuid for stored in batch]


def with_body(stored: StoredEvent, body: bytes, **changes: Any) -> StoredEvent:
    event: Event = msgspec.structs.replace(stored.event, body=body, **changes)
    return StoredEvent(stored.seq, event)


async def test_a_record_says_what_happened_when_and_where(server: Server, connect: Connect) -> None:
    batch = stored_events(1)
    event = batch[0].event
    assert (await connect().send(batch)).delivered == [1]
    resource = server.requests[0].logs.resource_logs[0]
    assert {pair.key: pair.value.string_value for pair in resource.resource.attributes} == {
        "service.name": "okta",
        "okta.org.name": "acme",
    }
    assert resource.scope_logs[0].scope.name == "okta-forwarder"
    record = resource.scope_logs[0].log_records[0]
    assert record.time_unix_nano == event.published * 1000
    assert record.observed_time_unix_nano == event.received_at * 1000
    assert (record.severity_number, record.severity_text) == (9, "INFO")
    assert record.event_name == "user.session.start"
    assert record.body.string_value == "User login to Okta"
    assert attributes(record)["log.record.uid"] == event.uuid
    assert attributes(record)["user.name"] == "a@acme.test"


async def test_the_environment_has_no_effect(server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    batch = stored_events(2)
    assert (await connect(headers={"x-ours": Secret("3")}).send(batch)).delivered == seqs(batch)
    request = server.requests[0]
    assert request.headers["x-ours"] == "3"
    assert "x-stray" not in request.headers
    assert "content-encoding" not in request.headers
    assert len(attributes(request.records[0])) > 5
    service = request.logs.resource_logs[0].resource.attributes[0].value.string_value
    assert service == "okta"


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_LOGS_HEADERS"])
async def test_no_header_of_the_environment_is_sent_if_none_is_configured(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "authorization=stray")
    await connect().send(stored_events(1))
    assert "authorization" not in server.requests[0].headers


async def test_a_partly_accepted_request_is_not_sent_again(server: Server, connect: Connect) -> None:
    batch = stored_events(5)
    server.answers.append(Answer(refused=2, text="two are too old"))
    outcome = await connect().send(batch)
    assert outcome.delivered == seqs(batch)
    assert (outcome.unattributed, outcome.detail) == (2, "two are too old")
    assert (list(outcome.retry), list(outcome.rejected), outcome.reason) == ([], [], None)
    assert len(server.requests) == 1


@pytest.mark.parametrize("refused", [3, 4])
async def test_a_request_with_every_record_refused_is_rejected_with_the_servers_text(
    server: Server, connect: Connect, refused: int
) -> None:
    batch = stored_events(3)
    server.answers.append(Answer(refused=refused, text="all are too old"))
    outcome = await connect().send(batch)
    assert outcome.rejected == [Rejection(seq, RejectReason.PARTIAL_SUCCESS, "all are too old") for seq in seqs(batch)]
    assert (list(outcome.delivered), list(outcome.retry), outcome.unattributed) == ([], [], 0)


async def test_a_warning_of_the_server_is_logged_now_and_then(server: Server, connect: Connect) -> None:
    clock = ManualClock()
    sink = connect(clock)
    server.always = Answer(text="this version will go")
    with capture_logs() as lines:
        for _ in range(3):
            outcome = await sink.send(stored_events(2))
            assert (list(outcome.delivered), outcome.unattributed) == ([1, 2], 0)
        await clock.advance(61)
        await sink.send(stored_events(1))
    assert [(line["log_level"], line["detail"]) for line in lines] == [("warning", "this version will go")] * 2


async def test_a_busy_server_gets_one_request_and_its_retry_after_is_passed_on(
    server: Server, connect: Connect
) -> None:
    batch = stored_events(2)
    server.always = Answer(503, grpc.StatusCode.UNAVAILABLE, "the queue is full", wait=3)
    outcome = await connect().send(batch)
    assert (outcome.retry, outcome.reason, outcome.wait) == (seqs(batch), RetryReason.SERVER, 3)
    assert "the queue is full" in outcome.detail
    assert len(server.requests) == 1


@pytest.mark.long
async def test_a_silent_server_takes_no_longer_than_the_timeout(server: Server, connect: Connect) -> None:
    sink = connect(timeout="300ms")
    server.answers.append(Answer(silent=True))
    begun = time.monotonic()
    outcome = await sink.send(stored_events(1))
    assert time.monotonic() - begun < 3  # a busy machine adds to it; the exporter's own timeout is 10 s
    assert (outcome.retry, outcome.reason, outcome.whole) == ([1], RetryReason.TIMEOUT, True)
    assert (await sink.send(stored_events(1))).delivered == [1]


async def test_a_server_that_comes_back_is_reached_by_the_next_try(server: Server, connect: Connect) -> None:
    sink = connect()
    assert (await sink.send(stored_events(1))).delivered == [1]
    await server.hang_up()
    assert (await sink.send(stored_events(1, first=2))).retry == [2]
    await server.listen()
    assert (await sink.send(stored_events(1, first=2))).delivered == [2]


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.THROTTLED, Fault.UNAUTHORIZED, Fault.NOT_FOUND])
async def test_after_a_refusal_the_host_name_is_resolved_again_for_a_new_connection(
    server: Server, connect: Connect, fault: Fault
) -> None:
    sink = connect()
    await server.fail_with(fault)
    assert (await sink.send(stored_events(1))).retry == [1]
    await server.recover()
    assert (await sink.send(stored_events(1))).delivered == [1]
    assert (await sink.send(stored_events(1, first=2))).delivered == [2]
    assert (len(server.requests), server.connections) == (3, 2)


async def test_an_event_that_is_not_an_object_is_rejected_and_the_others_are_delivered(
    server: Server, connect: Connect
) -> None:
    batch = stored_events(3)
    batch[1] = with_body(batch[1], b"[1, 2]")
    outcome = await connect().send(batch)
    assert outcome.delivered == [1, 3]
    assert [(rejection.seq, rejection.reason) for rejection in outcome.rejected] == [(2, RejectReason.UNMAPPABLE)]
    assert outcome.rejected[0].detail
    assert server.taken == [batch[0].event.uuid, batch[2].event.uuid]


async def test_nothing_is_sent_if_no_event_can_be_a_record(server: Server, connect: Connect) -> None:
    batch = [with_body(stored, b"null") for stored in stored_events(2)]
    assert seqs(batch) == [rejection.seq for rejection in (await connect().send(batch)).rejected]
    assert server.requests == []


ODD = {
    "integer of 30 digits": (b'"severity":"INFO"', b'"severity":"INFO","version":123456789012345678901234567890'),
    "double beyond range": (b'"zone":"null"', b'"zone":1e999'),
    "half of a surrogate pair": (b"Ada", b"\\ud83d Ada"),
    "a number for a text": (b'"User login to Okta"', b"18446744073709551615"),
    "a list for a text": (b'"Computer"', b'["Computer",1,null,{"a":true}]'),
    "an odd severity": (b'"INFO"', b'"notice"'),
    "no severity": (b'"INFO"', b"null"),
}


@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_value_stops_neither_its_event_nor_the_others(server: Server, connect: Connect, odd: str) -> None:
    batch = stored_events(3)
    written, instead = ODD[odd]
    body = batch[1].event.body.replace(written, instead)
    assert body != batch[1].event.body
    batch[1] = with_body(batch[1], body)
    assert (await connect().send(batch)).delivered == [1, 2, 3]
    assert server.taken == uuids(batch)


@pytest.mark.parametrize("published", [-(2**55), 2**57], ids=["year 828", "year 6537"])
async def test_a_time_that_otlp_cannot_carry_does_not_stop_the_batch(
    server: Server, connect: Connect, published: int
) -> None:
    batch = stored_events(3)
    batch[1] = with_body(batch[1], batch[1].event.body, published=published)
    assert (await connect().send(batch)).delivered == [1, 2, 3]
    assert server.requests[0].records[1].time_unix_nano in (0, 2**64 - 1)


async def test_compression_makes_the_request_small(server: Server, connect: Connect) -> None:
    batch = stored_events(100)
    sizes = []
    for compression in ("none", "gzip"):
        async with Meter(server.port) as meter:
            sink = connect(endpoint=f"http://127.0.0.1:{meter.port}", compression=compression)
            assert (await sink.send(batch)).delivered == seqs(batch)
            await sink.close()
            sizes.append(meter.bytes)
    assert (
        sizes[1] < sizes[0] / 2
    )  # the same records are a fifth as large, or a third: igzip uses memory as it finds it
    assert [request.uids for request in server.requests] == [uuids(batch)] * 2


async def test_the_event_loop_is_not_blocked(server: Server, connect: Connect, loop_guard: BlockBuster) -> None:
    batch = stored_events(200)
    assert (await connect(compression="gzip").send(batch)).delivered == seqs(batch)


@pytest.mark.long
async def test_a_secret_is_in_no_outcome_and_no_repr(server: Server, connect: Connect) -> None:
    sink = connect(timeout="300ms", headers={"authorization": Secret("Bearer s3cr3t-canary")})
    outcomes = []
    for answer in (Answer(401, grpc.StatusCode.UNAUTHENTICATED, "no"), Answer(silent=True), Answer()):
        server.answers.append(answer)
        outcomes.append(await sink.send(stored_events(1)))
        if answer.silent:
            await server.hang_up()
    shown = f"{outcomes} {sink!r} {vars(sink)}"
    assert "canary" not in shown


class Meter:
    """Passes a connection on to another port and counts the bytes on the way there."""

    def __init__(self, to: int) -> None:
        self.bytes = 0
        self.port = 0
        self._to = to
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, outward = await asyncio.open_connection("127.0.0.1", self._to)
        self._tasks = {
            asyncio.create_task(self._copy(reader, outward, count=True)),
            asyncio.create_task(self._copy(onward, writer, count=False)),
        }

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool) -> None:
        try:
            while data := await reader.read(65_536):
                self.bytes += len(data) if count else 0
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
