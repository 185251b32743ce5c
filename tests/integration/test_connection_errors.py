"""HTTP clients with a proxy that cannot be used, and with a server that sends cookies."""

import asyncio

import httpx
import pytest

from forwarder.connection_errors import http_client


@pytest.mark.parametrize(
    ("name", "proxy"),
    [
        ("all_proxy", "socks5://127.0.0.1:9"),
        ("https_proxy", "ftp://127.0.0.1:9"),
        ("https_proxy", "http://[::1"),
        ("https_proxy", "http://127.0.0.1:port"),
    ],
)
async def test_a_proxy_that_cannot_be_used_fails_requests_and_not_the_process(
    monkeypatch: pytest.MonkeyPatch, name: str, proxy: str
) -> None:
    monkeypatch.setenv(name, proxy)
    async with http_client(timeout=5) as client:
        with pytest.raises(httpx.ConnectError, match="`https_proxy` and `all_proxy`"):
            await client.get("https://acme.okta.test")


async def test_a_cookie_of_the_server_is_not_sent_back() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\nConnection: close\r\n\r\n")
        writer.close()

    asked: list[bytes] = []
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, http_client(trust_env=False) as client:
        host, port = server.sockets[0].getsockname()
        for _ in range(2):
            await client.get(f"http://{host}:{port}/")
    assert [b"cookie" in request.lower() for request in asked] == [False, False]
