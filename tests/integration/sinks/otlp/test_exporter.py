"""What the sink takes for granted of the SDK's exporters: they are given an empty batch, and make a request of it."""

import asyncio
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import RejectReason, RetryReason
from forwarder.sinks.otlp.exporter import Exporter
from forwarder.sinks.otlp.grpc_exporter import GrpcExporter
from forwarder.sinks.otlp.http_exporter import HttpExporter
from forwarder.sinks.otlp.record import record, request
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.otlp.sink import OtlpSink
from tests.contract.sinks import stored_events
from tests.fakes.clock import ManualClock
from tests.fakes.otlp import FakeOtlpGrpc, FakeOtlpHttp

KINDS = [(FakeOtlpHttp, HttpExporter, "http/protobuf"), (FakeOtlpGrpc, GrpcExporter, "grpc")]


@pytest.mark.parametrize(("server", "kind", "protocol"), KINDS)
async def test_the_exporter_of_the_sdk_sends_our_request_once_for_an_empty_batch(
    server: type[FakeOtlpHttp | FakeOtlpGrpc], kind: type[Exporter], protocol: str
) -> None:
    events = stored_events(3)
    async with server() as started:
        settings = OtlpSinkSettings(endpoint=started.url, protocol=protocol)
        exporter = kind(settings, ManualClock())
        for _ in range(2):
            encoded = request([record(stored.event) for stored in events])
            result = await asyncio.to_thread(exporter.export, encoded, len(events))
            assert (result.verdict.retry, result.verdict.reject) == (None, None)
        exporter.close()
        uuids = [stored.event.uuid for stored in events]
        assert [received.uids for received in started.requests] == [uuids, uuids]


class _Lazy(LogRecordExporter):
    """An exporter that makes no request for an empty batch."""

    def export(self, batch: Any) -> LogRecordExportResult:
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True

    def shutdown(self) -> None:
        pass


class _LazyExporter(Exporter):
    def connect(self) -> LogRecordExporter:
        return _Lazy()


def test_an_export_without_a_request_is_a_retry() -> None:
    exporter = _LazyExporter(OtlpSinkSettings(endpoint="http://127.0.0.1:9"), ManualClock())
    result = exporter.export(b"", 1)
    assert (result.verdict.retry, result.verdict.reject) == (RetryReason.UNKNOWN, None)


async def test_a_record_that_cannot_be_encoded_is_rejected_and_its_neighbours_are_delivered() -> None:
    first, bad, last = stored_events(3)
    bad = StoredEvent(bad.seq, msgspec.structs.replace(bad.event, uuid="\ud800"))
    async with FakeOtlpHttp() as server:
        sink = OtlpSink("otlp", OtlpSinkSettings(endpoint=server.url), ManualClock())
        result = await sink.send([first, bad, last])
        await sink.close()
        assert server.taken == [first.event.uuid, last.event.uuid]
    assert (list(result.delivered), list(result.retry)) == ([first.seq, last.seq], [])
    (rejection,) = result.rejected
    assert (rejection.seq, rejection.reason) == (bad.seq, RejectReason.UNMAPPABLE)
    assert "half of a surrogate pair" in rejection.detail
