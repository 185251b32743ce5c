"""A body within its bound."""

import gzip
import random
import zlib
from collections.abc import MutableMapping
from typing import Any

import pytest

from forwarder.core.errors import BadRequestError
from forwarder.receive.body import HangUpError, Receive, decode_body, read_body


def received(*pieces: bytes | None) -> Receive:
    """An ASGI `receive` that gives these pieces; None is the client's end."""
    messages = [
        {"type": "http.disconnect"}
        if piece is None
        else {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}
        for number, piece in enumerate(pieces)
    ]

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    return receive


async def status(body: bytes, encoding: bytes = b"gzip", limit: int = 1_000_000) -> int:
    with pytest.raises(BadRequestError) as caught:
        await decode_body(body, encoding, limit)
    return caught.value.status


async def test_pieces_are_joined() -> None:
    assert await read_body(received(b"ab", b"", b"c"), 3) == b"abc"
    assert await read_body(received(b"abc"), 3) == b"abc"


@pytest.mark.parametrize("pieces", [(b"abcd",), (b"ab", b"cd"), (b"abcd", b"never read")])
async def test_a_byte_too_many_is_413(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(BadRequestError) as caught:
        await read_body(received(*pieces), 3)
    assert caught.value.status == 413


async def test_a_client_that_goes_leaves_nothing() -> None:
    with pytest.raises(HangUpError):
        await read_body(received(b"ab", None), 3)
    with pytest.raises(HangUpError):
        await read_body(received(None), 3)


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 3_000_000])
async def test_gzip_of_any_size_is_inflated(size: int) -> None:
    for plain in (random.Random(1).randbytes(size), b"a" * size):
        assert await decode_body(gzip.compress(plain, mtime=0), b"gzip", size) == plain


async def test_several_gzip_streams_in_a_row_are_one_body() -> None:
    assert await decode_body(gzip.compress(b"ab", mtime=0) + gzip.compress(b"c"), b" X-GZip ", 3) == b"abc"


async def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = gzip.compress(b"\0" * 100_000_000, mtime=0)
    assert await status(bomb, limit=1_000_000) == 413
    assert await status(gzip.compress(b"abcd", mtime=0), limit=3) == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"plain",
        gzip.compress(b"abc", mtime=0)[:-1],
        gzip.compress(b"abc", mtime=0) + b"x",
        zlib.compress(b"abc"),
        b"\x1f\x8b" * 20,
    ],
)
async def test_what_is_no_gzip_is_400(body: bytes) -> None:
    assert await status(body) == 400


@pytest.mark.parametrize("encoding", [b"br", b"deflate", b"gzip, gzip", b"\xff", b"zstd"])
async def test_other_encodings_are_415(encoding: bytes) -> None:
    assert await status(gzip.compress(b"", mtime=0), encoding) == 415


async def test_identity_is_the_body_itself() -> None:
    assert await decode_body(b"abc", b"identity", 3) == b"abc"
