"""Reads the bodies of httpx's responses up to a limit, so that a large body cannot fill the memory."""

import httpx

from forwarder.core.bounded_body import BoundedBody
from forwarder.event_loop_steps import Cooperative


async def read_whole(response: httpx.Response, limit: int) -> bytes:
    """Return the body of a streamed response. A gzip body is inflated.

    Raises:
        BodyTooLargeError: the body is larger than `limit` bytes.
        BodyEncodingError: the body cannot be inflated.
    """
    body = BoundedBody(response.headers.get("content-encoding", ""), limit)
    cooperative = Cooperative()
    async for piece in response.aiter_raw():
        body.feed(piece)
        await cooperative.yield_if_due()  # one read from the network may have thousands of tiny chunks
    return body.finish()


async def read_start(response: httpx.Response, limit: int) -> bytes:
    """Return the body of a streamed response, or only its start if it is larger than `limit` bytes.

    The start has at least `limit` bytes. The body is not inflated: `http_client` asks for a body without compression.
    """
    content = b""
    async for piece in response.aiter_raw():
        content += piece
        if len(content) > limit:
            break
    return content
