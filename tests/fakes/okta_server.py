"""An org's API as far as a client can go wrong with it: credentials checked as Okta does (SSWS, private_key_jwt, DPoP with
its nonce), rate limits told and enforced, and whatever answer a test puts before the next call."""

import asyncio
import base64
import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import parse_qs

import jwt

from forwarder.core.ports import Clock
from tests.fakes.clock import ManualClock

TOKEN = "00planted-api-token-7f3a"
CLIENT_ID = "0oaplantedservice5d7"
ACCESS_TOKEN = "eyJhbGciOiJSUzI1NiJ9.cGxhbnRlZC1hY2Nlc3MtdG9rZW4.c2lnbmF0dXJl"
NONCE = "planted-nonce-51c2"
TOKEN_PATH = "/oauth2/v1/token"
WINDOW = 60.0


@dataclass(frozen=True)
class Reply:
    """What to answer.

    Attributes:
        headers: beside those that every answer has.
        silent: take the request and never answer.
        hang_up: take the request and close the connection.
    """

    status: int = 200
    body: bytes = b"[]"
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    silent: bool = False
    hang_up: bool = False


def refusal(status: int, code: str, summary: str, *headers: tuple[str, str]) -> Reply:
    """A refusal in Okta's shape."""
    body = {"errorCode": code, "errorSummary": summary, "errorLink": code, "errorId": "oae1", "errorCauses": []}
    return Reply(status, json.dumps(body).encode(), headers)


def oauth_refusal(status: int, error: str, description: str, *headers: tuple[str, str]) -> Reply:
    """A refusal in the shape of a token endpoint."""
    return Reply(status, json.dumps({"error": error, "error_description": description}).encode(), tuple(headers))


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        target: path and query, as they came.
        headers: names in lower case.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


