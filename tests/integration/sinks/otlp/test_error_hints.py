"""A mistake in the settings of the sink is named with what to do about it, whatever the libraries say."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import grpc  # type: ignore[import-untyped]  # it ships no types
import pytest

from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.otlp.sink import OtlpSink
from tests.certificates import Certificate
from tests.contract.sinks import stored_events
from tests.fakes.clock import ManualClock
from tests.fakes.otlp import FakeOtlpGrpc, FakeOtlpHttp

Servers = dict[str, str]


@pytest.fixture
async def servers(certificate: Certificate) -> AsyncIterator[Servers]:
    """Give the addresses of servers of every kind, as `host:port`."""

    async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await reader.read()  # until the other side hangs up
        writer.transport.abort()

    cert, key = (path.read_bytes() for path in certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with socket.create_server(("127.0.0.1", 0)) as free:
        nothing = free.getsockname()[1]
    plain = await asyncio.start_server(http1, "127.0.0.1", 0)
    async with (
        FakeOtlpGrpc() as rpc,
        FakeOtlpGrpc(grpc.ssl_server_credentials([(key, cert)])) as rpc_tls,
        FakeOtlpGrpc(grpc.ssl_server_credentials([(key, cert)], cert, True)) as mutual,
        FakeOtlpHttp(context) as tls,
    ):
        found = {"http": plain.sockets[0].getsockname()[1], "tls": tls.port, "grpc": rpc.port}
        found |= {"grpc tls": rpc_tls.port, "grpc mutual": mutual.port, "nothing": nothing}
        yield {name: f"127.0.0.1:{port}" for name, port in found.items()} | {
            "tls by name": f"localhost:{tls.port}",
            "grpc tls by name": f"localhost:{rpc_tls.port}",
            "no host": "no-such-host.invalid:4317",
        }
    plain.close()


async def detail_of(url: str, **written: Any) -> tuple[str, bool]:
    settings = OtlpSinkSettings(**{"endpoint": url, "delivery": {"timeout": "5s"}, **written})
    sink = OtlpSink("otlp", settings, ManualClock())
    result = await sink.send(stored_events(1))
    await sink.close()
    assert list(result.retry) == [1]
    return result.detail, result.pause


MISTAKES = [
    ("grpc", "http", "http", "set `protocol: http/protobuf`", False),
    ("grpc", "https", "http", "write `http://` in `endpoint`", False),
    ("grpc", "https", "grpc", "write `http://` in `endpoint`", False),
    ("grpc", "http", "grpc tls", "if this port expects TLS, write `https://`", False),
    ("grpc", "https", "grpc tls", "set `ca_file`", True),
    ("grpc", "https", "grpc tls by name", "in `endpoint`, write a name that is in the certificate", True),
    ("grpc", "https", "grpc mutual", "set `cert_file` and `key_file`", False),
    ("grpc", "http", "nothing", "nothing listens there", False),
    ("grpc", "http", "no host", "the host name cannot be resolved", False),
    ("http/protobuf", "https", "http", "write `http://` in `endpoint`", False),
    ("http/protobuf", "http", "tls", "if this port expects TLS, write `https://`", False),
    ("http/protobuf", "http", "grpc", "set `protocol: grpc`", False),
    ("http/protobuf", "https", "tls", "set `ca_file`", True),
    ("http/protobuf", "https", "tls by name", "in `endpoint`, write a name that is in the certificate", True),
    ("http/protobuf", "http", "nothing", "nothing listens there", False),
    ("http/protobuf", "http", "no host", "the host name cannot be resolved", False),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=[f"{row[0]}: {row[1]} to {row[2]}" for row in MISTAKES])
async def test_a_mistake_about_the_server_is_named_with_its_url_and_what_to_do(
    servers: Servers, certificate: Certificate, mistake: tuple[str, str, str, str, bool]
) -> None:
    protocol, scheme, server, advice, pause = mistake
    written: dict[str, Any] = {"protocol": protocol}
    if server.endswith(("by name", "mutual")):
        written["ca_file"] = certificate.cert
    detail, paused = await detail_of(f"{scheme}://{servers[server]}", **written)
    path = "" if protocol == "grpc" else "/v1/logs"
    assert detail.startswith(f"{scheme}://{servers[server]}{path}: ")
    assert advice in detail
    assert paused is pause
