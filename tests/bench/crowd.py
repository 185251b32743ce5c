"""Connections that hold their places: every other one sends nothing, every other one half a request.

    python -m tests.bench.crowd PORT COUNT

Each is opened again as soon as the server closes it. Prints a line when all are there, and goes on until it is stopped.
"""

import asyncio
import itertools
import sys

import uvloop

_HALVES = (
    b"",
    b"POST /okta/events HTTP/1.1\r\nHost: a\r\nAuthor",
    b"",
    b"POST /okta/events HTTP/1.1\r\nHost: a\r\nAuthorization: the-secret-of-the-tests\r\nContent-Length: 999\r\n\r\n{",
)


async def _hold(port: int, half: bytes, there: asyncio.Semaphore) -> None:
    for number in itertools.count():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(half)
            if number == 0:
                there.release()
            await reader.read()
            writer.close()
        except OSError:
            await asyncio.sleep(0.05)


async def _run(port: int, count: int) -> None:
    there = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(_hold(port, _HALVES[number % 4], there)) for number in range(count)]
    for _ in tasks:
        await there.acquire()
    print("there", flush=True)
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    uvloop.run(_run(int(sys.argv[1]), int(sys.argv[2])))