class _RefusedError(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


@dataclass
class OktaServer:
    """Use it as a context.

    Attributes:
        public_key: PEM of the service app's; None for an org without one.
        scopes: granted to it.
        dpop: the app demands it.
        expires_in: seconds that an access token lasts.
        rate: calls a minute for each family of endpoints; None for no limit.
        clock: by which the minutes go.
        answers: to the next calls of the API that are let in, in turn; then `otherwise`.
        token_answers: to the next calls of the token endpoint, in place of what it would say.
        revoked: access tokens given before count no more.
        calls: what came.
    """

    public_key: str | None = None
    scopes: frozenset[str] = frozenset({"okta.eventHooks.read", "okta.eventHooks.manage", "okta.logs.read"})
    dpop: bool = True
    expires_in: int = 3600
    rate: int | None = None
    clock: Clock = field(default_factory=ManualClock)
    token: str = TOKEN
    answers: deque[Reply] = field(default_factory=deque)
    otherwise: Reply = field(default_factory=Reply)
    token_answers: deque[Reply] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)
    url: str = ""
    tokens: int = 0
    _live: set[tuple[str, str]] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)
    _windows: dict[str, tuple[float, int]] = field(default_factory=dict)
    _in_window: Counter[tuple[str, float]] = field(default_factory=Counter)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 24)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def api_calls(self) -> list[Call]:
        """Without those of the token endpoint."""
        return [call for call in self.calls if call.path != TOKEN_PATH]

    @property
    def token_calls(self) -> list[Call]:
        return [call for call in self.calls if call.path == TOKEN_PATH]

    @property
    def busiest(self) -> int:
        """Most calls that one family of endpoints got in one window."""
        return max(self._in_window.values(), default=0)

    def revoke(self) -> None:
        """Let no access token count that was given before."""
        self._live.clear()

    async def called(self, times: int) -> None:
        """Return when at least so many calls have come."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.calls) >= times)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._serve(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        # As Okta: a POST or PUT says how long its body is, even with none.
        assert method in {"GET", "DELETE"} or "content-length" in headers
        call = Call(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))
        self.calls.append(call)
        async with self._news:
            self._news.notify_all()
        limits = self._count(call)
        reply = self._reply(call, limits)
        if reply.silent:
            await reader.read()
        if reply.silent or reply.hang_up:
            return False
        told = {
            "content-type": reply.content_type,
            "content-length": str(len(reply.body)),
            "date": formatdate(self.clock.now() / 1e6, usegmt=True),
        }
        own = {name for name, _ in reply.headers}
        lines = [(n, v) for n, v in (told | limits).items() if n not in own] + list(reply.headers)
        head_out = f"HTTP/1.1 {reply.status} -\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines) + "\r\n"
        writer.write(head_out.encode() + (b"" if reply.status == 204 else reply.body))
        await writer.drain()
        return True

    def _reply(self, call: Call, limits: Mapping[str, str]) -> Reply:
        try:
            if call.path == TOKEN_PATH:
                return self.token_answers.popleft() if self.token_answers else self._grant(call)
            self._admit(call)
        except _RefusedError as error:
            return error.reply
        if int(limits.get("x-rate-limit-remaining", 0)) < 0:
            return refusal(429, "E0000047", "API call exceeded rate limit", ("x-rate-limit-remaining", "0"))
        return self.answers.popleft() if self.answers else self.otherwise

    def _count(self, call: Call) -> dict[str, str]:
        """The rate limit's headers; `remaining` is below zero for a call that is too many."""
        now, family = self.clock.now() / 1e6, "/".join(call.path.split("/")[:4])
        ends, used = self._windows.get(family, (0.0, 0))
        if now >= ends:
            ends, used = now + WINDOW, 0
        self._windows[family] = ends, used + 1
        self._in_window[family, ends] += 1
        if self.rate is None:
            return {}
        return {
            "x-rate-limit-limit": str(self.rate),
            "x-rate-limit-remaining": str(self.rate - used - 1),
            "x-rate-limit-reset": str(int(ends)),
        }

    def _grant(self, call: Call) -> Reply:
        """The token endpoint: client credentials, by a signed assertion, with a proof of possession."""
        form = call.form
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        claims = self._assertion(form["client_assertion"])
        if claims["iss"] != CLIENT_ID or claims["sub"] != CLIENT_ID:
            raise _RefusedError(oauth_refusal(401, "invalid_client", "The client is unknown."))
        thumbprint = ""
        if "dpop" in call.headers:
            thumbprint, proof = self._proof(call)
            if proof.get("nonce") != NONCE:
                challenge = "Authorization server requires nonce in DPoP proof."
                raise _RefusedError(oauth_refusal(400, "use_dpop_nonce", challenge, ("dpop-nonce", NONCE)))
        elif self.dpop:
            missing = "The DPoP proof JWT header is missing."
            raise _RefusedError(oauth_refusal(400, "invalid_dpop_proof", missing))
        if not set(form["scope"].split()) <= self.scopes:
            unknown = "One or more scopes are not configured for the client."
            raise _RefusedError(oauth_refusal(400, "invalid_scope", unknown))
        self.tokens += 1
        token = f"{ACCESS_TOKEN}{self.tokens}"
        self._live.add((token, thumbprint))
        granted = {
            "access_token": token,
            "token_type": "DPoP" if thumbprint else "Bearer",
            "expires_in": self.expires_in,
            "scope": form["scope"],
        }
        return Reply(200, json.dumps(granted).encode())

    def _assertion(self, text: str) -> dict[str, Any]:
        """The claims of a client assertion, checked: Okta takes each but once."""
        assert self.public_key is not None
        try:
            claims: dict[str, Any] = jwt.decode(
                text,
                self.public_key,
                algorithms=["RS256"],
                audience=self.url + TOKEN_PATH,
                options={"require": ["exp", "iss", "sub", "jti"]},
            )
        except jwt.InvalidTokenError as error:
            wrong = f"The client_assertion {text} is invalid: {error}"  # a server that tells us our own words
            raise _RefusedError(oauth_refusal(401, "invalid_client", wrong)) from error
        if claims["exp"] - time.time() > 3600 or claims["jti"] in self._seen:
            used = "The client_assertion token has already been used."
            raise _RefusedError(oauth_refusal(401, "invalid_client", used))
        self._seen.add(claims["jti"])
        return claims

    def _proof(self, call: Call, access_token: str | None = None) -> tuple[str, dict[str, Any]]:
        """Thumbprint and claims of a DPoP proof, checked as RFC 9449 wants."""
        text = call.headers["dpop"]
        try:
            header = jwt.get_unverified_header(text)
            key = header["jwk"]
            assert set(key) == {"kty", "n", "e"}, "no private part"
            claims: dict[str, Any] = jwt.decode(
                text, jwt.PyJWK(key, "RS256").key, algorithms=["RS256"], options={"require": ["jti", "iat"]}
            )
        except (jwt.InvalidTokenError, KeyError) as error:
            raise _RefusedError(oauth_refusal(400, "invalid_dpop_proof", str(error))) from error
        wanted = {"htm": call.method, "htu": self.url + call.path}
        if access_token is not None:
            digest = hashlib.sha256(access_token.encode()).digest()
            wanted["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        fine = header["typ"] == "dpop+jwt" and all(claims.get(name) == wanted[name] for name in wanted)
        if not fine or claims["jti"] in self._seen or abs(claims["iat"] - time.time()) > 300:
            raise _RefusedError(oauth_refusal(400, "invalid_dpop_proof", "The DPoP proof is wrong."))
        self._seen.add(claims["jti"])
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest(), claims

    def _admit(self, call: Call) -> None:
        """Check the credentials of an API call."""
        scheme, _, shown = call.headers.get("authorization", "").partition(" ")
        if scheme == "SSWS" and shown == self.token:
            return
        if scheme == "DPoP" and (shown, self._proof(call, shown)[0]) in self._live:
            return
        if scheme == "Bearer" and (shown, "") in self._live:
            return
        raise _RefusedError(refusal(401, "E0000011", "Invalid token provided"))
