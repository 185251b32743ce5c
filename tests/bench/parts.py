"""What is measured, as processes; on which core each runs; what each has used."""

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tests.bench import bodies
from tests.bench.load import Result
from tests.stack.collector import Collector
from tests.stack.forwarder import ForwarderProcess
from tests.stack.process import ROOT, ServerProcess, answers, children, free_port

HERE = Path(__file__).parent
CORES = tuple(sorted(os.sched_getaffinity(0)))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
_TICK = os.sysconf("SC_CLK_TCK")


class Bare(ServerProcess):
    """The uvicorn app that only reads the body."""

    def __init__(self, directory: Path) -> None:
        super().__init__("the bare app", directory / "bare.log")
        self.port = free_port()

    def command(self) -> list[str]:
        """As `ServerProcess`."""
        return [sys.executable, "-m", "tests.bench.bare", str(self.port)]

    def environment(self) -> dict[str, str]:
        """As `ServerProcess`."""
        return {"PYTHONPATH": str(ROOT)}

    def ready(self) -> bool:
        """As `ServerProcess`."""
        return answers(self.port, "/")


def queueing_collector(directory: Path) -> Collector:
    """A Collector that puts what it takes into a queue on disk, and fsyncs it before it answers."""
    queue = directory / "queue"
    variables = {"QUEUE": str(queue), "REFUSED_PORT": str(free_port())}
    return Collector(directory, config=HERE / "collector.yaml", variables=variables)


def forwarder(directory: Path, sinks: Mapping[str, Mapping[str, Any]], **sections: Any) -> ForwarderProcess:
    """A forwarder that tries a sink that is down again within a second."""
    quick = {"backoff_cap": "1s"}
    tree = {name: {**sink, "delivery": {**quick, **sink.get("delivery", {})}} for name, sink in sinks.items()}
    return ForwarderProcess(directory, tree, sections)


def sinks_that_are_down() -> dict[str, dict[str, Any]]:
    """One of each kind that goes over the network; nothing listens where they send to."""
    return {
        "siem": {"kind": "elasticsearch", "hosts": [f"http://127.0.0.1:{free_port()}"]},
        "traces": {"kind": "otlp", "endpoint": f"http://127.0.0.1:{free_port()}"},
    }


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Whatever is started inside runs on this core alone; on any where None."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(server: ServerProcess, core: int | None = None) -> Iterator[None]:
    """`server`, started and at last stopped."""
    with on_core(core):
        server.start()
    try:
        yield
    finally:
        server.stop()


def cpu_seconds(pid: int) -> float:
    """What the process and its children have used of all cores so far."""
    ticks = 0
    for process in family(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(
            map(int, fields[11 : 15 if process == pid else 13])
        )  # of the parent, with children that have ended
    return ticks / _TICK


def resident(pid: int) -> float:
    """Megabytes that the process and its children hold now."""
    return sum(
        int(line.split()[1]) * 1024 / 1e6
        for process in family(pid)
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )


def family(pid: int) -> list[int]:
    """The process and its children."""
    return [pid, *children(pid)]


def load(port: int, **options: Any) -> Result:
    """Run the load generator with its options by name; what came of it."""
    return finish(begin(port, **options))


def begin(port: int, **options: Any) -> "subprocess.Popen[bytes]":
    """Start the load generator; `finish` waits for it."""
    words = [sys.executable, "-m", "tests.bench.load", "--port", str(port)]
    for name, value in options.items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT)


def finish(process: "subprocess.Popen[bytes]") -> Result:
    """Wait for a load that was begun.

    Raises:
        RuntimeError: it failed.
    """
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError("the load generator failed")
    return msgspec.json.decode(out, type=Result, strict=False)


WRK = shutil.which("wrk")
GENERATOR = "wrk" if WRK else "the project's own generator (wrk is not there)"


def flood(kind: str, port: int, seconds: float, directory: Path, connections: int) -> Result:
    """As many POSTs as `connections` bring in a time, from one core: by wrk where it is there, it costs less."""
    if WRK is None:
        return load(port, kind=kind, seconds=seconds, connections=connections, core=LOAD_CORE)
    halves = directory / f"{kind}.lua"
    if not halves.exists():
        requests = {"hook": bodies.hook_requests, "otlp": bodies.otlp_requests}[kind](port)
        text = ",\n".join(f"{{{_lua(head)}, {_lua(tail)}}}" for head, tail in requests)
        halves.write_text(f"return {{{text}}}")
    low, middle, *rest = next(bodies.uuids()).decode().split("-")
    words = [
        WRK,
        "-t1",
        f"-c{connections}",
        f"-d{math.ceil(seconds)}s",
        "-s",
        str(HERE / "load.lua"),
        f"http://127.0.0.1:{port}",
    ]
    uuid = ["-".join(rest), str(int(low, 16)), str(int(middle, 16))]
    with on_core(LOAD_CORE):
        done = subprocess.run([*words, "--", str(halves), *uuid], capture_output=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    codes = {200: said["requests"] - said["refused"], 400: said["refused"], 0: said["broken"]}
    return Result(
        said["seconds"],
        {code: count for code, count in codes.items() if count},
        *(said[name] for name in ("p50", "p99", "p999", "worst")),
    )


def _lua(data: bytes) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in data) + '"'


def wait_until(condition: Any, what: str, seconds: float) -> None:
    """Return when `condition()` holds.

    Raises:
        TimeoutError: not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
