"""Answers requests for public JSON documents, on the listener that Okta posts to.

A request for such a document needs no secret, and a document contains no secret. The documents are encoded before the
first request, so that a flood of requests takes little CPU.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

_MAX_AGE = 300
"""The number of seconds that a client may cache a document. So after a new signing key is published, an operator must
wait this long before the key signs: until then, a client may not know the key."""

_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", f"public, max-age={_MAX_AGE}".encode()),
    (b"x-content-type-options", b"nosniff"),
)
_NOT_ALLOWED = ((b"allow", b"GET, HEAD"),)


class PublicAnswer(NamedTuple):
    """The HTTP answer to a request for a public document."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    async def send(self, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        """Send this answer to the client. `send` is the parameter `send` of an ASGI app."""
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers]})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def public_answer(method: str, document: bytes) -> PublicAnswer:
    """Return the answer to a request for `document`: 200 if the method is GET or HEAD, else 405."""
    if method not in ("GET", "HEAD"):
        return PublicAnswer(405, (*_NOT_ALLOWED, (b"content-length", b"0")), b"")
    length = (b"content-length", str(len(document)).encode())
    return PublicAnswer(200, (*_HEADERS, length), document if method == "GET" else b"")
