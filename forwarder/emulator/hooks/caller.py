"""The org's calls to a hook's address: the challenge, and the envelopes. What an answer means stands in `_judge`."""

import asyncio
import secrets
import ssl
from pathlib import Path

import httpx
import msgspec

from forwarder.emulator.hooks.hooks import Hook

_ALWAYS = [(b"User-Agent", b"Okta-Integrations"), (b"Accept", b"application/json")]


class Answer(msgspec.Struct, frozen=True):
    """What came of one call.

    Attributes:
        taken: the receiver has it.
        again: Okta tries it once more.
        told: what the System Log says of it.
    """

    taken: bool
    again: bool
    told: str


_NO_ANSWER = (TimeoutError, OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL)
"""What an address can do to a caller. `UnicodeError` comes from the resolver, for a name that can be none."""


class Connections:
    """Kept-alive connections to receivers.

    httpx's transport without its client: half the time per call, and no cookie, redirect or header of its own.

    Args:
        ca_file: CA certificates to trust; None for those that everybody trusts.
    """

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        self._by_scheme: dict[str, httpx.AsyncHTTPTransport] = {}

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read all of its answer.

        Raises:
            httpx.HTTPError: there was none.
        """
        scheme = request.url.scheme
        if scheme not in self._by_scheme:
            self._by_scheme[scheme] = self._transport(tls=scheme == "https")
        response = await self._by_scheme[scheme].handle_async_request(request)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    async def close(self) -> None:
        """Close them all."""
        for transport in self._by_scheme.values():
            await transport.aclose()

    def _transport(self, *, tls: bool) -> httpx.AsyncHTTPTransport:
        # A TLS context takes 30 ms to make; hooks of a demo and of tests need none.
        verify = self._trust() if tls else False
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        # No proxy from the environment: hooks of a demo live on this machine.
        return httpx.AsyncHTTPTransport(verify=verify, limits=limits, trust_env=False)

    def _trust(self) -> ssl.SSLContext:
        if self._ca_file:
            return ssl.create_default_context(cafile=self._ca_file)
        return httpx.create_ssl_context(trust_env=False)


class Caller:
    """Calls hooks as Okta does: a few seconds of patience, no redirect followed.

    Args:
        connections: to the receivers.
        timeout: seconds that one call may take, all of it.
    """

    def __init__(self, connections: Connections, timeout: float) -> None:
        self._connections = connections
        self._timeout = timeout

    async def post(self, hook: Hook, body: bytes) -> Answer:
        """Post one envelope, once."""
        return _judge(await self._call("POST", hook, [(b"Content-Type", b"application/json")], body))

    async def verify(self, hook: Hook) -> bool:
        """Send the challenge, twice at most. Says whether the receiver echoed it.

        Here an error response of any kind is tried again; an answer that is wrong is not.
        """
        challenge = secrets.token_urlsafe(30)
        header = (b"X-Okta-Verification-Challenge", challenge.encode())
        for _ in range(2):
            response = await self._call("GET", hook, [header], None)
            if response is not None and response.is_success:
                return response.status_code == 200 and _echo(response.content) == challenge
        return False

    async def _call(
        self, method: str, hook: Hook, headers: list[tuple[bytes, bytes]], body: bytes | None
    ) -> httpx.Response | None:
        """One call; None where there was no answer in time, or none at all."""
        request_id = (b"X-Okta-Request-Id", secrets.token_urlsafe(20).encode())
        try:
            request = httpx.Request(
                method,
                hook.spec.channel.config.uri,
                headers=[*_ALWAYS, request_id, *headers, *hook.headers()],
                content=body,
            )
            async with asyncio.timeout(self._timeout):
                return await self._connections.send(request)
        except _NO_ANSWER:
            return None


def _judge(response: httpx.Response | None) -> Answer:
    """The rule of retries: only a 5xx or no answer is tried again.

    Okta documents 200 and 204 as success, and says nothing of other 2xx and of 3xx for event hooks; both are read as it
    documents them for inline hooks: any 2xx will do, and a redirect is not followed.
    """
    if response is None:
        return Answer(taken=False, again=True, told="Hook timed out")
    told = f"HTTP status {response.status_code}"
    return Answer(taken=response.is_success, again=response.is_server_error, told=told)


def _echo(body: bytes) -> object:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return answer.get("verification") if isinstance(answer, dict) else None
