"""Proxies that the environment names and that cannot be used."""

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
