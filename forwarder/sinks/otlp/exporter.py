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
"""The maximum size of a response in bytes. A response of an OTLP server has at most a few hundred bytes."""


class ExportResult(msgspec.Struct, frozen=True):
    """The result of one request.

    Attributes:
        verdict: the verdict for all records of the request.
        detail: the server's own text, or the error.
        wait: the number of seconds that the server asked the forwarder to wait; None if the server did not ask.
        refused: the number of records that the server refused although it accepted the request (partial_success).
    """

    verdict: ResponseVerdict
    detail: str = ""
    wait: float | None = None
    refused: int = 0

    @property
    def keeps_connection(self) -> bool:
        """Whether the next request may use the connection of this request.

        After a failure, the next request opens a new connection, and the host name is resolved again. Without the new
        connection, a server that refuses requests because another server has replaced it would get all further
        requests.
        """
        return self.verdict.retry is None or self.verdict.split


NO_RESPONSE = ExportResult(response_verdicts.UNKNOWN, "the server did not answer the request")
_NO_REQUEST = ExportResult(response_verdicts.UNKNOWN, "the exporter sent no request")


class Exporter(ABC):
    """Sends requests through the SDK's exporter, and records the responses.

    The SDK's exporter itself returns only success or failure. So we replace its session (HTTP) or its stub (gRPC) by
    our own, which records the response. `export` calls the SDK's exporter with an empty batch, and our session or stub
    sends `request` instead of the empty request. Our module `record` encodes `request`, because the SDK's encoder takes
    several times as long.

    Attributes:
        result: the result of the last request; None if no request was sent. The session or the stub sets this
            attribute.
        request: the encoded request that must be sent.
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
        """Return a new exporter of the SDK. This method may block, for example to
        read files: the first call of `export` runs it in a thread, not on the event loop."""

    def abort(self) -> None:  # noqa: B027  # the SDK's own shutdown ends a call over gRPC
        """Close the connection of a request that runs in another thread, so that the request ends at once."""

    def export(self, request: bytes, records: int) -> ExportResult:
        """Send the encoded `request`, which has `records` log records, and return the result. This blocks the thread
        until the server has answered or the request has failed."""
        self.result, self.request, self.records = None, request, records
        self._exporter = exporter = self._exporter or self.connect()
        if self._closed:
            exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
            return _NO_REQUEST
        exporter.export(())
        return self.result or _NO_REQUEST

    def close(self) -> None:
        """Close the connection. If another thread is in a call of `export`, the call of `export` ends."""
        self._closed = True
        self.abort()
        if self._exporter is not None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


def decoded_response(content: bytes) -> ExportLogsServiceResponse | None:
    """Decode `content`, the protobuf response of an OTLP server, and return the message. Return None if `content` is
    not a response of an OTLP server.

    Protobuf can decode nearly any bytes as unknown fields. So a response that is not empty must have the field
    `partial_success`, because an OTLP response has no other field.
    """
    try:
        message = ExportLogsServiceResponse.FromString(content)
    except DecodeError:
        return None
    return message if not content or message.HasField("partial_success") else None
