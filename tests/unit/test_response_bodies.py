import asyncio
import gzip

import httpx

from forwarder.response_bodies import read_start

BOMB = gzip.compress(gzip.compress(bytes(50_000_000)))


def test_the_start_of_a_body_that_is_compressed_twice_is_not_inflated() -> None:
    response = httpx.Response(200, headers={"content-encoding": "gzip, gzip"}, stream=httpx.ByteStream(BOMB))
    assert len(asyncio.run(read_start(response, 100))) <= len(BOMB)
