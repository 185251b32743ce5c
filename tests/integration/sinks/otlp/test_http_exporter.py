"""What is OTLP's over HTTP alone: what counts as an acceptance, where requests go, TLS."""

import asyncio
import gzip
import json
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc  # type: ignore[import-untyped]  # it ships no types
import pytest

from forwarder.core.outcome import BatchResult, RejectReason, RetryReason
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.otlp.sink import OtlpSink
from tests.certificates import Certificate
from tests.contract.sinks import stored_events
from tests.fakes.clock import ManualClock
from tests.fakes.otlp import Answer, FakeOtlpGrpc, FakeOtlpHttp

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def server() -> AsyncIterator[FakeOtlpHttp]:
    async with FakeOtlpHttp() as started:
        yield started


async def send(url: str, events: int = 2, timeout: str = "5s", **written: Any) -> BatchResult:
    settings = OtlpSinkSettings(**{"endpoint": url, "delivery": {"timeout": timeout}, **written})
    sink = OtlpSink("otlp", settings, ManualClock())
    try:
        return await sink.send(stored_events(events))
    finally:
        await sink.close()


@pytest.mark.parametrize(
    ("written", "path"), [("", "/v1/logs"), ("/", "/v1/logs"), ("/otlp/v1/logs", "/otlp/v1/logs"), ("/x/", "/x/")]
)
async def test_the_path_of_otlp_is_added_if_the_url_has_none(server: FakeOtlpHttp, written: str, path: str) -> None:
    await send(server.url + written)
    assert server.requests[0].path == path


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_an_empty_2xx_is_an_acceptance(server: FakeOtlpHttp, status: int) -> None:
    server.always = Answer(status, body=b"")
    assert (await send(server.url)).delivered == [1, 2]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({}, 0),
        ({"partialSuccess": {}}, 0),
        ({"partialSuccess": None}, 0),
        ({"partial_success": None}, 0),
        ({"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": "late"}, "new": [1]}, 1),
        ({"partialSuccess": {"rejectedLogRecords": 1, "errorMessage": "late"}}, 1),
    ],
)
async def test_a_json_response_is_read(server: FakeOtlpHttp, body: object, refused: int) -> None:
    server.always = Answer(headers=JSON, body=json.dumps(body).encode())
    outcome = await send(server.url)
    assert (outcome.delivered, outcome.unattributed) == ([1, 2], refused)
    assert outcome.detail == ("late" if refused else "")


async def test_a_cookie_of_the_server_is_not_sent_back(server: FakeOtlpHttp) -> None:
    server.always = Answer(headers={"Set-Cookie": "a=b"}, body=b"")
    sink = OtlpSink("otlp", OtlpSinkSettings(endpoint=server.url), ManualClock())
    for _ in range(2):
        await sink.send(stored_events(1))
    await sink.close()
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]


async def test_a_response_in_gzip_is_read(server: FakeOtlpHttp) -> None:
    body = {"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": "late"}}
    headers = {**JSON, "Content-Encoding": "gzip"}
    server.always = Answer(headers=headers, body=gzip.compress(json.dumps(body).encode()))
    outcome = await send(server.url)
    assert (outcome.delivered, outcome.unattributed, outcome.detail) == ([1, 2], 1, "late")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html; charset=utf-8", b"<html>log in here</html>"),
        ("text/html", b""),
        ("text/plain", b"It works!"),
        ("application/json", b"[" * 60_000),
        ("application/json", b"\xff\xff"),
        ("application/x-protobuf", b"\xff" * 10),
        ("application/x-protobuf", b"\0" * 1_000_000),
    ],
    ids=["html", "empty html", "text", "nested", "no utf-8", "no protobuf", "huge"],
)
async def test_a_200_of_another_server_is_not_an_acceptance(server: FakeOtlpHttp, kind: str, body: bytes) -> None:
    server.always = Answer(headers={"Content-Type": kind}, body=body)
    outcome = await send(server.url)
    assert (list(outcome.retry), list(outcome.delivered)) == ([1, 2], [])
    assert (outcome.reason, outcome.pause) == (RetryReason.UNKNOWN, True)
    assert "not the response of an OTLP server" in outcome.detail
    assert len(outcome.detail) < 2_000


async def test_a_redirect_is_not_an_acceptance_and_its_target_is_named(server: FakeOtlpHttp) -> None:
    server.always = Answer(302, headers={"Location": "https://sso.test/login?token=t0ken"})
    outcome = await send(server.url)
    assert (list(outcome.retry), outcome.reason, outcome.pause) == ([1, 2], RetryReason.REDIRECT, True)
    assert "https://sso.test/login" in outcome.detail
    assert "t0ken" not in outcome.detail
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, text="the third is malformed"),
        Answer(400, headers={"Content-Type": "text/plain"}, body=b"the third is malformed\n"),
    ],
    ids=["protobuf", "text"],
)
async def test_a_malformed_event_is_rejected_with_the_servers_text(server: FakeOtlpHttp, answer: Answer) -> None:
    server.always = answer
    (rejection,) = (await send(server.url, events=1)).rejected
    assert rejection.reason is RejectReason.MALFORMED
    assert rejection.detail == "HTTP 400: the third is malformed"


