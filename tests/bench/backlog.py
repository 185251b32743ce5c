"""A day without sinks: events pile up, all are acknowledged, then all drain, while Okta goes on posting."""

import contextlib
import subprocess
import time
from pathlib import Path

from forwarder.store.sqlite import schema
from tests.bench.answers import RATE, figure, said
from tests.bench.disk import DiskWatch
from tests.bench.drain import Target, all_there, look, watch
from tests.bench.figures import Figure
from tests.bench.load import Result
from tests.bench.parts import begin, finish, forwarder, load, resident, running, wait_until
from tests.stack.collector import Collector
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.forwarder import ForwarderProcess

_LOOK = 0.2  # seconds
_SETTLED = 8 * 1024 * 1024  # bytes of log, under which the store has tidied up


def backlog(work: Path, server: Elasticsearch, events: int, seconds: float) -> list[Figure]:
    """Pile up `events`, start `server`, drain into it. It goes on running.

    Raises:
        RuntimeError: an event was not acknowledged, or is missing in Elasticsearch.
    """
    target = Target(server)
    ours = forwarder(work / "backlog", {"siem": target.sink()})
    with running(ours):
        idle = resident(ours.pid)
        piled = load(ours.port, count=events)
        if piled.accepted != events:
            raise RuntimeError(f"of {events} POSTs with every sink down: {said(piled)}")
        before = resident(ours.pid)
        server.start()
        target.prepare()
        started = time.perf_counter()
        with DiskWatch(work) as disk:
            result, most = _drain(ours, "siem", begin(ours.port, rate=RATE, seconds=seconds))
        took = time.perf_counter() - started
        stored = look(ours.store).stored
        wait_until(lambda: _log(ours) < _SETTLED, "the store tidies up", 30)
        size = _size(ours)
    all_there(target, stored)
    acknowledged = f"{events:,} POSTs with every sink down, all 200 ({piled.rate:,.0f}/s, p99.9 {piled.p999:.0f} ms)"
    drained = f"{acknowledged}; {stored:,} drained in {took:.0f} s, all in Elasticsearch; {before:.0f} MB before that"
    return [
        Figure("resident memory, idle", idle, "MB", "one sink of the kind elasticsearch", most=120),
        Figure(f"resident memory, at most, while {events:,} events drain", most, "MB", drained, most=200),
        size,
        figure("while a backlog drains to Elasticsearch", result, disk),
    ]


def collector_backlog(work: Path, collector: Collector, events: int, seconds: float) -> list[Figure]:
    """The answers while events drain to a Collector by OTLP."""
    sink = {"kind": "otlp", "endpoint": collector.http_endpoint}
    ours = forwarder(work / "otlp", {"traces": sink})
    with running(ours):
        load(ours.port, count=events)
        with running(collector):
            posting = begin(ours.port, rate=RATE, seconds=seconds)
            with DiskWatch(work) as disk:
                # The rate of the backlog, not that of the POSTs after it: until a second's POSTs are left.
                rate = watch(ours, "traces", left=RATE)
                result, _ = _drain(ours, "traces", posting)
        stored = look(ours.store).stored
    words = f"of {stored:,} events, {stored - events:,} came meanwhile"
    return [
        figure("while a backlog drains by OTLP", result, disk),
        Figure("records/s drained into a Collector by OTLP/HTTP", rate, "/s", words),
    ]


def _drain(ours: ForwarderProcess, sink: str, posting: "subprocess.Popen[bytes]") -> tuple[Result, float]:
    """Wait until all is delivered and `posting` is over: what came of it, and the most memory that was seen."""
    most = 0.0
    while posting.poll() is None or look(ours.store).sinks[sink].waiting:
        most = max(most, resident(ours.pid))
        time.sleep(_LOOK)
    return finish(posting), most


def _log(ours: ForwarderProcess) -> int:
    return ours.store.with_name(ours.store.name + "-wal").stat().st_size


def _size(ours: ForwarderProcess) -> Figure:
    """What the store takes on disk for what it keeps."""
    with contextlib.closing(schema.connect_reader(ours.store)) as db:
        events, raw = db.execute("SELECT COUNT(*), SUM(LENGTH(body)) FROM events").fetchone()
    disk = look(ours.store).bytes
    words = f"{disk / events:,.0f} bytes an event of {raw / events:,.0f}, the store's log included"
    return Figure("size of the store per event, to its raw bytes, once drained", disk / raw, "", words, most=1.4)
