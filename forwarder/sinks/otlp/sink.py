"""The sink `otlp`, which uses the SDK's exporter to send one request for each batch.

The sink calls the exporter directly, not through a processor of the SDK, because a processor drops records without an
error if the server is slow. The module `response_verdicts` says what each status means. This module handles a response
that accepts a request but not all of its records. If a record is sent twice, both copies have one `log.record.uid`, so
a reader can recognize the second copy.
"""

import asyncio
import os
from collections.abc import Callable, Sequence

from forwarder import logs
from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, RejectReason
from forwarder.core.ports import Clock
from forwarder.sinks import response_verdicts
from forwarder.sinks.conversion import Conversion
from forwarder.sinks.otlp.exporter import Exporter, ExportResult
from forwarder.sinks.otlp.record import EncodedRecord, record, request
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.threads import in_daemon_thread


class OtlpSink:
    """The `core.ports.Sink` for OTLP logs over HTTP or gRPC. Several calls of `send` may run at once."""

    def __init__(self, name: str, settings: OtlpSinkSettings, clock: Clock) -> None:
        self._name = name
        self._connect = exporter_factory(settings, clock)
        self._timeout = settings.delivery.timeout
        self._idle: list[Exporter] = []
        self._records = Conversion(record, in_child=True)
        self._limited_logger = logs.RateLimitedLogger(logs.get("sinks"), clock, interval=60.0)

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        return await self._records.send(batch, self._send_records)

    async def close(self) -> None:
        self._records.close()
        while self._idle:
            self._idle.pop().close()

    async def _send_records(self, seqs: list[int], records: list[EncodedRecord]) -> BatchResult:
        result = await self._export(request(records), len(records))
        if result.verdict != response_verdicts.DELIVERED:
            return response_verdicts.batch_outcome(seqs, result.verdict, result.detail, result.wait)
        if result.refused >= len(seqs):
            rejected = response_verdicts.ResponseVerdict(reject=RejectReason.PARTIAL_SUCCESS)
            return response_verdicts.batch_outcome(seqs, rejected, result.detail)
        detail = response_verdicts.kept(result.detail)
        if detail and not result.refused:
            self._limited_logger.warning(
                "the OTLP server accepted the events with a warning",
                action="otlp_warning",
                sink=self._name,
                detail=detail,
            )
        # The server does not say which records it refused, and OTLP forbids to send the batch again.
        return BatchResult(delivered=seqs, unattributed=result.refused, detail=detail)

    async def _export(self, encoded: bytes, records: int) -> ExportResult:
        # Only one call at a time uses an exporter. If the call fails, is cancelled or runs out of time, the exporter is
        # closed, which ends its connection and its thread. Otherwise a later call uses the exporter again.
        exporter = self._idle.pop() if self._idle else self._connect()
        keep = False
        try:
            async with asyncio.timeout(self._timeout):
                result = await in_daemon_thread(lambda: exporter.export(encoded, records), "otlp")
            keep = result.keeps_connection
        except TimeoutError:
            text = f"no complete response within {self._timeout:g} s"
            result = ExportResult(response_verdicts.TIMEOUT, text)
        except Exception as error:  # noqa: BLE001  # whatever a library raises, the events must be sent again
            text = f"{type(error).__name__}: {error}"
            result = ExportResult(response_verdicts.error_verdict(error), text)
        finally:
            if keep:
                self._idle.append(exporter)
            else:
                exporter.close()
        return result


def exporter_factory(settings: OtlpSinkSettings, clock: Clock) -> Callable[[], Exporter]:
    """Return a function that creates an exporter for the configured protocol. Only the library of the configured
    protocol is loaded, because each library takes 20 MB of memory."""
    if settings.protocol == "grpc":
        # gRPC reads this variable when it is loaded. Without the variable, gRPC writes its own lines to stderr, between
        # our log lines.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from forwarder.sinks.otlp.grpc_exporter import GrpcExporter  # noqa: PLC0415  # as above

        return lambda: GrpcExporter(settings, clock)
    from forwarder.sinks.otlp.http_exporter import HttpExporter  # noqa: PLC0415  # as above

    return lambda: HttpExporter(settings, clock)
