"""How long an answer takes at 500 POST/s, and beside a crowd of connections that send nothing or half a request."""

import subprocess
import sys
import time
from pathlib import Path

from tests.bench.disk import DiskWatch
from tests.bench.figures import Figure
from tests.bench.load import Result
from tests.bench.parts import forwarder, load, running, sinks_that_are_down
from tests.child_processes import child
from tests.stack.process import ROOT

RATE = 500
CROWD = 1_000


def answers(work: Path, seconds: float) -> list[Figure]:
    """Answer times while nothing waits, while every sink is down, and beside a crowd."""
    idle = forwarder(work / "idle", {"archive": {"kind": "file", "path": str(work / "events.ndjson")}})
    with running(idle):
        load(idle.port, rate=RATE, seconds=1)
        found = [measured("while a file sink keeps up", work, idle.port, seconds)]
    down = forwarder(work / "down", sinks_that_are_down())
    with running(down):
        load(down.port, rate=RATE, seconds=1)
        found.append(measured("with every sink down", work, down.port, 1.5 * seconds, most=100))
    crowded = forwarder(work / "crowded", sinks_that_are_down())
    with running(crowded):
        found.append(_crowd(work, crowded.port, seconds))
    return found


def measured(when: str, work: Path, port: int, seconds: float, most: float | None = None) -> Figure:
    """One load and its p99.9, with what the disk did meanwhile."""
    with DiskWatch(work) as disk:
        result = load(port, rate=RATE, seconds=seconds)
    return figure(when, result, disk, most)


def figure(when: str, result: Result, disk: DiskWatch, most: float | None = None) -> Figure:
    """p99.9 of a load, with the others beside it."""
    raw = (
        f"p50 {result.p50:.1f}, p99 {result.p99:.1f}, worst {result.worst:.1f} ms of {sum(result.codes.values()):,} "
        f"answers, {said(result)}; {disk.words()}"
    )
    return Figure(f"p99.9 of the answer at {RATE} POST/s, {when}", result.p999, "ms", raw, most=most)


def said(result: Result) -> str:
    """What was answered, in words."""
    if result.codes.keys() == {200}:
        return "all 200"
    return ", ".join(f"{count} x {code or 'broken'}" for code, count in sorted(result.codes.items()))


def _crowd(work: Path, port: int, seconds: float) -> Figure:
    command = [sys.executable, "-m", "tests.bench.crowd", str(port), str(CROWD)]
    with child(command, stdout=subprocess.PIPE, cwd=ROOT) as crowd:
        assert crowd.stdout is not None
        crowd.stdout.readline()  # all of them are connected
        time.sleep(0.5)
        with DiskWatch(work) as disk:
            result = load(port, rate=100, seconds=seconds, fresh=True)
    raw = (
        f"p50 {result.p50:.1f}, worst {result.worst:.1f} ms of {sum(result.codes.values()):,} answers, "
        f"{said(result)}; {disk.words()}"
    )
    name = f"p99 of a POST on a new connection beside {CROWD:,} idle and half-sent ones"
    value = result.p99 if result.codes.keys() == {200} else float("inf")
    return Figure(name, value, "ms", raw, most=100)
