"""What the exporters of both protocols share."""

from abc import ABC, abstractmethod

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.sdk._logs.export import LogRecordExporter

from forwarder.core.ports import Clock
from forwarder.sinks import outcomes
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.outcomes import Verdict

RESPONSE_LIMIT = 64 * 1024
"""Bytes of a response that are read. A real one has a few hundred at most."""


class ExportResult(msgspec.Struct, frozen=True):
    """What the server said about one request.

    Attributes:
        verdict: what it means for all records of the request.
        detail: the server's own text.
        wait: seconds that the server asked us to wait.
        refused: how many records it refused although it accepted the request (partial_success).
        answered: the server answered, so the connection can be used again.
    """

    verdict: Verdict
    detail: str = ""
    wait: float | None = None
    refused: int = 0
    answered: bool = True


NO_RESPONSE = ExportResult(outcomes.UNKNOWN, "the request was started, but not answered", answered=False)
_NO_REQUEST = ExportResult(outcomes.UNKNOWN, "the exporter made no request", answered=False)


class Exporter(ABC):
    """Sends requests by the SDK's exporter, and sees the response, which that reduces to success or failure.

    The exporter is given an empty batch. Our request takes the place of the one that it encodes of that,
    in the session or the stub beneath it, which are ours: its encoder takes three times as long as `record`.

    Attributes:
        result: what the server said to the last request; None if there was no request. A subclass sets it.
        request: the encoded request to send.
        records: how many records it carries.
    """

    def __init__(self, settings: OtlpSinkSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.result: ExportResult | None = None
        self.request = b""
        self.records = 0
        self._exporter: LogRecordExporter | None = None
        self._closed = False

    @abstractmethod
    def connect(self) -> LogRecordExporter:
        """Create the SDK's exporter. It runs in the thread of the first `export`, so it may read files."""

    def abort(self) -> None:  # noqa: B027  # the SDK's own shutdown ends a call over gRPC
        """End a request that is under way in another thread, at once."""

    def export(self, request: bytes, records: int) -> ExportResult:
        """Send the encoded `request`, which carries so many `records`. Blocks its thread."""
        self.result, self.request, self.records = None, request, records
        self._exporter = exporter = self._exporter or self.connect()
        if self._closed:
            exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
            return _NO_REQUEST
        exporter.export(())
        return self.result or _NO_REQUEST

    def close(self) -> None:
        """Close the connection. Another thread may call it while `export` runs, which then ends."""
        self._closed = True
        self.abort()
        if self._exporter is not None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


def decoded_response(content: bytes) -> ExportLogsServiceResponse | None:
    """Decode a response in protobuf; None if it is something else.

    Nearly any text or message can be decoded, as fields that are not known. So a response that is not empty
    must have the only field that there is.
    """
    try:
        message = ExportLogsServiceResponse.FromString(content)
    except DecodeError:
        return None
    return message if not content or message.HasField("partial_success") else None
