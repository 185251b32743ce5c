"""The load generator: a process of its own on one core, on raw sockets, with requests that are ready to be sent.

    python -m tests.bench.load --port 8080 [--kind otlp] (--seconds 5 | --count 1000) [--rate 500] [--fresh]

Without a rate, each connection sends its next request when the last one is answered. With one, requests are sent at
their time whatever the answers do, and an answer's time runs from the moment at which its request was due, so a stall of
the server counts for every request that it holds up. Prints one line of JSON: what `Result` holds.
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import cast

import httptools
import msgspec
import uvloop

from tests.bench.bodies import Halves, hook_requests, otlp_requests, uuids

_END = 10.0
"""Seconds that the last answers may take."""


class Result(msgspec.Struct, frozen=True):
    """What came of a load.

    Attributes:
        seconds: from the first request to the last answer.
        codes: how often each status was answered; 0 stands for a connection that broke.
        p50, p99, p999, worst: milliseconds until an answer.
        cpu: seconds of the processor that the load itself took: near `seconds`, it was the load that was measured.
    """

    seconds: float
    codes: dict[int, int]
    p50: float
    p99: float
    p999: float
    worst: float
    cpu: float = 0

    @property
    def accepted(self) -> int:
        """POSTs answered 200."""
        return self.codes.get(200, 0)

    @property
    def rate(self) -> float:
        """POSTs answered 200, a second."""
        return self.accepted / self.seconds


class Load:
    """All connections and what they have seen."""

    def __init__(self, requests: list[Halves], options: argparse.Namespace) -> None:
        self.options = options
        self.codes: Counter[int] = Counter()
        self.times: list[float] = []
        self.idle: deque[Connection] = deque()
        self.due: deque[float] = deque()  # requests whose time has come while no connection was idle
        self.open = 0
        self._requests = itertools.cycle(requests)
        self._uuids: Iterator[bytes] = uuids()
        self._left: int = options.count or sys.maxsize
        self._until = float("inf")
        self._over = asyncio.Event()

    async def run(self) -> Result:
        """Send everything; what came of it."""
        if not self.options.fresh:
            await asyncio.gather(*(self.connect() for _ in range(self.options.connections)))
        started, cpu = time.perf_counter(), time.process_time()
        self._until = started + (self.options.seconds or sys.maxsize)
        if self.options.rate:
            await self._send_at_their_time(started)
        else:
            for connection in list(self.idle):
                connection.send_next(time.perf_counter())
        await asyncio.wait_for(self._over.wait(), (self.options.seconds or 3600) + _END)
        return self._result(time.perf_counter() - started, time.process_time() - cpu)

    async def connect(self) -> "Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.options.port)
        return connection

    async def _send_at_their_time(self, started: float) -> None:
        tasks = set()
        for number in itertools.count():
            due = started + number / self.options.rate
            if due >= self._until or self._left <= 0:
                break
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            if self.options.fresh:
                tasks.add(asyncio.create_task(self._on_a_new_connection(due)))
            elif self.idle:
                self.idle.popleft().send_next(due)
            else:
                self.due.append(due)
        self._until = 0
        await asyncio.gather(*tasks)
        self.see()

    async def _on_a_new_connection(self, due: float) -> None:
        try:
            connection = await self.connect()
        except OSError:
            self.codes[0] += 1
        else:
            self.idle.remove(connection)
            connection.send_next(due)

    def take(self) -> bytes | None:
        """The next request; None when there shall be no more."""
        if self._left <= 0 or (not self.options.rate and time.perf_counter() >= self._until):
            return None
        self._left -= 1
        head, tail = next(self._requests)
        return head + next(self._uuids) + tail

    def see(self) -> None:
        """End when nothing is left to be sent or answered."""
        if not self.open and not self.due and (self._left <= 0 or time.perf_counter() >= self._until):
            self._over.set()

    def _result(self, seconds: float, cpu: float) -> Result:
        times = sorted(self.times) or [0.0]

        def at(share: float) -> float:
            return times[min(len(times) - 1, int(len(times) * share))] * 1000

        return Result(seconds, dict(self.codes), at(0.5), at(0.99), at(0.999), times[-1] * 1000, cpu)


class Connection(asyncio.Protocol):
    """One connection, with at most one request in flight."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._parser = httptools.HttpResponseParser(self)
        self._since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by its class
        self._load.idle.append(self)

    def send_next(self, due: float) -> None:
        """Send a request whose time is `due`, unless there shall be no more."""
        request = self._load.take()
        if request is None:
            self._load.see()
            return
        self._since = due
        self._load.open += 1
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._answered(self._parser.get_status_code())
        load = self._load
        if load.options.fresh:
            self._transport.close()
        elif not load.options.rate:
            self.send_next(time.perf_counter())
        elif load.due:
            self.send_next(load.due.popleft())
        else:
            load.idle.append(self)
        load.see()

    def _answered(self, code: int) -> None:
        self._load.codes[code] += 1
        self._load.times.append(time.perf_counter() - self._since)
        self._load.open -= 1
        self._since = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._load.idle:
            self._load.idle.remove(self)
        if self._since:
            self._answered(0)
            self._load.see()


def main() -> None:
    """Read the options, send, print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kind", choices=("hook", "otlp"), default="hook")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--fresh", action="store_true", help="a new connection for each request")
    parser.add_argument("--core", type=int, default=-1)
    options = parser.parse_args()
    if options.core >= 0:
        os.sched_setaffinity(0, {options.core})
    requests = {"hook": hook_requests, "otlp": otlp_requests}[options.kind](options.port)

    async def run() -> Result:
        return await Load(requests, options).run()

    print(json.dumps(msgspec.to_builtins(uvloop.run(run()), str_keys=True)))


if __name__ == "__main__":
    main()
