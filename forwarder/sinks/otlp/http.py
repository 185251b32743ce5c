"""OTLP over HTTP: the SDK's exporter on a session of our own, which reads the answer that the exporter hides.

The exporter takes every status below 400 for success, a redirect too, never reads the body, and tells a poisoned
batch (400) from a busy server (503) by nothing. It also tries again by itself. The session sees each answer first:
it notes what the answer means, and raises for all that is no acceptance, which the exporter does not try again.
"""

from collections.abc import Sequence
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
from opentelemetry.sdk._logs import ReadableLogRecord

from forwarder.core.ports import Clock
from forwarder.sinks import outcomes
from forwarder.sinks.otlp.response import UNANSWERED, Reply, not_encoded
from forwarder.sinks.otlp.settings import OtlpSinkSettings

_MOST_ANSWER = 64 * 1024
"""Bytes of an answer that are read. A real one has a few hundred at the most."""

_CHUNK = 8 * 1024


class HttpExporter:
    """`otlp_reply.Exporter` over HTTP with protobuf."""

    def __init__(self, settings: OtlpSinkSettings, timeout: float, clock: Clock) -> None:
        self._session = _Session(settings, clock)
        # Every argument is given, because the SDK asks the environment for each one that is not.
        self._exporter = OTLPLogExporter(
            endpoint=settings.url,
            timeout=timeout,
            compression=Compression.NoCompression,  # the session does it, four times as fast
            session=self._session,
            max_request_size=0,
            meter_provider=NoOpMeterProvider(),
        )
        # Only now: the exporter has put there what the environment says.
        self._session.verify = str(settings.ca_file) if settings.ca_file else True
        self._session.cert = (str(settings.cert_file), str(settings.key_file)) if settings.cert_file else None

    def export(self, records: Sequence[ReadableLogRecord]) -> Reply:
        self._session.begin(len(records))
        self._exporter.export(records)
        return self._session.reply or not_encoded(len(records))

    def close(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


class _NotAcceptedError(Exception):
    """Stops the exporter. What it stands for is in `_Session.reply`."""


class _Session(requests.Session):
    """Sends exactly what the settings say, and notes what the server answered.

    Attributes:
        reply: what came of the last request; None while there was none.
    """

    def __init__(self, settings: OtlpSinkSettings, clock: Clock) -> None:
        super().__init__()
        self.trust_env = False  # no proxy, no .netrc, no REQUESTS_CA_BUNDLE
        self.headers.clear()
        self.reply: Reply | None = None
        self._records = 0
        self._clock = clock
        self._gzip = settings.compression == "gzip"
        self._headers = _headers(settings)

    def begin(self, records: int) -> None:
        """A batch of so many records comes next."""
        self.reply = None
        self._records = records

    def request(self, method: str | bytes, url: str | bytes, *_: Any, **asked: Any) -> requests.Response:
        """Send the exporter's request. Its headers do not count: it mixes the environment in.

        Raises:
            _NotAcceptedError: whatever came, it was no acceptance.
        """
        self.reply = UNANSWERED  # whatever happens from here on, a request was begun
        body: bytes = asked["data"]
        try:
            response = super().request(
                method,
                url,
                data=igzip.compress(body, 1) if self._gzip else body,
                headers=self._headers,
                timeout=asked["timeout"],
                allow_redirects=False,
                stream=True,
            )
            content = _read(response)
        except OSError as error:  # requests' own errors are OSErrors
            timed_out = isinstance(error, requests.Timeout)
            verdict = outcomes.TIMEOUT if timed_out else outcomes.failure(error)
            self.reply = Reply(verdict, _root(error), answered=False)
            raise _NotAcceptedError from error
        self.reply = self._reply(response, content)
        if self.reply.verdict != outcomes.DELIVERED:
            raise _NotAcceptedError
        return response

    def _reply(self, response: requests.Response, content: bytes) -> Reply:
        verdict = outcomes.request(response.status_code, self._records)
        if verdict != outcomes.DELIVERED:
            wait = outcomes.retry_after(response.headers.get("Retry-After"), self._clock.now())
            return Reply(verdict, _words(response, content), wait)
        answer = _answer(response, content)
        if answer is None:
            # A web server that answers 200 to anything would swallow every event.
            words = f"no answer of an OTLP server: {_words(response, content)}"
            return Reply(outcomes.REFUSED, words)
        said = answer.partial_success
        return Reply(verdict, said.error_message, refused=max(said.rejected_log_records, 0))


def _root(error: BaseException) -> str:
    """What the system said in the first place: the libraries wrap it three times, in words for programmers."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error) or type(error).__name__


def _headers(settings: OtlpSinkSettings) -> dict[str, str]:
    headers = {"user-agent": "okta-forwarder"}
    headers |= {name: value.reveal() for name, value in settings.headers.items()}
    headers["content-type"] = "application/x-protobuf"
    if settings.compression == "gzip":
        headers["content-encoding"] = "gzip"
    return headers


def _read(response: requests.Response) -> bytes:
    content = b""
    for chunk in response.iter_content(_CHUNK):
        content += chunk
        if len(content) > _MOST_ANSWER:
            break
    response.close()
    return content


def _answer(response: requests.Response, content: bytes) -> ExportLogsServiceResponse | None:
    """The answer of an OTLP server, which may be empty or in JSON; None where it is another's."""
    kind = response.headers.get("Content-Type", "")
    if "html" in kind or (content and kind.startswith("text/")):
        return None  # "It works!" can be decoded: as one field that the message does not have
    try:
        if "json" in kind and content:
            return json_format.Parse(content, ExportLogsServiceResponse(), ignore_unknown_fields=True)
        return ExportLogsServiceResponse.FromString(content)
    except (json_format.ParseError, DecodeError, ValueError, RecursionError):
        return None


def _words(response: requests.Response, content: bytes) -> str:
    """The status and the server's words; for a redirect, where to."""
    status = f"HTTP {response.status_code}"
    if place := response.headers.get("Location"):
        return f"{status} to {place.partition('?')[0]}"
    if "protobuf" in response.headers.get("Content-Type", ""):
        try:
            text = Status.FromString(content).message
        except DecodeError:
            text = ""
    else:
        text = content.decode(errors="replace")
    return f"{status}: {text.strip()}" if text.strip() else status
