"""OTLP over gRPC: the SDK's exporter with an interceptor, which reads the answer that the exporter hides.

The exporter gives success or failure and no code, never reads partial_success, and tries again by itself for up
to its timeout. An interceptor is gRPC's own way to see each call; the only place to put one is the method by which
the exporter makes its channel.
"""

from collections.abc import Callable, Sequence
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
from opentelemetry.sdk._logs import ReadableLogRecord

from forwarder.core.outcome import RetryReason
from forwarder.sinks import outcomes
from forwarder.sinks.otlp.response import UNANSWERED, Reply, not_encoded
from forwarder.sinks.otlp.settings import OtlpSinkSettings

_AGENT = "okta-forwarder"
_CHANNEL = (
    ("grpc.enable_http_proxy", 0),  # else http_proxy in the environment has a say
    ("grpc.enable_retries", 0),  # trying again is the worker's
    ("grpc.use_local_subchannel_pool", 1),  # a new channel does not inherit the old one's wait to connect
    ("grpc.primary_user_agent", _AGENT),
)
_NEVER = (grpc.StatusCode.OK,)
"""Codes that the exporter tries again by itself: none that is an error. Empty would mean its default."""

_STATUS_DETAILS = "grpc-status-details-bin"


class GrpcExporter:
    """`otlp_reply.Exporter` over gRPC. Nothing is read or opened before the first `export`, which has a thread."""

    def __init__(self, settings: OtlpSinkSettings, timeout: float) -> None:
        self._settings = settings
        self._timeout = timeout
        self._witness = _Witness()
        self._exporter: _Exporter | None = None
        self._closed = False

    def export(self, records: Sequence[ReadableLogRecord]) -> Reply:
        self._witness.begin(len(records))
        self._exporter = exporter = self._exporter or self._connect()
        if self._closed:
            exporter.shutdown()
        exporter.export(records)
        return self._witness.reply or not_encoded(len(records))

    def close(self) -> None:
        self._closed = True
        if self._exporter is not None:
            self._exporter.shutdown()

    def _connect(self) -> "_Exporter":
        settings = self._settings
        headers = [(name, value.reveal()) for name, value in settings.headers.items()]
        gzip = settings.compression == "gzip"
        # Every argument is given and none is empty, because the SDK asks the environment for each one that is not.
        return _Exporter(
            self._witness,
            endpoint=settings.url,
            insecure=not settings.secure,
            credentials=_credentials(settings) if settings.secure else None,
            headers=(("user-agent", _AGENT), *headers),
            timeout=self._timeout,
            compression=grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression,
            channel_options=_CHANNEL,
            retryable_error_codes=_NEVER,
            meter_provider=NoOpMeterProvider(),
        )


class _Exporter(OTLPLogExporter):
    """The SDK's exporter, whose calls a witness sees."""

    def __init__(self, witness: "_Witness", **settings: Any) -> None:
        self._witness = witness  # the base class makes its channel while it is built
        super().__init__(**settings)

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
        channel = grpc.intercept_channel(self._channel, self._witness)
        self._client = LogsServiceStub(channel)  # type: ignore[no-untyped-call,assignment]  # as above


class _Witness(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc ships no types
    """Notes what the server answered to each call.

    Attributes:
        reply: what came of the last call; None while there was none.
    """

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self._records = 0

    def begin(self, records: int) -> None:
        """A batch of so many records comes next."""
        self.reply = None
        self._records = records

    def intercept_unary_unary(
        self, proceed: Callable[..., Any], details: grpc.ClientCallDetails, request: ExportLogsServiceRequest
    ) -> grpc.Call:
        """Make the call, note its answer, and hand it on."""
        self.reply = UNANSWERED  # whatever happens from here on, a request was begun
        call = proceed(details, request)
        self.reply = self._read(call)
        return call

    def _read(self, call: Any) -> Reply:
        if call.code() is grpc.StatusCode.OK:
            said = call.result().partial_success
            return Reply(outcomes.DELIVERED, said.error_message, refused=max(said.rejected_log_records, 0))
        code, words = call.code().name, call.details() or ""
        verdict = outcomes.grpc(code, self._records, words)
        answered = verdict.retry not in (RetryReason.CONNECTION, RetryReason.TIMEOUT, RetryReason.UNKNOWN)
        return Reply(verdict, f"{code}: {words}" if words else code, _wait(call), answered=answered)


def _credentials(settings: OtlpSinkSettings) -> grpc.ChannelCredentials:
    def read(path: Path | None) -> bytes | None:
        return path.read_bytes() if path else None

    return grpc.ssl_channel_credentials(
        root_certificates=read(settings.ca_file),
        private_key=read(settings.key_file),
        certificate_chain=read(settings.cert_file),
    )


def _wait(call: Any) -> float | None:
    """Seconds that the server asks for: a RetryInfo among the details of its status."""
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
