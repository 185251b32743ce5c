"""Sends OTLP over HTTP. The SDK's exporter sends the requests through a `requests` session of ours, which reads the
response.

With a standard session, the exporter has these drawbacks:

- It treats every status below 400 as success, even a redirect.
- It never reads the body of a response.
- It does not distinguish a rejected batch (400) from a busy server (503).
- It retries by itself.

Our session gets each response before the exporter does, and records the result. If the server did not accept the
request, our session raises an exception, after which the exporter does not retry.
"""

import json
from typing import Any

import requests
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it ships no types
from isal import igzip
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.sdk._logs.export import LogRecordExporter

from forwarder.connection_errors import NO_COOKIES, error_chain
from forwarder.core.bounded_body import BodyEncodingError, BodyTooLargeError, BoundedBody
from forwarder.core.ports import Clock
from forwarder.core.time import retry_after
from forwarder.sinks import response_verdicts
from forwarder.sinks.otlp import error_hints
from forwarder.sinks.otlp.abortable_adapter import AbortableAdapter
from forwarder.sinks.otlp.exporter import NO_RESPONSE, RESPONSE_LIMIT, Exporter, ExportResult, decoded_response
from forwarder.sinks.otlp.settings import OtlpSinkSettings

_INCOMPLETE = "it has fewer bytes than `Content-Length` says, or it has neither this header nor a body"
_OBJECT = (dict, type(None))  # `null` stands for a message without fields
_SPELLINGS = ({"partialSuccess", "partial_success"}, {"rejectedLogRecords", "rejected_log_records"})
"""Both spellings of each field that counts. A response with both spellings of one field may say two things."""
_PROTOBUF = ("application/x-protobuf", "application/protobuf")


class HttpExporter(Exporter):
    """Sends requests over HTTP, in protobuf."""

    def __init__(self, settings: OtlpSinkSettings, clock: Clock) -> None:
        super().__init__(settings, clock)
        self.adapter = AbortableAdapter()

    def connect(self) -> LogRecordExporter:
        settings = self.settings
        session = _Session(self)
        # All arguments are given: otherwise the SDK would read their values from the environment.
        exporter = OTLPLogExporter(
            endpoint=settings.url,
            timeout=settings.delivery.timeout,
            compression=Compression.NoCompression,  # the session compresses instead, four times as fast
            session=session,
            max_request_size=0,
            meter_provider=NoOpMeterProvider(),
        )
        # These attributes must be set after the exporter has set them from the environment.
        session.verify = str(settings.ca_file) if settings.ca_file else True
        session.cert = (str(settings.cert_file), str(settings.key_file)) if settings.cert_file else None
        return exporter

    def abort(self) -> None:
        self.adapter.abort()


class _NotAcceptedError(Exception):
    """The server did not accept the request. `Exporter.result` has the reason."""


