"""The base class of the exporters for HTTP and gRPC."""

from abc import ABC, abstractmethod

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.sdk._logs.export import LogRecordExporter

from forwarder.core.ports import Clock
from forwarder.sinks import response_verdicts
from forwarder.sinks.otlp.settings import OtlpSinkSettings
from forwarder.sinks.response_verdicts import ResponseVerdict

RESPONSE_LIMIT = 64 * 1024
"""The maximum size of a response in bytes. A real response has a few hundred at most."""


class ExportResult(msgspec.Struct, frozen=True):
    """The result of one request.

    Attributes:
        verdict: the verdict for all records of the request.
        detail: the server's own text, or the error.
        wait: the number of seconds that the server asked us to wait; None if it did not ask.
        refused: the number of records that the server refused although it accepted the request (partial_success).
    """

    verdict: ResponseVerdict
    detail: str = ""
    wait: float | None = None
    refused: int = 0

    @property
    def keeps_connection(self) -> bool:
        """Whether the next request may use the same connection.

        After a failure, a new connection is opened, for which the host name is resolved again. Otherwise a server that
        refuses requests, for example because it was replaced by another one, would get them without end.
        """
        return self.verdict.retry is None or self.verdict.split


NO_RESPONSE = ExportResult(response_verdicts.UNKNOWN, "the request was started, but not answered")
_NO_REQUEST = ExportResult(response_verdicts.UNKNOWN, "the exporter made no request")


class Exporter(ABC):
    """Sends requests through the SDK's exporter, and records the responses.

    The SDK's exporter itself returns only success or failure. It uses a session (HTTP) or a stub (gRPC) of ours, which
    records the response. The exporter is called with an empty batch, and our session or stub replaces the empty request by
    `request`, which is encoded already: the SDK's encoder takes several times as long as our module `record`.

    Attributes:
        result: the result of the last request; None if no request was made. A subclass sets it.
        request: the encoded request to send.
        records: the number of log records in `request`.
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
        """Create the SDK's exporter. This is called in the thread of the first `export`, so it may read files."""

    def abort(self) -> None:  # noqa: B027  # the SDK's own shutdown ends a call over gRPC
        """Close the connection of a request that runs in another thread, so that the request ends at once."""

    def export(self, request: bytes, records: int) -> ExportResult:
        """Send the encoded `request`, with `records` log records, and return its result. Blocks the thread."""
        self.result, self.request, self.records = None, request, records
        self._exporter = exporter = self._exporter or self.connect()
        if self._closed:
            exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
            return _NO_REQUEST
        exporter.export(())
        return self.result or _NO_REQUEST

    def close(self) -> None:
        """Close the connection. If another thread runs `export`, that call ends."""
        self._closed = True
        self.abort()
        if self._exporter is not None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


def decoded_response(content: bytes) -> ExportLogsServiceResponse | None:
    """Decode `content` as the response of an OTLP server in protobuf; None if it is not such a response.

    Protobuf can decode nearly any bytes as unknown fields. So a response that is not empty must have the field
    `partial_success`, which is the only field of this message.
    """
    try:
        message = ExportLogsServiceResponse.FromString(content)
    except DecodeError:
        return None
    return message if not content or message.HasField("partial_success") else None
