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

_MANY = 128
"""Connections that post at once. A commit is shared by all that came while the last one was made, and so is its fsync."""

_FEW = 32
"""The same with few, for the bare app and the forwarder: each fsync is shared by fewer."""

_PAUSE = 0.7  # seconds in which a server may tidy up before it is another one's turn


class Lane:
    """One server under load, round after round."""

    def __init__(self, server: ServerProcess, port: int, kind: str, directory: Path, connections: int = _MANY) -> None:
        self.server = server
        self.port = port
        self.kind = kind
        self.connections = connections
        self.directory = directory / kind
        self.directory.mkdir(exist_ok=True)
        self.results: list[Result] = []
        self.cpu: list[float] = []  # seconds for 100,000

    def round(self, seconds: float) -> None:
        """One load."""
        before = cpu_seconds(self.server.pid)
        directory = self.directory / str(self.port)
        directory.mkdir(exist_ok=True)
        result = flood(self.kind, self.port, seconds, directory, self.connections)
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
    """Accepted POSTs a second of the receiver as ratios, and what a POST costs."""
    bare, ours = Bare(work), forwarder(work / "receiver", {"siem": sinks_that_are_down()["siem"]})
    peer = queueing_collector(work / "peer")
    lanes = [Lane(bare, bare.port, "hook", work), Lane(ours, ours.port, "hook", work)]
    missing = collector.missing()
    if missing is None:
        lanes.append(Lane(peer, peer.http_port, "otlp", work))
    few = [Lane(lane.server, lane.port, "hook", work, _FEW) for lane in lanes[:2]]
    with contextlib.ExitStack() as stack:
        for lane in lanes:
            stack.enter_context(running(lane.server, SERVER_CORE))
            flood(lane.kind, lane.port, 1, lane.directory, lane.connections)  # what happens once shall not be measured
        for number in range(rounds):
            turns = [*few, *lanes]
            for lane in turns if number % 2 else reversed(turns):
                lane.round(seconds)
        # A known event is answered without being written, so the load must never send one twice.
        if duplicates := look(ours.store).duplicates:
            raise RuntimeError(f"the load sent {duplicates} events twice")
    return _figures(lanes, few, missing)


def _to_bare(bare: Lane, ours: Lane, least: float | None) -> Figure:
    ratios = [a / b for a, b in zip(ours.rates, bare.rates, strict=True)]
    load = f"{bodies.body_bytes():,.0f} bytes a POST, by {GENERATOR}"
    raw = f"{ours.words('forwarder')}; {bare.words('bare app')}; {load}"
    name = f"accepted POST/s on one core, to a bare uvicorn app ({ours.connections} connections)"
    return Figure(name, middle(ratios), "", raw, least=least)


def _figures(lanes: list[Lane], few: list[Lane], missing: str | None) -> list[Figure]:
    bare, ours, *peers = lanes
    found = [_to_bare(bare, ours, 0.2), _to_bare(few[0], few[1], None)]
    name = "accepted POST/s on one core, to a Collector with an fsynced queue"
    if missing is None:
        to_peer = [a / b for a, b in zip(ours.rates, peers[0].rates, strict=True)]
        raw = f"{ours.words('forwarder')}; {peers[0].words('Collector')}"
        found.append(Figure(name, middle(to_peer), "", raw, least=5))
    else:
        found.append(Figure(name, None, raw=missing))
    ratio = middle(bare.cpu) / middle(ours.cpu)
    found.append(
        Figure("CPU per 100,000 events accepted", middle(ours.cpu), "s", f"{ratio:.2f} of the bare app's speed by CPU")
    )
    return found
