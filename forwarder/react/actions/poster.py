"""Posts requests to a webhook or to a receiver of security event tokens, and returns each result as an Answer."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec

from forwarder import tls
from forwarder.connection_errors import INSPECTED, http_client, why_unreachable
from forwarder.core.bounded_body import BodyEncodingError, BodyTooLargeError
from forwarder.core.errors import SettingsError
from forwarder.core.ports import Clock
from forwarder.core.printable import printable_line
from forwarder.core.redaction import redact, redact_start
from forwarder.react.ports import Answer, retry_at
from forwarder.response_bodies import read_whole

_LIMIT = 64 * 1024
"""The largest number of bytes of a response that are read."""

_DETAIL_LIMIT = 300
"""The largest number of characters of the server's own text that are kept."""

NO_RESPONSE = (httpx.HTTPError, httpx.InvalidURL, OSError, RuntimeError, ValueError)
"""The errors of a request without a response. RuntimeError: a reload has closed the client. ValueError: the host name is
malformed."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""The errors of a request that certainly did not reach the server."""

Hint = Callable[[int, Any], str]
"""A function that takes the status and the decoded body of a refusal, and returns what the operator can do. `{key}` in the
returned text stands for the configuration key of the server."""

_HINTS = {
    404: "check the path of {key}",
    405: "check the path of {key}",
    410: "the server no longer accepts anything at this URL; correct or remove {key}",
    413: "let the server accept larger bodies",
}


def usual_hint(status: int, _body: object = None) -> str:
    """Return what the operator can do about an HTTP status. The hint fits every server."""
    return _HINTS.get(status, "ask the operators of the server")


class PostServer(NamedTuple):
    """A server to post to, as the configuration describes it.

    Attributes:
        key: the configuration key that has the URL.
        timeout: seconds from the start of a request to the end of its response.
        shown: the text to show in place of a URL that holds a secret; empty to show the URL.
        ca_file: PEM file with the certificate authorities to trust, instead of those of the system.
        environment: whether to use the proxy that the environment variables name. Calls of Okta's API use it.
    """

    url: str
    key: str
    timeout: float
    shown: str = ""
    ca_file: Path | None = None
    environment: bool = False


