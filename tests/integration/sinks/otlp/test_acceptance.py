"""Which answers over HTTP are an acceptance: the final and whole answer of an OTLP server, and nothing else."""

from collections.abc import AsyncIterator

import pytest

from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.otlp.sink import OtlpSink
from tests.contract.sinks import stored_events
from tests.fakes.clock import ManualClock
from tests.fakes.otlp import Answer, FakeOtlpHttp

_PROTOBUF = b"Content-Type: application/x-protobuf\r\n"


@pytest.fixture
async def server() -> AsyncIterator[FakeOtlpHttp]:
    async with FakeOtlpHttp() as started:
        yield started


async def send(server: FakeOtlpHttp, *answers: Answer) -> list[BatchResult]:
    """Send two events for each of `answers`, over one sink."""
    settings = OtlpSinkSettings.model_validate({"endpoint": server.url, "delivery": {"timeout": "5s"}})
    sink = OtlpSink("otlp", settings, ManualClock())
    server.answers.extend(answers)
    try:
        return [await sink.send(stored_events(2)) for _ in answers]
    finally:
        await sink.close()


@pytest.mark.parametrize("status", [100, 102, 103, 104, 199])
async def test_the_answer_after_an_interim_response_is_that_of_its_own_request(
    server: FakeOtlpHttp, status: int
) -> None:
    interim = b"HTTP/1.1 %d wait\r\nLink: </a>\r\n\r\n" % status * 2
    accepted, refused, again = await send(
        server, Answer(interim=interim), Answer(503, interim=interim), Answer(interim=interim)
    )
    assert (accepted.delivered, again.delivered) == ([1, 2], [1, 2])
    assert (list(refused.retry), refused.reason) == ([1, 2], RetryReason.SERVER)
    assert (len(server.requests), server.connections) == (3, 2)


async def test_an_answer_after_interim_responses_without_end_is_not_read(server: FakeOtlpHttp) -> None:
    flood, after = await send(server, Answer(interim=b"HTTP/1.1 102 wait\r\n\r\n" * 1000), Answer())
    assert (list(flood.retry), flood.reason) == ([1, 2], RetryReason.CONNECTION)
    assert "interim" in flood.detail
    assert (after.delivered, server.connections) == ([1, 2], 2)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n" + _PROTOBUF + b"Content-Length: 40\r\n\r\n\x0a\x02\x08\x01",
        b"HTTP/1.1 200 OK\r\n" + _PROTOBUF + b"Content-Length: 40\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + _PROTOBUF + b"Transfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + _PROTOBUF + b"Transfer-Encoding: chunked\r\n\r\n4\r\n\x0a\x02\x08\x01\r\n",
        b"HTTP/1.1 200 OK\r\n" + _PROTOBUF + b"Connection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + _PROTOBUF,
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.0 200 OK\r\n\r\n",
    ],
    ids=["half", "no body", "no chunk", "no last chunk", "no length", "no end of headers", "status", "200", "1.0"],
)
async def test_an_acceptance_that_may_be_cut_off_is_a_retry_on_a_new_connection(
    server: FakeOtlpHttp, raw: bytes
) -> None:
    cut, after = await send(server, Answer(raw=raw), Answer())
    assert (list(cut.retry), cut.reason, cut.whole) == ([1, 2], RetryReason.CONNECTION, True)
    assert not cut.unattributed
    assert "not complete" in cut.detail
    assert "TLS" not in cut.detail
    assert (after.delivered, server.connections) == ([1, 2], 2)


async def test_an_answer_that_cannot_be_read_is_a_retry_that_says_why(server: FakeOtlpHttp) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + _PROTOBUF + b"Transfer-Encoding: chunked\r\n\r\n"
    spoiled, after = await send(server, Answer(raw=head + b"-5\r\nabc\r\n0\r\n\r\n"), Answer())
    assert (list(spoiled.retry), spoiled.reason) == ([1, 2], RetryReason.CONNECTION)
    assert spoiled.detail.startswith(f"{server.url}/v1/logs: ")
    assert (after.delivered, server.connections) == ([1, 2], 2)


async def test_an_error_that_is_cut_off_is_still_that_error(server: FakeOtlpHttp) -> None:
    (cut,) = await send(server, Answer(raw=b"HTTP/1.1 401 no\r\nContent-Length: 40\r\n\r\nwho"))
    assert (list(cut.retry), cut.reason, cut.pause) == ([1, 2], RetryReason.UNAUTHORIZED, True)


async def test_a_body_that_ends_with_the_connection_is_read(server: FakeOtlpHttp) -> None:
    (result,) = await send(server, Answer(raw=b"HTTP/1.1 200 OK\r\n" + _PROTOBUF + b"\r\n\x0a\x02\x08\x01"))
    assert (result.delivered, result.unattributed) == ([1, 2], 1)


@pytest.mark.parametrize(
    "kind", ["application/grpc", "text/plain", "application/octet-stream", "application/xhtml+xml"]
)
async def test_an_empty_200_of_another_type_is_not_an_acceptance(server: FakeOtlpHttp, kind: str) -> None:
    """As of a gRPC server, whose refusal is in `grpc-status`, and of nginx with `return 200`."""
    (result,) = await send(server, Answer(headers={"Content-Type": kind, "grpc-status": "7"}, body=b""))
    assert (list(result.retry), list(result.delivered), result.pause) == ([1, 2], [], True)
    assert f"not the response of an OTLP server: HTTP 200 without a body, of the type {kind};" in result.detail


@pytest.mark.parametrize("kind", [b"", _PROTOBUF, b"Content-Type: application/protobuf\r\n"])
async def test_an_empty_200_of_the_requests_type_or_of_none_is_an_acceptance(server: FakeOtlpHttp, kind: bytes) -> None:
    empty = [b"Content-Length: 0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
    results = await send(server, *(Answer(raw=b"HTTP/1.1 200 OK\r\n" + kind + rest) for rest in empty))
    assert [result.delivered for result in results] == [[1, 2], [1, 2]]


@pytest.mark.parametrize("status", [203, 205, 206, 226])
async def test_another_2xx_is_not_an_acceptance(server: FakeOtlpHttp, status: int) -> None:
    (result,) = await send(server, Answer(status, body=b""))
    assert (list(result.retry), list(result.delivered), result.pause) == ([1, 2], [], True)
