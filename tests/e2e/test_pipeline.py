"""From Okta's POST to Elasticsearch, a Collector (over HTTP and gRPC) and a file, with every one of them failing."""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import CollectorFactory, ElasticsearchFactory
from tests.e2e.okta import Sender, changed, happenings
from tests.e2e.streams import Stream
from tests.stack.collector import Collector
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.forwarder import ForwarderProcess

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

EVENTS = 8_000
OVERSIZE = 5 * 2**20
"""Characters of a message: beyond what Elasticsearch here and gRPC take, within what the receiver and OTLP/HTTP take."""


async def drained(forwarder: ForwarderProcess, seconds: float) -> dict[str, Any]:
    """The ledger, once no sink has anything waiting."""
    deadline = time.monotonic() + seconds
    while True:
        ledger = await asyncio.to_thread(forwarder.read_ledger)
        waiting = {name: sink.waiting for name, sink in ledger.sinks.items() if sink.waiting}
        if not waiting:
            return await asyncio.to_thread(forwarder.ledger)
        assert time.monotonic() < deadline, (waiting, forwarder.log_tail())
        await asyncio.sleep(0.5)


def uuids(collector: Collector) -> Counter[str]:
    """How often the Collector's file holds each event."""
    return Counter(
        attribute["value"]["stringValue"]
        for line in collector.out.read_text(encoding="utf-8").splitlines()
        for resource in json.loads(line)["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
        for attribute in record["attributes"]
        if attribute["key"] == "log.record.uid"
    )


async def test_no_event_is_lost_or_doubled_while_every_sink_is_crashed_and_restarted(
    tmp_path: Path,
    elasticsearch_server: ElasticsearchFactory,
    collector_server: CollectorFactory,
    request: pytest.FixtureRequest,
) -> None:
    server = await asyncio.to_thread(lambda: elasticsearch_server(settings={"http.max_content_length": "3mb"}))
    stream = Stream(server)
    stream.template()
    http, grpc = collector_server(), collector_server()
    forwarder = ForwarderProcess(
        tmp_path / "forwarder",
        {
            "siem": {
                "kind": "elasticsearch",
                "hosts": [server.url],
                "namespace": stream.namespace,
                "delivery": {"backoff_cap": "1s", "batch_bytes": "1MiB"},
            },
            "http": {"kind": "otlp", "endpoint": http.http_endpoint, "delivery": {"backoff_cap": "1s"}},
            "grpc": {
                "kind": "otlp",
                "endpoint": grpc.grpc_endpoint,
                "protocol": "grpc",
                "delivery": {"backoff_cap": "1s"},
            },
            "archive": {"kind": "file", "path": str(tmp_path / "events.ndjson"), "format": "raw"},
        },
    )
    request.addfinalizer(forwarder.kill)
    forwarder.start()
    events = [changed(event, displayMessage=str(number)) for number, event in enumerate(happenings(EVENTS))]
    conflict, oversize = events[1_500][0], events[5_000][0]
    events[1_500] = changed(events[1_500], displayMessage="no number, so it does not fit the mapping")
    events[5_000] = changed(events[5_000], displayMessage="9" * OVERSIZE)

    sender = Sender(forwarder.url)
    for number, part in enumerate((server, http, grpc, server)):
        load = asyncio.create_task(sender.load(events[number * EVENTS // 4 : (number + 1) * EVENTS // 4]))
        while len(sender.acknowledged) < number * EVENTS // 4 + EVENTS // 8:
            assert not load.done(), sender.answers
            await asyncio.sleep(0.01)
        await asyncio.to_thread(part.kill if part is server else part.stop)
        await load
        await asyncio.to_thread(part.start)
    assert sender.answers.keys() == {200}
    assert len(sender.acknowledged) == EVENTS

    ledger = await drained(forwarder, 240)
    assert (ledger["stored"], ledger["duplicates"], ledger["rejected"]) == (EVENTS, 0, 0)
    ids = await asyncio.to_thread(stream.ids)
    assert len(ids) == len(set(ids)) == ledger["sinks"]["siem"]["delivered"]
    listed = forwarder.run("dead-letters", "list", "--json", "--limit", "1000").stdout.splitlines()
    dead = {(letter["sink"], letter["uuid"], letter["reason"]) for letter in map(json.loads, listed)}
    assert dead == {("siem", conflict, "mapping"), ("siem", oversize, "too_large"), ("grpc", oversize, "too_large")}, (
        listed
    )
    assert set(ids) == sender.acknowledged - {conflict, oversize}
    await asyncio.to_thread(http.stop)
    await asyncio.to_thread(grpc.stop)
    assert uuids(http).keys() == sender.acknowledged
    assert uuids(grpc).keys() == sender.acknowledged - {oversize}
    with (tmp_path / "events.ndjson").open() as lines:
        assert sorted(json.loads(line)["uuid"] for line in lines) == sorted(sender.acknowledged)
    forwarder.stop()
    assert "Traceback" not in forwarder.log.read_text()


async def test_an_event_is_searchable_and_the_metrics_say_so(
    tmp_path: Path, elasticsearch: Elasticsearch, request: pytest.FixtureRequest
) -> None:
    stream = Stream(elasticsearch)
    stream.template(message="keyword")
    sink = {"kind": "elasticsearch", "hosts": [elasticsearch.url], "namespace": stream.namespace}
    forwarder = ForwarderProcess(tmp_path / "forwarder", {"siem": sink})
    request.addfinalizer(forwarder.kill)
    forwarder.start()
    sender = Sender(forwarder.url)
    events = list(happenings(500))
    await sender.load(events)
    await sender.load(events[:100])
    await drained(forwarder, 60)
    assert set(await asyncio.to_thread(stream.ids)) == {uuid for uuid, _ in events}
    async with httpx.AsyncClient(trust_env=False) as client:
        scrape = (await client.get(f"http://127.0.0.1:{forwarder.ops_port}/metrics")).text
    for line in (
        'forwarder_events_delivered_total{sink="siem"} 500.0',
        'forwarder_events_duplicate_total{org="acme",via="hook"} 100.0',
        'forwarder_sink_up{sink="siem"} 1.0',
        'forwarder_sink_backlog_events{sink="siem"} 0.0',
        'forwarder_delivery_lag_seconds_count{sink="siem"} 500.0',
        "forwarder_store_events 500.0",
    ):
        assert line in scrape
    forwarder.stop()
