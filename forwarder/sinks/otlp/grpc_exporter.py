"""Sends OTLP over gRPC. The SDK's exporter sends the requests through a stub of ours, which reads the response.

With the SDK's own stub, the exporter has three drawbacks: it returns success or failure but no status code; it never
reads `partial_success`; and it retries by itself until its timeout. Our stub sends a request that is encoded already,
and records the response. The only place to insert our stub is the method in which the exporter creates its channel.
"""

from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it ships no types
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # it ships no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it ships no types
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk._logs.export import LogRecordExporter

from forwarder.safe_files import read_small
from forwarder.sinks import response_verdicts
from forwarder.sinks.otlp import error_hints
from forwarder.sinks.otlp.exporter import NO_RESPONSE, RESPONSE_LIMIT, Exporter, ExportResult, decoded_response
from forwarder.sinks.otlp.settings import OtlpSinkSettings

_AGENT = "okta-forwarder"
_CHANNEL = (
    ("grpc.enable_http_proxy", 0),  # otherwise gRPC would use http_proxy of the environment
    ("grpc.enable_retries", 0),  # the worker of the sink retries
    # Otherwise a new channel would inherit the reconnect backoff of the old channel.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.primary_user_agent", _AGENT),
    ("grpc.max_receive_message_length", RESPONSE_LIMIT),
)
_CONNECT_TIMEOUT = ("grpc.min_reconnect_backoff_ms", "grpc.initial_reconnect_backoff_ms")
"""A channel waits for a connection until both times have passed."""
_RETRYABLE_CODES = (grpc.StatusCode.OK,)
"""The status codes after which the exporter retries. OK is not an error, so the exporter never retries. An empty tuple
cannot be used, because the exporter would replace it by its default."""

_METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
_RESPONSE_TOO_LARGE = "CLIENT: Received message larger than max"
"""A part of gRPC's error text about a response that is too large. If the request is too large, the text has SERVER
instead of CLIENT."""
_EITHER_TOO_LARGE = "Decompressed message larger than max"
"""A part of gRPC's error text about a response that is too large. Servers in C++ and Python use this text also for a
request that is too large."""

_STATUS_DETAILS = "grpc-status-details-bin"


class GrpcExporter(Exporter):
    """Sends requests over gRPC."""

    def connect(self) -> LogRecordExporter:
        settings = self.settings
        milliseconds = int(1000 * settings.delivery.connect_timeout)
        headers = [(name, value.reveal()) for name, value in settings.headers.items()]
        gzip = settings.compression == "gzip"
        # All arguments are given, and none is empty: otherwise the SDK would read their values from the environment.
        return _ExporterWithStub(
            self,
            endpoint=settings.url,
            insecure=not settings.uses_tls,
            credentials=_credentials(settings) if settings.uses_tls else None,
            headers=(("user-agent", _AGENT), *headers),
            timeout=settings.delivery.timeout,
            compression=grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression,
            channel_options=(*_CHANNEL, *((name, milliseconds) for name in _CONNECT_TIMEOUT)),
            retryable_error_codes=_RETRYABLE_CODES,
            meter_provider=NoOpMeterProvider(),
        )

    def accepted(self, content: bytes | None) -> ExportResult:
        """Return the result of a call that ended with the status OK. `content` is the encoded response; None if the
        server sent no response message."""
        message = None if content is None else decoded_response(content)
        if message is None:
            return ExportResult(response_verdicts.REFUSED, f"{self.settings.url}: not the response of an OTLP server")
        partial = message.partial_success
        refused = max(partial.rejected_log_records, 0)
        return ExportResult(response_verdicts.DELIVERED, partial.error_message, refused=refused)

    def failed(self, call: Any) -> ExportResult:
        """Return the result of `call`, a call that ended with a status other than OK."""
        code, text = call.code().name, call.details() or ""
        if _RESPONSE_TOO_LARGE in text or (_EITHER_TOO_LARGE in text and self.records == 1):
            # This is not a rejection: the server may have accepted the event, and its next response may be shorter.
            detail = f"{self.settings.url}: the response is larger than {RESPONSE_LIMIT >> 10} KiB ({text})"
            return ExportResult(response_verdicts.UNKNOWN, detail)
        verdict = response_verdicts.grpc_verdict(code, self.records, text)
        detail = f"{code}: {text}" if text else code
        detail = error_hints.grpc_status(self.settings, detail)
        return ExportResult(verdict, detail, _wait(call))


class _Stub:
    """Sends an encoded request, and records the response. This class replaces the stub that gRPC generates."""

    def __init__(self, channel: grpc.Channel, exporter: GrpcExporter) -> None:
        self._exporter = exporter
        self._call = channel.unary_unary(_METHOD)

    def Export(self, request: object, metadata: Any, timeout: float) -> None:  # noqa: ARG002, N802  # the stub's
        """Send `Exporter.request`, and record the response in `Exporter.result`. `request` is ignored.

        Raises:
            grpc.RpcError: the server did not accept the request.
        """
        exporter = self._exporter
        exporter.result = NO_RESPONSE  # the result of the request that starts now, until there is a response
        try:
            content = self._call(exporter.request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            exporter.result = exporter.failed(error)
            raise
        exporter.result = exporter.accepted(content)


class _ExporterWithStub(OTLPLogExporter):
    """The SDK's exporter, with our stub in place of the SDK's stub."""

    def __init__(self, owner: GrpcExporter, **settings: Any) -> None:
        self._owner = owner  # set first, because the base class creates the channel in its constructor
        super().__init__(**settings)

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
        self._client = _Stub(self._channel, self._owner)  # type: ignore[assignment]  # it replaces the generated stub


def _credentials(settings: OtlpSinkSettings) -> grpc.ChannelCredentials:
    def read(path: Path | None) -> bytes | None:
        return read_small(path) if path else None

    return grpc.ssl_channel_credentials(
        root_certificates=read(settings.ca_file),
        private_key=read(settings.key_file),
        certificate_chain=read(settings.cert_file),
    )


def _wait(call: Any) -> float | None:
    """Return the number of seconds that the server asks the forwarder to wait, from the RetryInfo in the status of
    `call`; None if the status has no RetryInfo."""
    details = dict(call.trailing_metadata() or ()).get(_STATUS_DETAILS)
    if not isinstance(details, bytes):
        return None
    try:
        for detail in Status.FromString(details).details:
            info = RetryInfo()
            if detail.Unpack(info):
                return max(float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9), 0.0)
    except DecodeError:
        return None
    return None
