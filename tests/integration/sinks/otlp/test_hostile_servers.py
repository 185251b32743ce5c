"""Servers that answer without end, too much, or what an OTLP server does not say."""

import asyncio
import contextlib
import gzip
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it ships no types
import pytest

from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.otlp.sink import OtlpSink
from tests.child_processes import child
from tests.contract.sinks import stored_events
from tests.fakes.clock import ManualClock
from tests.fakes.otlp import Answer, FakeOtlpGrpc, FakeOtlpHttp

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
_MORE = 100 * 1024  # kB


def sink(url: str, timeout: str = "10s", **written: Any) -> OtlpSink:
    settings = OtlpSinkSettings(**{"endpoint": url, "delivery": {"timeout": timeout}, **written})
    return OtlpSink("otlp", settings, ManualClock())


async def send(url: str, events: int = 2, **written: Any) -> BatchResult:
    opened = sink(url, **written)
    try:
        return await opened.send(stored_events(events))
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """Serve each connection by `serve`, and give the port."""

    async def until_it_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(until_it_ends, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def endless(writer: asyncio.StreamWriter, start: bytes, piece: bytes, pause: float) -> None:
    writer.write(start)
    while not writer.is_closing():
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)


DRIPS = {
    "headers": ("http", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    "body": ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"\0"),
    "chunks": ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "interim responses": ("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "tls": ("https", b"\x16\x03\x03\x40\x00\x02", b"\0"),
    "grpc": ("grpc", b"\0\0\0\x04\0\0\0\0\0", b"\0\0\x08\x06\0\0\0\0\0pingping"),
}


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def sockets() -> int:
    found = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # it is closed meanwhile
            found += str(path.readlink()).startswith("socket:")
    return found


@pytest.mark.long
@pytest.mark.parametrize("kind", DRIPS)
async def test_a_dripping_server_leaks_no_thread_and_no_descriptor(kind: str) -> None:
    scheme, start, piece = DRIPS[kind]
    written = {"protocol": "grpc"} if scheme == "grpc" else {}

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await endless(writer, start, piece, 0.02)

    async with serving(drip) as port:
        url = f"{'https' if scheme == 'https' else 'http'}://127.0.0.1:{port}"
        opened = sink(url, timeout="200ms", **written)
        for _ in range(2):  # gRPC starts its threads at its first calls
            await opened.send(stored_events(1))
        before = threads(), sockets()
        for _ in range(10):
            result = await opened.send(stored_events(1))
            assert (result.retry, result.reason) == ([1], RetryReason.TIMEOUT)
        limit = before[0] + 2, before[1] + 2
        deadline = time.monotonic() + 5
        while (threads() > limit[0] or sockets() > limit[1]) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        after = threads(), sockets()
        await opened.close()
    assert after[0] <= limit[0]
    assert after[1] <= limit[1]


def peak() -> int:
    """Return the most memory that was resident since `reset_peak`, in kB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


GIGABYTES = {
    "chunked": b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n",
    "with its length": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n",
    "an error": b"HTTP/1.1 503 no\r\nContent-Type: text/plain\r\nContent-Length: 1073741824\r\n\r\n",
    "in its headers": b"HTTP/1.1 200 OK\r\n",
}
_MEBIBYTE = b"\0" * (1 << 20)
_PIECES = {"chunked": b"100000\r\n" + _MEBIBYTE + b"\r\n", "in its headers": b"X-Long: " + b"x" * 60_000 + b"\r\n"}


@pytest.mark.parametrize("kind", GIGABYTES)
async def test_a_response_of_a_gigabyte_is_not_held_in_memory(kind: str) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await endless(writer, GIGABYTES[kind], _PIECES.get(kind, _MEBIBYTE), 0)

    reset_peak()
    before = peak()
    async with serving(answer) as port:
        result = await send(f"http://127.0.0.1:{port}")
    assert (list(result.retry), list(result.delivered), list(result.rejected)) == ([1, 2], [], [])
    assert peak() - before < _MORE


@pytest.mark.long
@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "deflate"])
async def test_a_response_that_inflates_without_end_is_not_held_in_memory(status: int, encoding: str) -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * 200_000_000) * 2)
    content = bomb if encoding == "gzip, gzip" else gzip.decompress(bomb)
    head = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    async with FakeOtlpHttp() as server:
        server.always = Answer(status, headers=head, body=content)
        reset_peak()
        before = peak()
        result = await send(server.url)
    assert (list(result.retry), list(result.delivered), list(result.rejected)) == ([1, 2], [], [])
    assert peak() - before < _MORE


_LARGE_GRPC = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc

content = (b"\\x0a" if sys.argv[1] == "gzip" else b"\\0") + bytes(int(sys.argv[2]) - 1)
handler = grpc.unary_unary_rpc_method_handler(lambda request, context: content)

class Handlers(grpc.GenericRpcHandler):
    def service(self, details):
        return handler

compression = grpc.Compression.Gzip if sys.argv[1] == "gzip" else None
options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
server = grpc.server(ThreadPoolExecutor(2), (Handlers(),), options=options, compression=compression)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("compression", "size"), [("none", 5 << 20), ("none", 400 << 20), ("gzip", 50 << 20), ("gzip", 400 << 20)]
)
async def test_a_large_grpc_response_is_a_retry_and_not_held_in_memory(compression: str, size: int) -> None:
    command = [sys.executable, "-c", _LARGE_GRPC, compression, str(size)]
    with child(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(await asyncio.to_thread(server.stdout.readline))}"
        reset_peak()
        before = peak()
        alone = await send(url, events=1, protocol="grpc")
    assert (list(alone.retry), list(alone.delivered), list(alone.rejected)) == ([1], [], [])
    assert "the response is larger than 64 KiB" in alone.detail
    assert peak() - before < _MORE


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": "no such tenant"}',
        b'{"status": 404}',
        b'{"code": 7, "message": "no"}',
        b"[]",
        b"[{}]",
        b'"ok"',
        b"null",
        b"true",
        b"0",
        b" ",
        b'{"partialSuccess": "no"}',
        b'{"partialSuccess": []}',
        b'{"partialSuccess": {}, "error": "no such tenant"}',
        b'{"partialSuccess": {"rejectedLogRecords": "many"}}',
        b'{"PartialSuccess": {}}',
        b'{"partialSuccess": {"rejectedLogRecords": 1}, "partialSuccess": {}}',
        b'{"partialSuccess": {"rejectedLogRecords": 1}, "partial_success": {}}',
        b'{"partialSuccess": {"rejectedLogRecords": 1, "rejectedLogRecords": 0}}',
        b'{"partialSuccess": {"rejectedLogRecords": 1, "rejected_log_records": 0}}',
        b"{",
        b"{}{}",
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
async def test_a_200_with_json_that_is_not_of_otlp_is_not_an_acceptance(body: bytes, kind: str) -> None:
    async with FakeOtlpHttp() as server:
        server.always = Answer(headers={"Content-Type": kind}, body=body)
        result = await send(server.url)
    assert (list(result.retry), list(result.delivered), result.pause) == ([1, 2], [], True)
    assert "not the response of an OTLP server" in result.detail


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-protobuf", b"It works!"),
        ("application/x-protobuf", b"\x12\x07no such"),  # google.rpc.Status, as with an error
        ("application/x-protobuf", b"\x10\x05"),
        ("application/octet-stream", b"ok"),
        ("application/xml", b"<error/>"),
        ("", b"OK"),
        ("application/problem+json", b"{}"),
        ("application/x-ndjson", b"{}"),
    ],
)
async def test_a_200_of_another_type_is_not_an_acceptance(kind: str, body: bytes) -> None:
    async with FakeOtlpHttp() as server:
        server.always = Answer(headers={"Content-Type": kind}, body=body)
        result = await send(server.url)
    assert (list(result.retry), list(result.delivered), result.pause) == ([1, 2], [], True)


@pytest.mark.parametrize("content", [(b"It works!",), (b"\x10\x05",), (b"\xff" * 10,), ()])
async def test_an_ok_over_grpc_with_another_message_or_none_is_not_an_acceptance(content: Sequence[bytes]) -> None:
    async def answer(_request: bytes, _context: object) -> AsyncIterator[bytes]:
        for message in content:
            yield message

    server = grpc.aio.server()
    method = grpc.unary_stream_rpc_method_handler(answer)
    service, name = _EXPORT[1:].split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    result = await send(f"http://127.0.0.1:{port}", protocol="grpc")
    await server.stop(None)
    assert (list(result.retry), list(result.delivered), result.pause) == ([1, 2], [], True)
    assert result.detail == f"http://127.0.0.1:{port}: not the response of an OTLP server"


async def test_a_redirect_to_a_malformed_address_is_a_redirect() -> None:
    async with FakeOtlpHttp() as server:
        server.always = Answer(302, headers={"Location": "http://[bad"})
        result = await send(server.url)
    assert (list(result.retry), result.reason, result.pause) == ([1, 2], RetryReason.REDIRECT, True)
    assert "HTTP 302 to http://[bad; " in result.detail


@pytest.mark.parametrize("path", ["/otlp", "/otlp/", "/"])
@pytest.mark.parametrize(
    "answer",
    [Answer(404), Answer(405), Answer(302, headers={"Location": "/login"}), Answer(body=b"It works!")],
    ids=["404", "405", "302", "200"],
)
async def test_the_reason_of_a_pause_names_the_url_posted_to_and_the_path_of_otlp(path: str, answer: Answer) -> None:
    async with FakeOtlpHttp() as server:
        server.always = answer
        result = await send(server.url + path)
        posted = server.url + server.requests[0].path
    assert result.pause
    assert posted in result.detail
    assert posted.rstrip("/").removesuffix("/v1/logs") + "/v1/logs" in result.detail


_SILENT = """
import asyncio, sys
from forwarder import logs
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.otlp.sink import OtlpSink
from tests.fakes.clock import ManualClock

async def main():
    logs.setup()
    for url in sys.argv[1:]:
        written = {"endpoint": url, "protocol": "grpc", "delivery": {"timeout": "2s"}}
        sink = OtlpSink("otlp", OtlpSinkSettings(**written), ManualClock())
        from tests.contract.sinks import stored_events  # loads gRPC too
        result = await sink.send(stored_events(1))
        assert result.retry == [1], result
        await sink.close()

asyncio.run(main())
"""


async def _written(*urls: str) -> tuple[int | None, str]:
    """Send over gRPC to each of `urls` in another process; give its exit code and what it wrote."""
    environment = {
        name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"
    }  # a test may have set it
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SILENT, *urls, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    written, _ = await process.communicate()
    return process.returncode, written.decode()


@pytest.mark.long
async def test_grpc_writes_nothing_to_stderr() -> None:
    async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(http1) as port, FakeOtlpHttp() as closed:
        await closed.hang_up()
        urls = [f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port}", closed.url, "http://no-such-host.invalid:4317"]
        assert await _written(*urls) == (0, "")


@pytest.mark.long
async def test_an_untrusted_grpc_server_leaves_stderr_empty_too(certificate: Any) -> None:
    cert, key = certificate
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
    async with FakeOtlpGrpc(credentials) as server:
        assert await _written(server.url) == (0, "")
