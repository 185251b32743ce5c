"""A store, a worker and the OTLP sink against a real OpenTelemetry Collector."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from forwarder.clock import SystemClock
from forwarder.core.event import Event, Source, read_event
from forwarder.core.outcome import RejectReason
from forwarder.core.ports import Batch
from forwarder.deliver.worker import Worker
from forwarder.metrics import Metrics
from forwarder.sink_settings import DeliverySettings
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.otlp.sink import OtlpSink
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.otlp import Answer, FakeOtlpGrpc, FakeOtlpHttp
from tests.stack.collector import Collector, attributes

PROTOCOLS = ["http/protobuf", "grpc"]
RECEIVED = 1_767_268_801_500_000
TYPES = ["user.session.start", "policy.rule.update", "user.mfa.factor.deactivate", "a.type.of.tomorrow"]


def event(number: int, message: str = "", severity: str = "INFO") -> Event:
    body = {
        "uuid": str(uuid4()),
        "eventType": TYPES[number % len(TYPES)],
        "published": "2026-01-01T12:00:00.123Z",
        "severity": severity,
        "displayMessage": message or f"Message {number}",
        "actor": {"id": f"00u{number}", "type": "User", "alternateId": "ada@acme.test", "displayName": "Ada"},
        "client": {"ipAddress": "192.0.2.7", "userAgent": {"rawUserAgent": "curl/8"}, "zone": "null"},
        "outcome": {"result": "SUCCESS", "reason": None},
        "target": [{"id": "00g1", "type": "UserGroup", "displayName": "Admins", "alternateId": "unknown"}],
        "debugContext": {"debugData": {"requestUri": "/api/v1/authn", "risk": "{level=LOW}"}},
    }
    return read_event(msgspec.json.encode(body), org="acme", source=Source.HOOK, received_at=RECEIVED)


@dataclass
class Pipe:
    """A store with a worker that brings its events to one OTLP server."""

    store: SqliteStore
    metrics: Metrics
    appended: list[Event]

    async def append(self, events: list[Event]) -> None:
        await self.store.append(Batch(events), timeout=10)
        self.appended += events

    async def drained(self, seconds: float = 60) -> None:
        """Return when nothing waits any more."""
        async with asyncio.timeout(seconds):
            while (await self.store.ledger()).sinks["otlp"].waiting:
                await asyncio.sleep(0.05)  # the ledger is what an operator polls, too

    def count(self, metric: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(metric, {"sink": "otlp", **labels}) or 0.0


@asynccontextmanager
async def pipe(directory: Path, settings: OtlpSinkSettings) -> AsyncIterator[Pipe]:
    clock, metrics = SystemClock(), Metrics()
    store = await SqliteStore.open(StoreSettings(path=directory / "forwarder.db"), clock, metrics)
    log, position = await store.log("otlp", "oldest")
    delivery = DeliverySettings(batch_events=200, batch_bytes="1MiB", backoff_base="50ms", backoff_cap="500ms")
    sink = OtlpSink("otlp", settings, clock)
    worker = Worker("otlp", sink, log, position, delivery, metrics=metrics, clock=clock)
    running = asyncio.create_task(worker.run())
    try:
        yield Pipe(store, metrics, [])
    finally:
        await worker.stop(5)
        await running
        await sink.close()
        await store.close()


def settings(collector: Collector, protocol: str, **written: Any) -> OtlpSinkSettings:
    endpoint = collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint
    return OtlpSinkSettings(endpoint=endpoint, protocol=protocol, **written)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_no_event_is_lost_while_the_collector_restarts(
    collector: Collector, tmp_path: Path, protocol: str
) -> None:
    async with pipe(tmp_path, settings(collector, protocol, compression="gzip")) as made:

        async def load() -> None:
            for start in range(0, 8_000, 40):
                await made.append([event(number) for number in range(start, start + 40)])
                await asyncio.sleep(0.02)

        async def restarts() -> None:
            for _ in range(2):
                await asyncio.sleep(1)
                await asyncio.to_thread(collector.stop)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(collector.start)

        await asyncio.gather(load(), restarts())
        await made.drained()
        ledger = await made.store.ledger()
        assert ledger.balanced
        assert (ledger.sinks["otlp"].delivered, ledger.sinks["otlp"].dead) == (8_000, 0)
        assert made.count("forwarder_delivery_retries_total", reason="connection") > 0
    await asyncio.to_thread(collector.stop)  # it writes out what it has taken
    uids = collector.uids()
    assert set(uids) == {event.uuid for event in made.appended}
    print(f"{protocol}: {len(uids) - len(set(uids))} of {len(uids)} came twice")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_record_is_what_the_documentation_says(collector: Collector, tmp_path: Path, protocol: str) -> None:
    severities = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17}
    events = [event(number, severity=name) for number, name in enumerate(severities)]
    async with pipe(tmp_path, settings(collector, protocol)) as made:
        await made.append(events)
        await made.drained()
    await asyncio.to_thread(collector.stop)
    records = {attributes(record)["log.record.uid"]: record for record in collector.records()}
    assert len(records) == len(events)
    for number, (sent, (name, severity)) in enumerate(zip(events, severities.items(), strict=True)):
        record = records[sent.uuid]
        assert record["timeUnixNano"] == str(sent.published * 1000)
        assert record["observedTimeUnixNano"] == str(RECEIVED * 1000)
        assert (record["severityNumber"], record["severityText"]) == (severity, name)
        assert record["eventName"] == sent.event_type
        assert record["body"] == {"stringValue": f"Message {number}"}
        said = attributes(record)
        assert said["user.id"] == f"00u{number}"
        assert said["user.name"] == "ada@acme.test"
        assert said["client.address"] == "192.0.2.7"
        assert said["user_agent.original"] == "curl/8"
        assert said["okta.outcome.result"] == "SUCCESS"
        assert said["okta.event_type"] == sent.event_type


async def test_the_resource_names_the_org(collector: Collector, tmp_path: Path) -> None:
    async with pipe(tmp_path, settings(collector, "grpc")) as made:
        await made.append([event(1)])
        await made.drained()
    await asyncio.to_thread(collector.stop)
    (line,) = collector.out.read_bytes().splitlines()
    (resource,) = msgspec.json.decode(line)["resourceLogs"]
    assert attributes(resource["resource"]) == {"service.name": "okta", "okta.org.name": "acme"}
    assert resource["scopeLogs"][0]["scope"]["name"] == "okta-forwarder"


async def test_an_event_beyond_the_collectors_limit_is_a_dead_letter_and_its_neighbours_arrive(
    collector: Collector, tmp_path: Path
) -> None:
    events = [event(number) for number in range(20)]
    events[7] = event(7, message="x" * 5_000_000)  # gRPC takes 4 MiB
    async with pipe(tmp_path, settings(collector, "grpc")) as made:
        await made.append(events)
        await made.drained()
        ledger = (await made.store.ledger()).sinks["otlp"]
        assert (ledger.delivered, ledger.dead) == (19, 1)
        assert made.count("forwarder_events_dead_lettered_total", reason=RejectReason.TOO_LARGE.value) == 1
    await asyncio.to_thread(collector.stop)
    assert set(collector.uids()) == {event.uuid for event in events} - {events[7].uuid}


@pytest.mark.parametrize("fake", [FakeOtlpHttp, FakeOtlpGrpc], ids=["http", "grpc"])
async def test_what_is_taken_in_part_is_counted_for_what_it_is(
    tmp_path: Path, fake: type[FakeOtlpHttp | FakeOtlpGrpc]
) -> None:
    """The Collector itself never answers partial_success to logs, so a fake does."""
    async with fake() as server:
        protocol = "grpc" if fake is FakeOtlpGrpc else "http/protobuf"
        server.answers += [Answer(refused=3, text="three are too old"), Answer(refused=4, text="all")]
        async with pipe(tmp_path, OtlpSinkSettings(endpoint=server.url, protocol=protocol)) as made:
            for count in (10, 4, 6):
                await made.append([event(number) for number in range(count)])
                await made.drained()
            ledger = await made.store.ledger()
            assert ledger.balanced
            assert (ledger.sinks["otlp"].delivered, ledger.sinks["otlp"].dead) == (13, 7)
            reason = RejectReason.PARTIAL_SUCCESS.value
            assert made.count("forwarder_events_dead_lettered_total", reason=reason) == 7
            assert made.count("forwarder_events_delivered_total") == 13
    assert [len(request.records) for request in server.requests] == [10, 4, 6]


async def test_a_redirect_delivers_nothing_and_pauses_the_sink(tmp_path: Path) -> None:
    async with FakeOtlpHttp() as server:
        server.always = Answer(302, headers={"Location": "https://sso.test/"})
        async with pipe(tmp_path, OtlpSinkSettings(endpoint=server.url)) as made:
            await made.append([event(number) for number in range(5)])
            async with asyncio.timeout(10):
                while not made.count("forwarder_delivery_retries_total", reason="redirect"):
                    await asyncio.sleep(0.01)
            ledger = (await made.store.ledger()).sinks["otlp"]
            assert (ledger.delivered, ledger.dead, ledger.waiting) == (0, 0, 5)
            assert made.count("forwarder_sink_up") == 0
    assert len(server.requests) == 1
