"""Settings of a listener: its limits and its TLS certificate."""

import re
import ssl

from pydantic import Field

from forwarder import tls
from forwarder.config.types import Count, Duration, PathStr, Section, Size
from forwarder.core.errors import SettingsError

MAX_URL = 8192
"""The largest size of a request target (path and query) in bytes. A larger target is answered 414."""

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""Matches the name of a header, which is a token in RFC 9110."""

HTTP_HEADERS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""The names, in lower case, of the headers that HTTP itself needs for the connection and for the body."""


class TlsSettings(Section):
    """The certificate of a listener.

    Attributes:
        cert: a PEM file with the certificate, followed by the chain to its issuer.
        key: a PEM file with the private key of the certificate, without a password.
    """

    cert: PathStr
    key: PathStr


class ListenerLimits(Section):
    """What a listener allows its clients.

    Attributes:
        max_connections: the largest number of open connections. Above this number, the forwarder closes the connection
            that has waited longest for its client (idle, or before the end of a request). A burst of connections may
            exceed this number for a moment.
        header_timeout: how long a request may take from its first byte to the end of its headers. For the first request
            of a connection, the time counts from the start of the connection.
        body_timeout: how long the body may take after the headers. Okta itself gives up after 3 s, so a value below 3 s
            would refuse requests that Okta still waits for. Only a proxy with a slow client, or an attacker, takes
            longer than 3 s.
        keep_alive: how long a connection may stay idle between two requests.
        max_header_bytes: the largest size of the request line and the headers together. A larger request is answered
            431.
        grace: how long requests in progress may still take after the forwarder begins to stop.
    """

    max_connections: Count = Field(default=1000, ge=8, le=1_000_000)
    header_timeout: Duration = Field(default="5s", validate_default=True, gt=0)
    body_timeout: Duration = Field(default="10s", validate_default=True, gt=0)
    keep_alive: Duration = Field(default="30s", validate_default=True, gt=0)
    max_header_bytes: Size = Field(default="64KiB", validate_default=True, ge=1024)
    grace: Duration = Field(default="5s", validate_default=True, ge=0)


def tls_context(settings: TlsSettings, path: str = "receiver.tls") -> ssl.SSLContext:
    """Return the TLS context of a listener. `path` is the place of `settings` in the configuration, for error messages.

    Raises:
        SettingsError: a file cannot be read, or the key does not belong to the certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for key, problem in tls.file_problems(None, settings.cert, settings.key):
        name = key.removesuffix("_file")
        named = problem.replace("`cert_file`", "`cert`").replace("`key_file`", "`key`")
        raise SettingsError([f"{path}.{name}: {named}"])
    # Without a password, OpenSSL would ask the terminal for one and hang there.
    context.load_cert_chain(settings.cert, settings.key, password=lambda: "")
    return context
