"""Those that reactions tell: a receiver of webhooks and one of security event tokens, on real sockets.

Both check signatures by other code than the forwarder's: the library of Standard Webhooks, and RSA by hand.
"""

import asyncio
import base64
import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.fakes.hook_receiver import Call


@dataclass(frozen=True)
class Reply:
    """What a server answers; None as the status: nothing, ever."""

    status: int | None = 202
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Receiver:
    """A server. Use it as a context.

    Attributes:
        check: decides the answer, unless `replies` has one.
        replies: answers of the next calls, in turn.
        calls: what came.
    """

    check: Callable[[Call], Awaitable[Reply]]
    replies: deque[Reply] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    url: str = ""

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24, ssl=self.tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{port}/events"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.sleep(0)  # a connection that was just accepted gets its task
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            pairs = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            call = Call(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))
            self.calls.append(call)
            reply = self.replies.popleft() if self.replies else await self.check(call)
            if reply.status is None:
                await reader.read()
                return
            lines = [
                f"{name}: {value}" for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items()
            ]
            told = "\r\n".join([f"HTTP/1.1 {reply.status} -", *lines, "Connection: close", "", ""])
            writer.write(told.encode() + reply.body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)


def webhook_receiver(secret: str | bytes, **options: Any) -> Receiver:
    """Make a receiver of webhooks that has this secret: 204 for a good signature, else 401."""

    async def check(call: Call) -> Reply:
        try:
            Webhook(secret).verify(call.body, call.headers)
        except WebhookVerificationError as error:
            return Reply(401, body=json.dumps({"message": str(error)}).encode())
        return Reply(204)

    return Receiver(check, **options)


def risk_receiver(issuer: str, audience: str, keys: Callable[[], Awaitable[bytes]], **options: Any) -> Receiver:
    """Make a receiver of tokens by RFC 8935: 202, or 400 with `err`. `keys` fetches the issuer's JWKS."""

    async def check(call: Call) -> Reply:
        if call.headers.get("content-type") != "application/secevent+jwt":
            return _error("invalid_request", "wrong content type")
        try:
            header, claims = verified(call.body, await keys())
        except KeyError:
            return _error("invalid_key", "unknown kid")
        except (ValueError, InvalidSignature):
            return _error("authentication_failed", "wrong signature")
        if header.get("typ") != "secevent+jwt" or not claims.keys() >= {"iss", "aud", "jti", "iat", "events"}:
            return _error("invalid_request", "a claim is missing")
        if claims["iss"] != issuer:
            return _error("invalid_issuer", "unknown issuer")
        return Reply() if claims["aud"] == audience else _error("invalid_audience", "wrong audience")

    return Receiver(check, **options)


async def fetched(url: str) -> bytes:
    """Return what is at `url`, as a receiver fetches a JWKS."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
    assert answer.headers["content-type"] == "application/json"
    return answer.content


def verified(token: bytes, jwks: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token, whose signature is right.

    Raises:
        KeyError: its key is not in the JWKS.
        ValueError, InvalidSignature: it is not right.
    """
    content, _, signature = token.rpartition(b".")
    header, claims = (json.loads(_decoded(part)) for part in content.split(b"."))
    if header.get("alg") != "RS256":
        raise ValueError("only RS256")
    jwk = {key["kid"]: key for key in json.loads(jwks)["keys"]}[header["kid"]]
    e, n = (int.from_bytes(_decoded(jwk[name].encode())) for name in ("e", "n"))
    RSAPublicNumbers(e, n).public_key().verify(_decoded(signature), content, PKCS1v15(), hashes.SHA256())
    return header, claims


def _decoded(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def _error(err: str, description: str) -> Reply:
    return Reply(
        400, {"Content-Type": "application/json"}, json.dumps({"err": err, "description": description}).encode()
    )
