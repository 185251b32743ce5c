"""Documents a second into the real Elasticsearch, against a plain loader of the same finished documents.

Both send the same documents in batches of the same size, uncompressed, to a fresh data stream each; they take turns, and
the first is another one in each round. The clock runs from the first batch that is in to the last. The loader is a loop
on one connection that has its requests ready; the forwarder has as many batches in flight as it has by default, two.
"""

import contextlib
import http.client
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from forwarder.core.event import StoredEvent
from forwarder.ecs.document import DocumentOptions, document
from forwarder.sinks.elasticsearch import bulk
from forwarder.store.ledger import Ledger
from forwarder.store.sqlite import queries, schema
from tests.bench.figures import Figure, middle, spread
from tests.bench.parts import cpu_seconds, forwarder, load, running, sinks_that_are_down
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.forwarder import ForwarderProcess

BATCH = 500
_POLL = 0.05


class Target:
    """A data stream of its own, mapped as Elastic's integration maps text."""

    def __init__(self, server: Elasticsearch) -> None:
        self.server = server
        self.namespace = f"b{uuid4().hex[:12]}"
        self.name = f"logs-okta.system-{self.namespace}"

    def prepare(self) -> "Target":
        """Make its index template."""
        text = {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": 1024}}
        mappings = {"date_detection": False, "dynamic_templates": [{"text": text}]}
        template = {"settings": {"number_of_replicas": 0}, "mappings": mappings}
        body = {"index_patterns": [self.name], "priority": 1000, "data_stream": {}, "template": template}
        self.server.call("PUT", f"/_index_template/{self.namespace}", body)
        return self

    def sink(self) -> dict[str, Any]:
        """The forwarder's settings."""
        return {
            "kind": "elasticsearch",
            "hosts": [self.server.url],
            "namespace": self.namespace,
            "compress": False,  # the loader does not either
            "delivery": {"batch_events": BATCH},  # and two of them in flight, as is the default
        }

    def count(self) -> int:
        """How many documents there are."""
        self.server.call("POST", f"/{self.name}/_refresh")
        return int(self.server.call("GET", f"/{self.name}/_count")["count"])


def drain(work: Path, server: Elasticsearch, events: int, rounds: int) -> list[Figure]:
    """Both rates, their ratio, and what a delivered event costs."""
    full = forwarder(work / "full", sinks_that_are_down())
    with running(full):
        load(full.port, count=events)
    ours: list[float] = []
    plain: list[float] = []
    cpu: list[float] = []
    for number in range(rounds):
        for forwarders_turn in (True, False) if number % 2 else (False, True):
            target = Target(server).prepare()
            if forwarders_turn:
                ours.append(_deliver(work, full.store, target, cpu))
            else:
                plain.append(_load(full.store, target))
    ratios = [a / b for a, b in zip(ours, plain, strict=True)]
    raw = f"forwarder {spread(ours)}/s, plain loader {spread(plain)}/s, {events:,} events, {rounds} rounds"
    name = "documents/s drained into Elasticsearch, to a plain _bulk loader"
    return [
        Figure(name, middle(ratios), "", raw, least=0.8),
        Figure("CPU per 100,000 events delivered to Elasticsearch", middle(cpu), "s", "the forwarder's own"),
    ]


def _deliver(work: Path, store: Path, target: Target, cpu: list[float]) -> float:
    """Documents a second of a forwarder that finds the backlog at its start."""
    directory = work / target.namespace
    directory.mkdir()
    shutil.copy(store, directory / "store.db")
    ours = forwarder(directory, {"siem": target.sink()})
    with running(ours):
        rate = watch(ours, "siem", cpu)
    all_there(target, look(ours.store).stored)
    shutil.rmtree(directory)
    return rate


def watch(ours: ForwarderProcess, sink: str, cpu: list[float] | None = None, left: float = 0) -> float:
    """Events a second until no more than `left` wait for `sink`; what 100,000 of them cost goes into `cpu`."""
    first = begun = look(ours.store).sinks[sink]
    while begun.delivered == first.delivered and begun.waiting > left:
        time.sleep(_POLL)
        begun = look(ours.store).sinks[sink]
    started, used = time.perf_counter(), cpu_seconds(ours.pid)
    while (ended := look(ours.store).sinks[sink]).waiting > left:
        time.sleep(_POLL)
    seconds = time.perf_counter() - started
    events = ended.delivered - begun.delivered
    if cpu is not None:
        cpu.append((cpu_seconds(ours.pid) - used) / events * 1e5)
    return events / seconds


def look(store: Path) -> Ledger:
    """The ledger, without counting what waits one by one: that would read the whole store, and take the disk from
    what is measured."""
    with contextlib.closing(schema.connect_reader(store)) as db:
        return queries.ledger(db, store, exact=False)


def _load(store: Path, target: Target) -> float:
    """Documents a second of a loop that has them ready and does nothing but send them."""
    bodies = [(len(batch), _finished(batch, target)) for batch in batches(store)]
    connection = http.client.HTTPConnection("127.0.0.1", target.server.port, timeout=60)
    path = f"/{target.name}/_bulk?require_data_stream=true&filter_path={bulk.FILTER}"
    with contextlib.closing(connection):
        for number, (_, body) in enumerate(bodies):
            connection.request("POST", path, body, {"Content-Type": "application/x-ndjson"})
            answer = json.loads(connection.getresponse().read())
            assert not answer["errors"], answer
            if number == 0:
                started = time.perf_counter()
        seconds = time.perf_counter() - started
    events = sum(count for count, _ in bodies)
    all_there(target, events)
    return (events - bodies[0][0]) / seconds


def batches(store: Path) -> Iterator[list[StoredEvent]]:
    """What the store holds, as the forwarder reads it."""
    with contextlib.closing(schema.connect_reader(store)) as db:
        after = 0
        while batch := queries.read(db, after, BATCH, 4 * 1024 * 1024):
            yield batch
            after = batch[-1].seq


def _finished(batch: list[StoredEvent], target: Target) -> bytes:
    options = DocumentOptions(namespace=target.namespace)
    events = [stored.event for stored in batch]
    return b"".join(bulk.lines(event.uuid, document(event, options)) for event in events)


def all_there(target: Target, events: int) -> None:
    found = target.count()
    if found != events:
        raise RuntimeError(f"Elasticsearch holds {found} documents of {events} events")
