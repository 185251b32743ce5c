"""OTLP over gRPC: the SDK's exporter with an interceptor that reads the response, which the exporter hides.

The exporter returns success or failure without a code, never reads partial_success, and retries by itself
until its timeout. An interceptor is gRPC's own way to see each call. The only place to add one is the method
in which the exporter creates its channel.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it ships no types
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # it ships no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it ships no types
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.sdk._logs.export import LogRecordExporter

from forwarder.core.outcome import RetryReason
from forwarder.sinks import outcomes
from forwarder.sinks.otlp.exporter import NO_RESPONSE, Exporter, ExportResult
from forwarder.sinks.otlp.settings import OtlpSinkSettings

_AGENT = "okta-forwarder"
_CHANNEL = (
    ("grpc.enable_http_proxy", 0),  # else http_proxy of the environment is used
    ("grpc.enable_retries", 0),  # the worker retries
    ("grpc.use_local_subchannel_pool", 1),  # a new channel does not inherit the old one's wait to connect
    ("grpc.primary_user_agent", _AGENT),
)
_NEVER = (grpc.StatusCode.OK,)
"""Codes that the exporter retries by itself: none that is an error. Empty would mean its default."""

_STATUS_DETAILS = "grpc-status-details-bin"


class GrpcExporter(Exporter, grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc ships no types
    """The exporter over gRPC; it intercepts its own calls."""

    def connect(self) -> LogRecordExporter:
        settings = self.settings
        headers = [(name, value.reveal()) for name, value in settings.headers.items()]
        gzip = settings.compression == "gzip"
        # Every argument is given and none is empty, because the SDK reads the environment for the others.
        return _InterceptedExporter(
            self,
            endpoint=settings.url,
            insecure=not settings.uses_tls,
            credentials=_credentials(settings) if settings.uses_tls else None,
            headers=(("user-agent", _AGENT), *headers),
            timeout=settings.delivery.timeout,
            compression=grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression,
            channel_options=_CHANNEL,
            retryable_error_codes=_NEVER,
            meter_provider=NoOpMeterProvider(),
        )

    def intercept_unary_unary(
        self, proceed: Callable[..., Any], details: grpc.ClientCallDetails, request: ExportLogsServiceRequest
    ) -> grpc.Call:
        """Make the call, record its response, and return it."""
        self.result = NO_RESPONSE  # whatever happens from here on, a request was started
        call = proceed(details, request)
        self.result = self._read(call)
        return call

    def _read(self, call: Any) -> ExportResult:
        if call.code() is grpc.StatusCode.OK:
            partial = call.result().partial_success
            refused = max(partial.rejected_log_records, 0)
            return ExportResult(outcomes.DELIVERED, partial.error_message, refused=refused)
        code, text = call.code().name, call.details() or ""
        verdict = outcomes.grpc_verdict(code, self.records, text)
        answered = verdict.retry not in (RetryReason.CONNECTION, RetryReason.TIMEOUT, RetryReason.UNKNOWN)
        return ExportResult(verdict, f"{code}: {text}" if text else code, _wait(call), answered=answered)


class _InterceptedExporter(OTLPLogExporter):
    """The SDK's exporter with an interceptor on its channel."""

    def __init__(self, interceptor: grpc.UnaryUnaryClientInterceptor, **settings: Any) -> None:
        self._interceptor = interceptor  # the base class creates its channel in its constructor
        super().__init__(**settings)

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
        channel = grpc.intercept_channel(self._channel, self._interceptor)
        self._client = LogsServiceStub(channel)  # type: ignore[no-untyped-call,assignment]  # as above


def _credentials(settings: OtlpSinkSettings) -> grpc.ChannelCredentials:
    def read(path: Path | None) -> bytes | None:
        return path.read_bytes() if path else None

    return grpc.ssl_channel_credentials(
        root_certificates=read(settings.ca_file),
        private_key=read(settings.key_file),
        certificate_chain=read(settings.cert_file),
    )


def _wait(call: Any) -> float | None:
    """Return the seconds that the server asks us to wait: a RetryInfo in the details of its status."""
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
