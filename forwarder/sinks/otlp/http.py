"""OTLP over HTTP: the SDK's exporter with a session of our own that reads the response, which the exporter
hides.

The exporter takes every status below 400, redirects too, for success, never reads the body, and does not
separate a rejected batch (400) from a busy server (503). It also retries by itself. The session sees each
response first: it records what the response means, and raises an exception for everything except an
acceptance, which the exporter does not retry.
"""

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

from forwarder.sinks import outcomes
from forwarder.sinks.otlp.exporter import NO_RESPONSE, Exporter, ExportResult

_BODY_LIMIT = 64 * 1024
"""Bytes of a response that are read. A real one has a few hundred at most."""

_CHUNK = 8 * 1024


class HttpExporter(Exporter):
    """The exporter over HTTP with protobuf."""

    def connect(self) -> LogRecordExporter:
        settings = self.settings
        session = _Session(self)
        # Every argument is given, because the SDK reads the environment for the others.
        exporter = OTLPLogExporter(
            endpoint=settings.url,
            timeout=settings.delivery.timeout,
            compression=Compression.NoCompression,  # the session compresses, four times as fast
            session=session,
            max_request_size=0,
            meter_provider=NoOpMeterProvider(),
        )
        # Only now: the exporter has set them from the environment.
        session.verify = str(settings.ca_file) if settings.ca_file else True
        session.cert = (str(settings.cert_file), str(settings.key_file)) if settings.cert_file else None
        return exporter


class _NotAcceptedError(Exception):
    """Stops the exporter. The reason is in `Exporter.result`."""


class _Session(requests.Session):
    """Sends exactly what the settings say, and gives the response to `exporter`."""

    def __init__(self, exporter: Exporter) -> None:
        super().__init__()
        self._exporter = exporter
        self.trust_env = False  # no proxy, no .netrc, no REQUESTS_CA_BUNDLE
        self.headers.clear()
        self._gzip = exporter.settings.compression == "gzip"
        self._request_headers = {
            "user-agent": "okta-forwarder",
            **{name: value.reveal() for name, value in exporter.settings.headers.items()},
            "content-type": "application/x-protobuf",
            **({"content-encoding": "gzip"} if self._gzip else {}),
        }

    def request(self, method: str | bytes, url: str | bytes, *_: Any, **options: Any) -> requests.Response:
        """Send the exporter's request, without its headers, which include those of the environment.

        Raises:
            _NotAcceptedError: the server did not accept it.
        """
        self._exporter.result = NO_RESPONSE  # whatever happens from here on, a request was started
        body: bytes = options["data"]
        try:
            response = super().request(
                method,
                url,
                data=igzip.compress(body, 1) if self._gzip else body,
                headers=self._request_headers,
                timeout=options["timeout"],
                allow_redirects=False,
                stream=True,
            )
            content = _body(response)
        except OSError as error:  # requests' own errors are OSErrors
            timed_out = isinstance(error, requests.Timeout)
            verdict = outcomes.TIMEOUT if timed_out else outcomes.error_verdict(error)
            self._exporter.result = ExportResult(verdict, _root_text(error), answered=False)
            raise _NotAcceptedError from error
        self._exporter.result = result = self._read(response, content)
        if result.verdict != outcomes.DELIVERED:
            raise _NotAcceptedError
        return response

    def _read(self, response: requests.Response, content: bytes) -> ExportResult:
        verdict = outcomes.request_verdict(response.status_code, self._exporter.records)
        if verdict != outcomes.DELIVERED:
            wait = outcomes.retry_after(response.headers.get("Retry-After"), self._exporter.clock.now())
            return ExportResult(verdict, _detail(response, content), wait)
        message = _decode(response, content)
        if message is None:
            # A web server that answers 200 to everything would lose every event.
            detail = f"not the response of an OTLP server: {_detail(response, content)}"
            return ExportResult(outcomes.REFUSED, detail)
        partial = message.partial_success
        return ExportResult(verdict, partial.error_message, refused=max(partial.rejected_log_records, 0))


def _root_text(error: BaseException) -> str:
    """Return the text of the innermost cause: the libraries wrap it three times, in words for programmers."""
    *_, root = outcomes.error_chain(error)
    return str(root) or type(root).__name__


def _body(response: requests.Response) -> bytes:
    content = b""
    for chunk in response.iter_content(_CHUNK):
        content += chunk
        if len(content) > _BODY_LIMIT:
            break
    response.close()
    return content


def _decode(response: requests.Response, content: bytes) -> ExportLogsServiceResponse | None:
    """Return the message of an OTLP server, which may be empty or JSON; None if it is something else."""
    kind = response.headers.get("Content-Type", "")
    if "html" in kind or (content and kind.startswith("text/")):
        return None  # "It works!" can be decoded: as one field that the message does not have
    try:
        if "json" in kind and content:
            return json_format.Parse(content, ExportLogsServiceResponse(), ignore_unknown_fields=True)
        return ExportLogsServiceResponse.FromString(content)
    except (json_format.ParseError, DecodeError, ValueError, RecursionError):
        return None


def _detail(response: requests.Response, content: bytes) -> str:
    """Return the status and the server's own text; for a redirect, the target."""
    status = f"HTTP {response.status_code}"
    if target := response.headers.get("Location"):
        return f"{status} to {target.partition('?')[0]}"
    if "protobuf" in response.headers.get("Content-Type", ""):
        try:
            text = Status.FromString(content).message
        except DecodeError:
            text = ""
    else:
        text = content.decode(errors="replace")
    return f"{status}: {text.strip()}" if text.strip() else status
