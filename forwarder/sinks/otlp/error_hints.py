"""Builds the error text for a request that an OTLP server did not accept. The text has the cause, and what an operator
should do."""

import socket
import ssl
from collections.abc import Sequence
from http.client import BadStatusLine, IncompleteRead
from urllib.parse import urlsplit

from urllib3.exceptions import ConnectTimeoutError, ProtocolError

from forwarder.connection_errors import CA_FILE, no_connection, why_unreachable
from forwarder.sinks.otlp.settings import OtlpSinkSettings

_PATH = "/v1/logs"

_UNTRUSTED = f"its certificate is not from a CA that this machine trusts; {CA_FILE}"
_NO_TLS = "this port does not speak TLS; write `http://` in `endpoint`, or use the TLS port"
_CLIENT_CERTIFICATE = "the server wants a client certificate that it trusts; set `cert_file` and `key_file`"
_OTHER_NAME = "its certificate is for another host name; in `endpoint`, write a name that is in the certificate"
_HTTP1 = "this port speaks HTTP/1.1; set `protocol: http/protobuf`, or use the gRPC port, often 4317"
_NAME = "the host name cannot be resolved; check `endpoint`"
_NOTHING = "nothing listens there; check `endpoint`, and that the server runs"

_WANTS_TLS = (
    b"Client sent an HTTP request to an HTTPS server",
    b"The plain HTTP request was sent to HTTPS port",
    b"speaking plain HTTP to an SSL-enabled server port",
    b"This combination of host and port requires TLS",
)
"""The texts with which Go servers, nginx, Apache and Tomcat answer a request in plain HTTP on a TLS port. Each text is
a whole phrase, because a response with the status 400 may also quote an event, and an event may contain a single word
of a phrase."""

_GRPC = (
    ("certificate_verify_failed", _UNTRUSTED),
    ("hostname verification check failed", _OTHER_NAME),
    ("wrong_version_number", _NO_TLS),
    ("tlsv1_alert_unknown_ca", _CLIENT_CERTIFICATE),
    ("certificate_required", _CLIENT_CERTIFICATE),
    ("http1.x server", _HTTP1),
    ("expected settings frame", _HTTP1),
    ("errors resolving", _NAME),
    ("dns resolution failed", _NAME),
    ("connection refused", _NOTHING),
)
"""Pairs of a text and the advice that applies if the details of a gRPC status contain the text."""

_GRPC_NOT_CONNECTED = ("connect() timed out", "tcp handshaker shutdown")
"""The gRPC library's texts about a server that accepted no connection in time."""


def posted(url: str) -> str:
    """Return `url` without its query, because the query may contain a secret."""
    return url.partition("?")[0]


def no_response(settings: OtlpSinkSettings, causes: Sequence[BaseException]) -> str:
    """Return the error text for a request that got no HTTP response. `causes` is the chain of exceptions, the outermost
    exception first."""
    if any(type(cause) is ConnectTimeoutError for cause in causes):
        reason = no_connection(settings.delivery.connect_timeout, "`endpoint`")
    else:
        reason = _reason(settings.url, causes)
    return f"{posted(settings.url)}: {reason}"


def grpc_status(settings: OtlpSinkSettings, text: str) -> str:
    """Return `text`, the text of a gRPC status. If the text shows a known cause, put the URL and advice before it."""
    lower = text.lower()
    found = next((advice for sign, advice in _GRPC if sign in lower), "")
    if not found and any(sign in lower for sign in _GRPC_NOT_CONNECTED):
        found = no_connection(settings.delivery.connect_timeout, "`endpoint`")
    if not found and "socket closed" in lower:
        client = "if the server wants a client certificate, set `cert_file` and `key_file`"
        found = client if settings.uses_tls else "if this port expects TLS, write `https://` in `endpoint`"
    return f"{posted(settings.url)}: {found} ({text})" if found else text


def http_status(settings: OtlpSinkSettings, status: int) -> str:
    """Return what an operator should do about a response with the HTTP status `status`. After such a response, a retry
    alone would fail again."""
    if status in (401, 403, 407):
        return "check `headers`: the server does not accept the credentials in them"
    path = urlsplit(settings.url).path
    if path.endswith(_PATH):
        return "check `endpoint`"
    base = posted(settings.url).rstrip("/")
    return f"an `endpoint` with a path is used unchanged; OTLP servers usually accept logs at {base}{_PATH}"


def is_plain_http_to_tls(status: int, content: bytes) -> bool:
    """Return whether `status` and `content` (the body of a response) show that a plain HTTP request was sent to a TLS
    server.

    If the status is 400 and the result is False, the server found the events malformed.
    """
    return status == 400 and any(text in content for text in _WANTS_TLS)


def _reason(url: str, causes: Sequence[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError | socket.gaierror | ConnectionRefusedError):
            return "; ".join(why_unreachable(cause, "`endpoint`", CA_FILE))
        if isinstance(cause, ssl.SSLError):
            said = cause.reason or str(cause)
            alert = "CERTIFICATE_REQUIRED" in said or "UNKNOWN_CA" in said or "BAD_CERTIFICATE" in said
            return f"{_CLIENT_CERTIFICATE if alert else _NO_TLS} (TLS failed: {said})"
        if type(cause) is BadStatusLine:
            return "this port does not answer in HTTP/1.1; if it is a gRPC port, set `protocol: grpc`"
        if isinstance(cause, IncompleteRead):
            return f"the response is not complete ({cause})"
    root = causes[-1]
    text = str(root) or type(root).__name__
    if url.startswith("http:") and any(isinstance(cause, ProtocolError) for cause in causes):
        return f"{text}; if this port expects TLS, write `https://` in `endpoint`"
    return text