class _Session(requests.Session):
    """Sends `exporter.request` with the headers of the settings, and records the response in `exporter.result`."""

    def __init__(self, exporter: HttpExporter) -> None:
        super().__init__()
        self._exporter = exporter
        self.cookies.set_policy(NO_COOKIES)
        self.trust_env = False  # no proxy, no .netrc, no REQUESTS_CA_BUNDLE
        self.mount("http://", exporter.adapter)
        self.mount("https://", exporter.adapter)
        self.headers.clear()
        self._gzip = exporter.settings.compression == "gzip"
        self._request_headers = {
            "user-agent": "okta-forwarder",
            "accept-encoding": "identity",
            **{name: value.reveal() for name, value in exporter.settings.headers.items()},
            "content-type": "application/x-protobuf",
            **({"content-encoding": "gzip"} if self._gzip else {}),
        }

    def request(self, method: str | bytes, url: str | bytes, *_: Any, **options: Any) -> requests.Response:
        """Send `Exporter.request` instead of the SDK's request, and return the response if the server accepted the
        request.

        Only our own headers are sent, because some of the SDK's headers come from the environment.

        Raises:
            _NotAcceptedError: the server did not accept the request.
        """
        exporter = self._exporter
        exporter.result = NO_RESPONSE  # the result of the request that starts now, until there is a response
        try:
            response = super().request(
                method,
                url,
                # Without `mtime`, the compression fails if the clock is before 1970 or after 2106.
                data=igzip.compress(exporter.request, 1, mtime=0) if self._gzip else exporter.request,
                headers=self._request_headers,
                timeout=(exporter.settings.delivery.connect_timeout, options["timeout"]),
                allow_redirects=False,
                stream=True,
            )
            # The body is not inflated here, because a few bytes of gzip can become gigabytes.
            content: bytes = response.raw.read(RESPONSE_LIMIT + 1, decode_content=False)
            response.close()
        # Some malformed responses raise other exceptions than OSError and HTTPError.
        except Exception as error:
            causes = list(error_chain(error))
            timed_out = any(isinstance(cause, requests.Timeout | TimeoutError) for cause in causes)
            verdict = response_verdicts.TIMEOUT if timed_out else response_verdicts.error_verdict(error)
            if verdict == response_verdicts.UNKNOWN or isinstance(error, requests.ConnectTimeout):
                verdict = response_verdicts.CONNECTION
            detail = error_hints.no_response(exporter.settings, causes)
            exporter.result = ExportResult(verdict, detail)
            raise _NotAcceptedError from error
        exporter.result = result = self._read(response, content)
        if result.verdict != response_verdicts.DELIVERED:
            raise _NotAcceptedError
        return response

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  # the library's
        """Return None, because redirects are not followed. The library's own method raises an exception if the redirect
        has a malformed address."""
        return None

    def _read(self, response: requests.Response, received: bytes) -> ExportResult:
        settings, status = self._exporter.settings, response.status_code
        content = _inflated(response, received)
        detail = _detail(response, content)
        verdict = response_verdicts.request_verdict(status, self._exporter.records)
        wait = retry_after(response.headers, self._exporter.clock.now())
        if not settings.uses_tls and error_hints.is_plain_http_to_tls(status, received):
            hint = "this port expects TLS; write `https://` in `endpoint`"
            return ExportResult(response_verdicts.REFUSED, f"{error_hints.posted(settings.url)}: {hint} ({detail})")
        if verdict.pause:
            hint = error_hints.http_status(settings, status)
            return ExportResult(verdict, f"{error_hints.posted(settings.url)}: {detail}; {hint}", wait)
        if verdict != response_verdicts.DELIVERED:
            return ExportResult(verdict, detail, wait)
        if _may_be_incomplete(response, received):
            text = (
                f"{error_hints.posted(settings.url)}: {detail}, but the response is perhaps not complete: {_INCOMPLETE}"
            )
            return ExportResult(response_verdicts.CONNECTION, text)
        message = _decode(response, content)
        if message is None:
            # If such a response counted as delivered, a web server that answers 200 to every request would lose all
            # events.
            hint = error_hints.http_status(settings, status)
            detail = detail if received else f"{detail} without a body, of the type {_media_type(response)}"
            text = f"{error_hints.posted(settings.url)}: this is not the response of an OTLP server: {detail[:500]}; {hint}"
            return ExportResult(response_verdicts.REFUSED, text)
        partial = message.partial_success
        return ExportResult(verdict, partial.error_message, refused=max(partial.rejected_log_records, 0))


def _may_be_incomplete(response: requests.Response, received: bytes) -> bool:
    """Return whether `received`, the body of `response`, may be incomplete.

    The body is incomplete if it has fewer bytes than `Content-Length` says. The body may also be incomplete if it is
    empty and its length is unknown, because then only the end of the connection marks the end of the body.
    """
    raw = response.raw
    if raw.length_remaining is None and not raw.chunked:  # only the end of the connection ends the body
        return not received
    return bool(raw.length_remaining) and len(received) <= RESPONSE_LIMIT


def _media_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _inflated(response: requests.Response, content: bytes) -> bytes | None:
    """Return `content`, the body of `response`, inflated if it is compressed. Return None if the body is larger than 64
    KiB or cannot be inflated."""
    try:
        body = BoundedBody(response.headers.get("Content-Encoding", ""), RESPONSE_LIMIT)
        body.feed(content)
        return body.finish()
    except (BodyTooLargeError, BodyEncodingError):
        return None


def _decode(response: requests.Response, content: bytes | None) -> ExportLogsServiceResponse | None:
    """Decode `content`, the body of `response`, and return the message. Return None if `content` is None, or is not a
    response of an OTLP server. A response of an OTLP server is protobuf, JSON or empty.

    Without this check, events would be lost: a response of another server with the status 200, often JSON about an
    error, would count as delivered.
    """
    kind = _media_type(response)
    if content is None:
        return None
    if not content:
        # An OTLP message without fields has no bytes. A web server that answers 200 to every request sends another
        # content type.
        return ExportLogsServiceResponse() if kind in ("", *_PROTOBUF) else None
    if kind in _PROTOBUF:
        return decoded_response(content)
    if kind != "application/json":
        return None
    try:
        written = json.loads(content)
        if type(written) is not dict or written.get("error"):
            return None
        partial = written.get("partialSuccess", written.get("partial_success", ""))
        if written and type(partial) not in _OBJECT:
            return None
        if any(names <= {*written} or names <= {*(partial or ())} for names in _SPELLINGS):
            return None
        return json_format.Parse(content, ExportLogsServiceResponse(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError):
        return None


def _detail(response: requests.Response, content: bytes | None) -> str:
    """Return a text with the HTTP status and the server's own text. For a redirect, the address to which it leads
    replaces the server's own text."""
    status = f"HTTP {response.status_code}"
    if target := response.headers.get("Location"):
        return f"{status} to {target.partition('?')[0]}"
    content = content or b""
    if "protobuf" in _media_type(response):
        try:
            text = Status.FromString(content).message
        except DecodeError:
            text = ""
    else:
        text = content.decode(errors="replace")
    return f"{status}: {text.strip()}" if text.strip() else status
