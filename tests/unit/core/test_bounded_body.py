import gzip
import time
import tracemalloc
import zlib

import pytest

from forwarder.core.bounded_body import BodyEncodingError, BodyTooLargeError, BoundedBody
from tests.fakes.bomb import bomb

TEXT = b"one event, " * 1000


def read(encoding: str, *pieces: bytes, limit: int = 100_000) -> bytes:
    body = BoundedBody(encoding, limit)
    for piece in pieces:
        body.feed(piece)
    return body.finish()


def bytewise(body: bytes) -> list[bytes]:
    return [body[n : n + 1] for n in range(len(body))]


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_plain_body_is_kept(encoding: str) -> None:
    assert read(encoding, TEXT[:10], b"", TEXT[10:]) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
def test_gzip_is_inflated_however_it_is_cut(encoding: str) -> None:
    packed = gzip.compress(TEXT)
    assert read(encoding, packed) == TEXT
    assert read(encoding, *bytewise(packed)) == TEXT


def test_every_member_of_gzip_is_read() -> None:
    packed = gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(b"end")
    assert read("gzip", packed) == TEXT + b"end"
    assert read("gzip", *bytewise(packed)) == TEXT + b"end"


def test_zeros_after_gzip_are_padding() -> None:
    packed = gzip.compress(TEXT) + bytes(1000)
    assert read("gzip", packed) == read("gzip", *bytewise(packed)) == TEXT


@pytest.mark.long
def test_so_many_members_as_programs_write_are_read() -> None:
    blocks = [TEXT * 2] * 1500
    assert read("gzip", b"".join(map(gzip.compress, blocks)), limit=100_000_000) == b"".join(blocks)


@pytest.mark.parametrize("size", [100, 100_000, 10_000_000])
def test_many_empty_members_are_refused_before_they_cost_time(size: int) -> None:
    empty = gzip.compress(b"") * 100_000
    body = BoundedBody("gzip", 10_000_000)
    started = time.process_time()

    def feed() -> None:
        for start in range(0, len(empty), size):
            body.feed(empty[start : start + size])

    with pytest.raises(BodyEncodingError, match="too many gzip members"):
        feed()
    assert time.process_time() - started < 1


def test_an_empty_body_is_empty_whatever_its_encoding() -> None:
    assert read("gzip") == read("gzip", b"") == read("") == b""


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,gzip", "br", "deflate", "zstd", "gzip;q=1"])
def test_an_encoding_that_was_not_requested_is_refused(encoding: str) -> None:
    with pytest.raises(BodyEncodingError, match="only gzip is supported"):
        BoundedBody(encoding, 10)


# A gzip header holds the time: without names of their own, two test processes would know different tests.
@pytest.mark.parametrize(
    "packed",
    [
        b"no gzip",
        gzip.compress(TEXT)[:-1],
        gzip.compress(TEXT)[:40],
        zlib.compress(TEXT),
        gzip.compress(b"x") + b"rest",
    ],
    ids=["text", "without its last byte", "half", "zlib", "with a rest"],
)
def test_what_is_not_whole_gzip_is_refused(packed: bytes) -> None:
    with pytest.raises(BodyEncodingError, match="gzip"):
        read("gzip", packed)


def test_a_body_of_exactly_the_limit_is_kept_and_one_byte_more_is_refused() -> None:
    for encoding, pack in (("", bytes), ("gzip", gzip.compress)):
        assert read(encoding, pack(TEXT), limit=len(TEXT)) == TEXT
        with pytest.raises(BodyTooLargeError):
            read(encoding, pack(TEXT), limit=len(TEXT) - 1)


@pytest.mark.parametrize("size", [1_000, 1_000_000])
def test_a_bomb_never_takes_more_memory_than_the_limit(size: int) -> None:
    packed = bomb(100, size) * 20
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            read("gzip", packed, limit=size)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * size + len(packed) + 100_000
