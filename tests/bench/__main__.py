"""Print what the forwarder reaches on this machine, each figure with its bound.

    python -m tests.bench [--full] [--json FILE] [--directory DIR] [--only NAME …]

Takes about five minutes. `--full` piles up 400,000 events in place of 60,000, and takes about ten. What needs a real server
that is not there is left out, and said so. Ends with 1 where a bound does not hold.
"""

import argparse
import functools
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import answers, backlog, drain, figures, reactions, throughput
from tests.bench.figures import Figure
from tests.bench.parts import CORES
from tests.stack import collector, elasticsearch
from tests.stack.collector import Collector
from tests.stack.elasticsearch import Elasticsearch

SECTIONS = ("throughput", "answers", "reactions", "otlp", "elasticsearch")


def sections(work: Path, options: argparse.Namespace) -> dict[str, Callable[[], list[Figure]]]:
    """What is measured, by name."""
    seconds = 20.0 if options.full else 10.0
    return {
        "throughput": functools.partial(throughput.throughput, work, 7 if options.full else 5, 2),
        "answers": functools.partial(answers.answers, work, seconds),
        "reactions": functools.partial(reactions.reactions, work, 3 * seconds),
        "otlp": functools.partial(_otlp, work, seconds),
        "elasticsearch": functools.partial(_elasticsearch, work, 400_000 if options.full else 60_000, seconds),
    }


def _otlp(work: Path, seconds: float) -> list[Figure]:
    if (missing := collector.missing()) is not None:
        return [Figure("what drains by OTLP", None, raw=missing)]
    return backlog.collector_backlog(work, Collector(work / "collector"), 40_000, seconds)


def _elasticsearch(work: Path, events: int, seconds: float) -> list[Figure]:
    if (missing := elasticsearch.missing()) is not None:
        return [Figure("what drains into Elasticsearch, memory and disk", None, raw=missing)]
    server = Elasticsearch(work / "elasticsearch")
    try:
        found = backlog.backlog(work, server, events, seconds)
        return found + drain.drain(work, server, 15_000, 4)
    finally:
        server.stop()


def main() -> int:
    """Measure, print, write.

    Returns:
        1 where a bound does not hold.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--full", action="store_true", help="a backlog of 400,000 events, and longer runs")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument("--directory", type=Path, help="where the stores lie while it runs; its disk is measured")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    options = parser.parse_args()
    if len(CORES) < 2:
        parser.error("it takes two cores: one for the server, one for the load")
    machine, started = figures.machine(), time.perf_counter()
    found: list[Figure] = []
    work = Path(tempfile.mkdtemp(prefix="bench-", dir=options.directory))
    work.chmod(0o755)  # Elasticsearch runs as another user
    try:
        for name, measure in sections(work, options).items():
            if name in options.only:
                print(f"{name} …", file=sys.stderr, flush=True)
                found += measure()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    took = time.perf_counter() - started
    print(f"{figures.table(found)}\n\n{machine}; {took / 60:.1f} minutes")
    if options.json:
        figures.write(options.json, found, machine=machine, minutes=round(took / 60, 1), full=options.full)
    return int(any(figure.holds is False for figure in found))


if __name__ == "__main__":
    sys.exit(main())
