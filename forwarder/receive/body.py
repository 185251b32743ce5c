"""The body of a request, read and inflated within a bound."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from forwarder.core.errors import BadRequestError, ForwarderError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_GZIP = 16 + zlib.MAX_WBITS  # what zlib's own manual says for "gzip, and nothing else"
_STEP = 256 * 1024  # bytes handled at once: some 1 ms


class HangUpError(ForwarderError):
    """The client has gone before its body was whole. There is nobody to answer and nothing to keep."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        BadRequestError: 413, as soon as more than `limit` bytes have come.
        HangUpError: the client has gone.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message["body"]
        _check(len(body), limit)
        return body
    pieces = bytearray()
    while message["type"] == "http.request":
        pieces += message["body"]
        _check(len(pieces), limit)
        if not message.get("more_body", False):
            return bytes(pieces)
        message = await receive()
    raise HangUpError("the client has gone in the middle of its body")


async def decode_body(body: bytes, encoding: bytes, limit: int) -> bytes:
    """`body` without its `Content-Encoding`.

    Raises:
        BadRequestError: 415 for an encoding other than gzip, 400 where it is no gzip, 413 beyond `limit`.
    """
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    if name not in (b"gzip", b"x-gzip"):
        raise BadRequestError(415, "the only Content-Encoding understood here is gzip")
    try:
        return await _inflate(body, limit)
    except zlib.error:
        raise BadRequestError(400, "Content-Encoding says gzip, and the body is none") from None


async def _inflate(body: bytes, limit: int) -> bytes:
    """Piece by piece: a bomb is stopped at `limit`, and the event loop goes on between two pieces."""
    inflated = bytearray()
    stream = zlib.decompressobj(_GZIP)
    for at in range(0, len(body), _STEP):
        piece = body[at : at + _STEP]
        while piece:
            if stream.eof:  # gzip allows several streams in a row
                stream = zlib.decompressobj(_GZIP)
            inflated += stream.decompress(piece, _STEP)
            piece = stream.unused_data if stream.eof else stream.unconsumed_tail
            _check(len(inflated), limit)
            await asyncio.sleep(0)
    # Input that is used up may still have left output behind, where that output was cut at _STEP.
    while not stream.eof and (more := stream.decompress(b"", _STEP)):
        inflated += more
        _check(len(inflated), limit)
        await asyncio.sleep(0)
    if not stream.eof:
        raise zlib.error("the stream ends too early")
    return bytes(inflated)


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise BadRequestError(413, f"the body is larger than {limit} bytes")
