"""Reads the bodies of httpx's responses without holding more of them than a limit."""

import httpx

from forwarder.core.bounded_body import BoundedBody
from forwarder.event_loop_steps import Cooperative


async def read_whole(response: httpx.Response, limit: int) -> bytes:
    """Return the body of a streamed response, inflated if it is gzip.

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
    """Return the body of a streamed response; of a body larger than `limit` bytes, only the start, with at least `limit`."""
    content = b""
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > limit:
            break
    return content
