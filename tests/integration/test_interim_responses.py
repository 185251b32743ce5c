"""Every client skips a few interim responses, and gives up a server that sends them without end."""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from forwarder.cli.tap_store import TapOptions
from forwarder.cli.tap_url import from_url
from forwarder.connection_errors import http_client, why_unreachable
from forwarder.core.errors import ForwarderError, SetupError
from forwarder.core.outcome import RetryReason
from forwarder.okta.api.rate_limits import RateLimits
from forwarder.okta.api.transport import Transport
from forwarder.ops.event_view import EventFilter
from forwarder.setup.grafana.grafana_api import Grafana
from forwarder.setup.grafana.settings import GrafanaSettings
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.elasticsearch.sink import ElasticsearchSink
from tests.certificates import Certificate
from tests.contract.sinks import stored_events
from tests.fakes.clock import ManualClock

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODY = json.dumps({"errors": False, "items": [{"create": {"status": 201}}] * 2}).encode()
FINAL = (
    b"HTTP/1.1 200 OK\r\nX-Elastic-Product: Elasticsearch\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY


@asynccontextmanager
async def server_with(interim: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Answer each request with a number of interim responses and the final one; yield the server's address."""
    open_connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_connections.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(length[0].partition(b":")[2]) if length else 0)
                writer.write(INTERIM * interim + FINAL)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in open_connections:
            writer.close()
        server.close()
        await server.wait_closed()


async def by_httpx(url: str, trusted: ssl.SSLContext | None = None) -> str:
    async with http_client(verify=trusted or False, trust_env=False) as client:
        try:
            return "".join([(await client.get(url)).text for _ in range(2)])
        except httpx.HTTPError as error:
            return why_unreachable(error, "url")[0]


async def by_okta(url: str) -> str:
    transport = Transport(RateLimits(0.5, ManualClock()), 5.0, None)
    request: dict[str, Any] = {"method": "GET", "url": f"{url}/api/v1/logs", "headers": {}, "data": None, "form": None}
    try:
        answers = [await transport.send_request(request) for _ in range(2)]
        return "".join(
            str(error) if response is None else response.content.decode() for _, response, _, error in answers
        )
    finally:
        await transport.close()


async def by_setup(url: str) -> str:
    def ask() -> str:
        with Grafana(GrafanaSettings(url=url)) as client:
            try:
                return "".join([json.dumps(client.ask("GET", url).body) for _ in range(2)])
            except SetupError as error:
                return str(error)

    return await asyncio.to_thread(ask)


async def by_tap(url: str) -> str:
    def read() -> str:
        try:
            return str(
                list(
                    from_url(url, None, TapOptions(EventFilter(), None, follow=True, limit=1, seconds=30.0, form=None))
                )
            )
        except ForwarderError as error:
            return str(error)

    return await asyncio.to_thread(read)


@pytest.mark.parametrize("send", [by_httpx, by_okta, by_setup])
async def test_a_few_interim_responses_are_skipped(send: Callable[[str], Awaitable[str]]) -> None:
    async with server_with(20) as url:
        assert await send(url) == 2 * _BODY.decode()


async def test_interim_responses_are_skipped_over_tls(certificate: Certificate) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)
    async with server_with(20, context) as url:
        trusted = ssl.create_default_context(cafile=certificate.cert)
        assert await by_httpx(url, trusted) == 2 * _BODY.decode()


async def test_a_server_with_interim_responses_without_end_gets_no_further_turn() -> None:
    async with server_with(3_000) as url:
        assert await by_httpx(url) == "no response (more than 20 interim responses)"
        assert "broke" in await by_okta(url)


@pytest.mark.parametrize("send", [by_setup, by_tap])
async def test_a_command_gives_up_a_server_with_interim_responses_without_end(
    send: Callable[[str], Awaitable[str]],
) -> None:
    async with server_with(3_000) as url:
        assert "more than 20 interim responses" in await send(url)


async def test_the_events_of_a_flooded_response_are_sent_again() -> None:
    async with server_with(3_000) as url:
        sink = ElasticsearchSink(ElasticsearchSinkSettings(hosts=(url,)), ManualClock())
        flooded = await sink.send(stored_events(2))
        await sink.close()
    assert (flooded.retry, flooded.reason) == ([1, 2], RetryReason.CONNECTION)
    assert "more than 20 interim responses" in flooded.detail


async def test_a_damaged_record_of_tls_in_a_response_is_a_failed_connection(certificate: Certificate) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(FINAL[:-3])
        await writer.drain()
        os.write(writer.get_extra_info("socket").fileno(), b"the bytes of a proxy in clear text")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert "TLS failed" in await by_httpx(url, ssl.create_default_context(cafile=str(certificate.cert)))
        sink = ElasticsearchSink(ElasticsearchSinkSettings(hosts=(url,), ca_file=certificate.cert), ManualClock())
        result = await sink.send(stored_events(2))
        await sink.close()
    assert (result.retry, result.reason) == ([1, 2], RetryReason.CONNECTION)
    assert "TLS failed" in result.detail
