"""Calls an Okta authorization server, and authenticates the app by a signed assertion.

`OktaCall` sends JSON with an access token. The calls of this module send forms, each with an assertion that is signed
for the URL of the call. A response may contain tokens. So errors and log lines contain only Okta's error texts, and
stored actions contain no tokens.
"""

import asyncio
import ssl
from collections.abc import Mapping
from importlib import import_module
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from forwarder.connection_errors import http_client, why_unreachable
from forwarder.core.ports import Clock
from forwarder.core.printable import printable_line
from forwarder.core.redaction import redact_start
from forwarder.core.time import SECOND, Micros
from forwarder.react.actions.poster import NEVER_SENT, NO_RESPONSE, exchange
from forwarder.react.ports import Answer, okta_retry_at, unreadable
from forwarder.react.settings.signing_keys import signing_key

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LIFETIME = 300  # seconds
_TIMEOUT = 45.0
"""The timeout of a call in seconds. A server may keep a poll open for 30 seconds."""

_LIMIT = 256 * 1024


class CibaApp:
    """The app that sends CIBA prompts, and its authorization server.

    Attributes:
        issuer: `iss` of the server's tokens.
        base: the common beginning of the URLs of the server's endpoints. The forwarder does not read the URLs from
            Okta's metadata, because the metadata does not always name the endpoint of CIBA.
    """

    def __init__(
        self, origin: str, client_id: str, private_key: str, *, server: str | None = None, key_id: str | None = None
    ) -> None:
        """Describe the app with the id `client_id`. `origin` is the URL of the app's org. `server` is the id of the
        authorization server; None for the org's own authorization server.

        Raises:
            ValueError: the key cannot be used; the message shows nothing of the key.
        """
        origin = origin.rstrip("/")
        self.client_id = client_id
        self.issuer = origin if server is None else f"{origin}/oauth2/{server}"
        self.base = f"{origin}/oauth2" if server is None else self.issuer
        self._key = signing_key(private_key)
        # Okta refuses a `kid` that it does not know. If a key was given to Okta as PEM, Okta has chosen its `kid`.
        self._kid = key_id or (self._key.kid if _has_kid(private_key) else None)

    def __repr__(self) -> str:
        return f"CibaApp({self.client_id!r} at {self.issuer!r})"

    def proof(self, url: str, now: Micros) -> dict[str, str]:
        """Return the parameters that authenticate the app in one call of `url`."""
        seconds = now // SECOND
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": url,
            "iat": seconds,
            "exp": seconds + _LIFETIME,
            "jti": token_urlsafe(24),
        }
        headers = {"kid": self._kid} if self._kid else None
        signed = import_module("jwt").encode(claims, self._key.private, "RS256", headers=headers)
        return {"client_assertion_type": _ASSERTION, "client_assertion": signed}


def _has_kid(text: str) -> bool:
    return text.lstrip().startswith("{") and bool(msgspec.json.decode(text).get("kid"))


class AuthorizationServer:
    """Sends calls to an authorization server. Each call is sent once, and redirects are not followed. Like calls of
    Okta's API, the calls use the proxy that the environment variables name."""

    def __init__(self, app: CibaApp, clock: Clock) -> None:
        self.app = app
        self._clock = clock
        self._client: httpx.AsyncClient | None = None
        self._lock = asyncio.Lock()

    @property
    def path(self) -> str:
        """The path at which the URLs of the server's endpoints begin, such as `/oauth2/default`."""
        return urlsplit(self.app.base).path

    async def post(self, path: str, form: Mapping[str, str]) -> Answer:
        """Post a form with the app's signed assertion, and return the answer. An error of the server is also an answer,
        not an exception."""
        url = self.app.base + path
        return await self._send("POST", url, dict(form) | self.app.proof(url, self._clock.now()))

    async def get(self, path: str) -> Answer:
        """Fetch a public document, such as the keys."""
        return await self._send("GET", self.app.base + path, None)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _send(self, method: str, url: str, form: dict[str, str] | None) -> Answer:
        headers = {"accept": "application/json", "user-agent": "okta-forwarder"}
        try:
            client = await self._connected()
            request = client.build_request(method, url, data=form, headers=headers)
            response, content = await exchange(client, request, _TIMEOUT, _LIMIT)
        except NO_RESPONSE as error:
            why, fix = why_unreachable(error, "the org's `url`")
            return Answer(0, text=_line(f"{url}: {why}; {fix}"), sent=not isinstance(error, NEVER_SENT))
        return self._answer(method, url, response, content)

    async def _connected(self) -> httpx.AsyncClient:
        async with self._lock:
            if self._client is None:
                trusted = await asyncio.to_thread(ssl.create_default_context)  # reading the authorities takes 0.1 s
                self._client = http_client(
                    verify=trusted,
                    timeout=_TIMEOUT,
                    follow_redirects=False,
                    trust_env=self.app.base.startswith("https:"),  # plain http is for loopback only
                )
        return self._client

    def _answer(self, method: str, url: str, response: httpx.Response, content: bytes) -> Answer:
        try:
            body = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = None
        request_id = response.headers.get("x-okta-request-id", "")
        if response.is_success:
            answer = Answer(response.status_code, body, request_id=request_id)
            return answer if isinstance(body, dict) else unreadable(answer, f"{method} {url}")
        said: Mapping[str, Any] = body if isinstance(body, dict) else {}
        code, text, error_id = (
            _text(said, *names)
            for names in (("errorCode", "error"), ("errorSummary", "error_description"), ("errorId",))
        )
        reason = " ".join(word for word in (str(response.status_code), code) if word)
        return Answer(
            response.status_code,
            code=code,
            text=_line(f"Okta refuses {method} {url} ({reason}{f': {text}' if text else ''})"),
            error_id=error_id,
            request_id=request_id,
            retry_at=okta_retry_at(response.status_code, response.headers, self._clock.now()),
        )


def _text(said: Mapping[str, Any], *names: str) -> str:
    found = (said.get(name) for name in names)
    return next((redact_start(value, 500) for value in found if isinstance(value, str) and value), "")


def _line(text: str) -> str:
    return printable_line(redact_start(text, 1000))[:1000]
