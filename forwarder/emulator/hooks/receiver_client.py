"""The org's HTTP calls to a hook's receiver: the challenge, and the envelopes."""

import asyncio
import secrets
import ssl
from pathlib import Path

import httpx
import msgspec

from forwarder.emulator.hooks.hooks import Hook

Headers = list[tuple[bytes, bytes]]

_COMMON: Headers = [(b"User-Agent", b"Okta-Integrations"), (b"Accept", b"application/json")]

_NO_RESPONSE = (TimeoutError, OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL)
"""What a call can raise. `UnicodeError` comes from the resolver, for an impossible host name."""


class PostResult(msgspec.Struct, frozen=True):
    """The result of one POST.

    Attributes:
        retry: Okta sends it once more.
        message: what the System Log says about a failure.
    """

    delivered: bool
    retry: bool
    message: str


class ReceiverClient:
    """Calls receivers as Okta does: with a short timeout, without following redirects.

    It uses httpx's transports without their client: half the time per call, and no cookies or headers of its own.

    Args:
        timeout: seconds that one call may take in all.
        ca_file: CA certificates to trust; None: the usual ones.
    """

    def __init__(self, timeout: float, ca_file: Path | None) -> None:
        self._timeout = timeout
        self._ca_file = ca_file
        self._transports: dict[str, httpx.AsyncHTTPTransport] = {}

    async def post(self, hook: Hook, body: bytes) -> PostResult:
        """Post one envelope, once."""
        response = await self._call("POST", hook, [(b"Content-Type", b"application/json")], body)
        return _classify(response)

    async def verify(self, hook: Hook) -> bool:
        """Send the challenge and return whether the receiver echoed it.

        Okta sends it once more after any error response, but not after a wrong echo.
        """
        challenge = secrets.token_urlsafe(30)
        header = (b"X-Okta-Verification-Challenge", challenge.encode())
        for _ in range(2):
            response = await self._call("GET", hook, [header], None)
            if response is not None and response.is_success:
                return response.status_code == 200 and _echo(response.content) == challenge
        return False

    async def close(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    async def _call(
        self, method: str, hook: Hook, headers: Headers, body: bytes | None
    ) -> httpx.Response | None:
        """Make one call; None if there is no response in time."""
        request_id = (b"X-Okta-Request-Id", secrets.token_urlsafe(20).encode())
        all_headers = [*_COMMON, request_id, *headers, *hook.headers()]
        try:
            request = httpx.Request(method, hook.spec.channel.config.uri, headers=all_headers, content=body)
            async with asyncio.timeout(self._timeout):
                response = await self._transport(request.url.scheme).handle_async_request(request)
                try:
                    await response.aread()
                finally:
                    await response.aclose()
                return response
        except _NO_RESPONSE:
            return None

    def _transport(self, scheme: str) -> httpx.AsyncHTTPTransport:
        if scheme not in self._transports:
            # A TLS context takes 30 ms to make; hooks of a demo and of tests need none.
            verify = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else scheme == "https"
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
            # No proxy from the environment: the receiver of a demo is on this machine.
            transport = httpx.AsyncHTTPTransport(verify=verify, limits=limits, trust_env=False)
            self._transports[scheme] = transport
        return self._transports[scheme]


def _classify(response: httpx.Response | None) -> PostResult:
    """Okta retries only after a 5xx or without a response.

    Okta documents 200 and 204 as success, and nothing about other 2xx and 3xx for event hooks; both are treated as it
    documents them for inline hooks: every 2xx is a success, and a redirect is not followed.
    """
    if response is None:
        return PostResult(delivered=False, retry=True, message="Hook timed out")
    message = f"HTTP status {response.status_code}"
    return PostResult(delivered=response.is_success, retry=response.is_server_error, message=message)


def _echo(body: bytes) -> object:
    try:
        response = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return response.get("verification") if isinstance(response, dict) else None