@pytest.mark.parametrize(
    "text",
    [
        "Client sent an HTTP request to an HTTPS server.\n",
        "<html><center>The plain HTTP request was sent to HTTPS port</center></html>",
        "<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.<br /></p>",
        "Bad Request\nThis combination of host and port requires TLS.\n",
    ],
    ids=["go", "nginx", "apache", "tomcat"],
)
async def test_plain_http_to_a_tls_port_rejects_no_event_and_says_so(server: FakeOtlpHttp, text: str) -> None:
    server.always = Answer(400, headers={"Content-Type": "text/plain"}, body=text.encode())
    outcome = await send(server.url, events=1)
    assert (list(outcome.retry), list(outcome.rejected), outcome.pause) == ([1], [], True)
    assert f"{server.url}/v1/logs: this port expects TLS; write `https://`" in outcome.detail


async def test_a_400_that_quotes_an_address_rejects_its_event(server: FakeOtlpHttp) -> None:
    body = b"malformed: 'https://acme.test, http request to TLS and SSL'"
    server.always = Answer(400, headers={"Content-Type": "text/plain"}, body=body)
    outcome = await send(server.url, events=1)
    assert [rejection.reason for rejection in outcome.rejected] == [RejectReason.MALFORMED]


@pytest.mark.long
async def test_a_truncated_response_is_a_retry(server: FakeOtlpHttp) -> None:
    server.always = Answer(headers={"Content-Length": "10"}, body=b"\x0a")
    outcome = await send(server.url, timeout="300ms")
    assert list(outcome.retry) == [1, 2]


@pytest.mark.parametrize("seconds", [-1.0, 2.0**32])
async def test_events_are_delivered_though_the_clock_is_before_1970_or_after_2106(
    server: FakeOtlpHttp, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(time, "time", lambda: seconds)
    sink = OtlpSink("otlp", OtlpSinkSettings(endpoint=server.url, compression="gzip"), ManualClock())
    assert (await sink.send(stored_events(1))).delivered == [1]
    await sink.close()


async def test_a_connection_is_used_again(server: FakeOtlpHttp) -> None:
    sink = OtlpSink("otlp", OtlpSinkSettings(endpoint=server.url), ManualClock())
    for answer in (Answer(), Answer(413), Answer(refused=1), Answer(status=204, body=b"")):
        server.answers.append(answer)
        await sink.send(stored_events(2))
    await sink.close()
    assert (len(server.requests), server.connections) == (4, 1)


async def test_a_send_can_be_cancelled_during_a_response_that_never_ends() -> None:
    enough, ended = asyncio.Event(), asyncio.Event()

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not enough.is_set():
            writer.write(b"x")
            await asyncio.sleep(0.05)
        writer.transport.abort()
        ended.set()

    dripping = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = dripping.sockets[0].getsockname()[1]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):  # as the worker does
            await send(f"http://127.0.0.1:{port}")
    enough.set()
    await ended.wait()
    dripping.close()


def _server_of(protocol: str, certificate: Certificate, *, mutual: bool) -> FakeOtlpHttp | FakeOtlpGrpc:
    cert, key = certificate
    if protocol == "grpc":
        pair = (key.read_bytes(), cert.read_bytes())
        trusted = cert.read_bytes() if mutual else None
        return FakeOtlpGrpc(grpc.ssl_server_credentials([pair], trusted, mutual))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if mutual:
        context.load_verify_locations(cert)
        context.verify_mode = ssl.CERT_REQUIRED
    return FakeOtlpHttp(context)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_certificate_of_the_ca_file_is_trusted_and_no_other(
    certificate: Certificate, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE"):
        monkeypatch.setenv(name, "/nowhere/ca.pem")
    async with _server_of(protocol, certificate, mutual=False) as server:
        trusting = await send(server.url, protocol=protocol, ca_file=certificate.cert)
        wary = await send(server.url, protocol=protocol)
    assert trusting.delivered == [1, 2]
    assert (list(wary.retry), wary.reason, wary.pause) == ([1, 2], RetryReason.CONNECTION, True)
    assert "certificate" in wary.detail.lower()
    assert len(server.requests) == 1


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_the_client_certificate_is_sent(certificate: Certificate, protocol: str) -> None:
    cert, key = certificate
    async with _server_of(protocol, certificate, mutual=True) as server:
        ours = await send(server.url, protocol=protocol, ca_file=cert, cert_file=cert, key_file=key)
        without = await send(server.url, protocol=protocol, ca_file=cert)
    assert ours.delivered == [1, 2]
    assert (list(without.retry), list(without.delivered)) == ([1, 2], [])
