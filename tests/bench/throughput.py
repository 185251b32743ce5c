"""POSTs a second on one core, against a bare app and against a Collector whose queue is as durable as our store.

The three servers run side by side, and short loads go to one after the other, so that what else the machine does meets
all of them alike. A ratio is that of one round; the figure is the median of the rounds.
"""

import contextlib
import time
from pathlib import Path

from tests.bench import bodies
from tests.bench.drain import look
from tests.bench.figures import Figure, middle, spread
from tests.bench.load import Result
from tests.bench.parts import (
    GENERATOR,
    SERVER_CORE,
    Bare,
    cpu_seconds,
    flood,
    forwarder,
    queueing_collector,
    running,
    sinks_that_are_down,
)
from tests.stack import collector
from tests.stack.process import ServerProcess

_PAUSE = 0.7  # seconds in which a server may tidy up before it is another one's turn


class Lane:
    """One server under load, round after round."""

    def __init__(self, server: ServerProcess, port: int, kind: str, directory: Path) -> None:
        self.server = server
        self.port = port
        self.kind = kind
        self.directory = directory / kind
        self.directory.mkdir(exist_ok=True)
        self.results: list[Result] = []
        self.cpu: list[float] = []  # seconds for 100,000

    def round(self, seconds: float) -> None:
        """One load."""
        before = cpu_seconds(self.server.pid)
        directory = self.directory / str(self.port)
        directory.mkdir(exist_ok=True)
        result = flood(self.kind, self.port, seconds, directory)
        time.sleep(_PAUSE)
        if result.accepted < sum(result.codes.values()):
            raise RuntimeError(f"{self.server.name} answered {result.codes}")
        self.results.append(result)
        self.cpu.append((cpu_seconds(self.server.pid) - before) / result.accepted * 1e5)

    @property
    def rates(self) -> list[float]:
        """POSTs a second, of each round."""
        return [result.rate for result in self.results]

    def words(self, name: str) -> str:
        """Its raw figures."""
        return f"{name} {spread(self.rates)}/s, CPU {middle(self.cpu):.1f} s per 100,000"


def throughput(work: Path, rounds: int, seconds: float) -> list[Figure]:
    """Accepted POSTs a second of the door as ratios, and what a POST costs."""
    bare, ours = Bare(work), forwarder(work / "door", {"siem": sinks_that_are_down()["siem"]})
    peer = queueing_collector(work / "peer")
    lanes = [Lane(bare, bare.port, "hook", work), Lane(ours, ours.port, "hook", work)]
    missing = collector.missing()
    if missing is None:
        lanes.append(Lane(peer, peer.http_port, "otlp", work))
    with contextlib.ExitStack() as stack:
        for lane in lanes:
            stack.enter_context(running(lane.server, SERVER_CORE))
            flood(lane.kind, lane.port, 1, lane.directory)  # what happens once shall not be measured
        for number in range(rounds):
            for lane in lanes if number % 2 else reversed(lanes):
                lane.round(seconds)
        # A known event is answered without being written, so the load must never send one twice.
        if duplicates := look(ours.store).duplicates:
            raise RuntimeError(f"the load sent {duplicates} events twice")
    return _figures(lanes, missing)


def _figures(lanes: list[Lane], missing: str | None) -> list[Figure]:
    bare, ours, *peers = lanes
    load = f"{bodies.body_bytes():,.0f} bytes a POST, 32 connections, by {GENERATOR}"
    to_bare = [a / b for a, b in zip(ours.rates, bare.rates, strict=True)]
    raw = f"{ours.words('forwarder')}; {bare.words('bare app')}; {load}"
    found = [
        Figure("accepted POST/s on one core, to a bare uvicorn app", middle(to_bare), "", raw, least=0.2)
    ]
    name = "accepted POST/s on one core, to a Collector with an fsynced queue"
    if missing is None:
        to_peer = [a / b for a, b in zip(ours.rates, peers[0].rates, strict=True)]
        raw = f"{ours.words('forwarder')}; {peers[0].words('Collector')}"
        found.append(Figure(name, middle(to_peer), "", raw, least=5))
    else:
        found.append(Figure(name, None, raw=missing))
    ratio = middle(bare.cpu) / middle(ours.cpu)
    found.append(
        Figure(
            "CPU per 100,000 events accepted",
            middle(ours.cpu),
            "s",
            f"{ratio:.2f} of the bare app's speed by CPU",
        )
    )
    return found
