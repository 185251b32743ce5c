"""What anyone may read on the listener that Okta posts to: JSON documents, made beforehand, so that a flood of requests costs
little. They need no secret, and hold none."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

_MAX_AGE = 300
"""Seconds that others may keep a document: a new key is published for so long before it signs."""

_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", f"public, max-age={_MAX_AGE}".encode()),
    (b"x-content-type-options", b"nosniff"),
)
_NOT_ALLOWED = ((b"allow", b"GET, HEAD"),)


class PublicAnswer(NamedTuple):
    """An answer to a request for a document."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    async def send(self, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        """Send it, as an ASGI app."""
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers]})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def public_answer(method: str, document: bytes) -> PublicAnswer:
    """Return the answer to a request for `document`."""
    if method not in ("GET", "HEAD"):
        return PublicAnswer(405, (*_NOT_ALLOWED, (b"content-length", b"0")), b"")
    length = (b"content-length", str(len(document)).encode())
    return PublicAnswer(200, (*_HEADERS, length), document if method == "GET" else b"")