class Poster:
    """Posts to one server. Does not follow redirects, and does not retry."""

    def __init__(self, server: PostServer, clock: Clock) -> None:
        """Prepare to post to `server`, without connecting to it yet.

        Raises:
            SettingsError: the server's `ca_file` cannot be used.
        """
        self.key = server.key
        self._server = server
        self._shown = server.shown or server.url
        self._clock = clock
        of_ca = f"set {server.key.rpartition('.')[0]}.ca_file to the PEM file of its CA"
        self._untrusted = INSPECTED if server.environment else of_ca
        self._client = http_client(
            verify=_trusted(server.ca_file, server.key) if server.url.startswith("https:") else False,
            timeout=server.timeout,
            follow_redirects=False,
            trust_env=server.environment,
        )

    async def post(self, content_type: str, body: bytes, headers: Mapping[str, str], hint: Hint = usual_hint) -> Answer:
        """Send one POST and return the answer. An error of the server or the network is also an answer, not an
        exception.

        `hint` takes the status and the body of a refusal, and returns what the operator can do.
        """
        every = {"content-type": content_type, **headers}
        sent = await self._send("POST", body, every)
        return sent if isinstance(sent, Answer) else self._answer(*sent, hint)

    async def problem(self) -> str:
        """Send an OPTIONS request, which changes nothing on the server. Return why the server cannot be reached, and
        what to do; empty if the server answers with any status."""
        sent = await self._send("OPTIONS", b"", {})
        return sent.text if isinstance(sent, Answer) else ""

    async def _send(
        self, method: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer | tuple[httpx.Response, bytes]:
        """Return the response and its content; or an Answer that says why there is no response."""
        every = {"user-agent": "okta-forwarder", **headers}
        try:
            request = self._client.build_request(method, self._server.url, content=body, headers=every)
            return await exchange(self._client, request, self._server.timeout, _LIMIT)
        except NO_RESPONSE as error:
            why, fix = why_unreachable(error, self.key, self._untrusted)
            text = _line(f"{self._shown}: {redact_start(f'{why}; {fix}', 1000)}")
            return Answer(0, text=text, sent=not isinstance(error, NEVER_SENT))

    async def close(self) -> None:
        await self._client.aclose()

    def _answer(self, response: httpx.Response, content: bytes, hint: Hint) -> Answer:
        status = response.status_code
        text = redact(content.decode(errors="replace"))  # a server may echo the request
        try:
            body = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            body = None
        if response.is_success:
            return Answer(status, body)
        said, fix = _said(body, text), hint(status, body).format(key=self.key)
        if response.is_redirect:
            said = f"redirect to {_shown_start(response.headers.get('location', '').partition('?')[0])}"
            fix = f"redirects are not followed; write the right address in {self.key}"
        answer = Answer(status, body, retry_at=retry_at(response.headers, self._clock.now()))
        after = "the request is tried again" if answer.is_retryable else fix
        text = f"{self._shown} answers {status}{f': {said}' if said else ''}; {after}"
        return msgspec.structs.replace(answer, text=_line(text))


class Posters:
    """Base class for all receivers of one kind, such as webhooks. Has a Poster for each receiver, by the receiver's
    name in the configuration."""

    def __init__(self) -> None:
        self._posters: dict[str, Poster] = {}

    async def problems(self) -> list[str]:
        """Send an OPTIONS request to each receiver. Return a line for each receiver that cannot be reached: key,
        problem, hint."""
        found = [(poster.key, await poster.problem()) for poster in self._posters.values()]
        return [f"{key}: {problem}" for key, problem in found if problem]

    async def close(self) -> None:
        for poster in self._posters.values():
            await poster.close()


async def exchange(
    client: httpx.AsyncClient, request: httpx.Request, timeout: float, limit: int
) -> tuple[httpx.Response, bytes]:
    """Send `request` once, and return the response and its body. The body is empty if it is larger than `limit` bytes, or
    cannot be decompressed. The whole exchange takes at most `timeout` seconds.

    Raises:
        NO_RESPONSE: there is no response.
    """
    async with asyncio.timeout(timeout):
        response = await client.send(request, stream=True)
        try:
            return response, await read_whole(response, limit)
        except (BodyTooLargeError, BodyEncodingError):
            return response, b""
        finally:
            await response.aclose()


def _said(body: object, text: str) -> str:
    """Return the server's error text: the error fields that RFC 8935 or RFC 9457 define, if `body` has them; else the
    start of `text`."""
    if isinstance(body, dict):
        values = (body.get(key) for key in ("err", "description", "detail", "message", "error"))
        found = [value for value in values if isinstance(value, str) and value]
        text = " - ".join(found[:2]) or text
    return _shown_start(text)


def _shown_start(text: str) -> str:
    """Return the start of a text from the server, in one line. Secrets are removed, because the text may repeat our
    request."""
    return _line(redact_start(text.strip(), _DETAIL_LIMIT), _DETAIL_LIMIT)


def _line(text: str, limit: int = 1000) -> str:
    return printable_line(text.strip())[:limit]


def _trusted(ca_file: Path | None, key: str) -> ssl.SSLContext:
    if ca_file is None:
        return _system()
    try:
        return tls.client_context(ca_file)
    except OSError as error:
        raise SettingsError([f"{key.rpartition('.')[0]}.ca_file: {error.strerror}"]) from None


@cache
def _system() -> ssl.SSLContext:
    """Return a TLS context with the system's certificate authorities. The context is cached, because loading the
    authorities takes 0.1 s."""
    return tls.client_context()
