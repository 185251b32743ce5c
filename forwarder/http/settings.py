"""What the operator sets about a listener: limits and TLS."""

import ssl

from pydantic import Field

from forwarder.config_types import Duration, PathStr, Section, Size
from forwarder.core.errors import SettingsError


class TlsSettings(Section):
    """The certificate that the door shows.

    Attributes:
        cert: a PEM file, with the chain to its issuer.
        key: its private key, a PEM file without a password.
    """

    cert: PathStr
    key: PathStr


class ListenerLimits(Section):
    """What one listener allows a client. Any listener can have them.

    Attributes:
        max_connections: beyond it, the oldest connection on which no whole request waits for its answer makes room.
            A burst may exceed it for a moment.
        header_timeout: from the first byte of a request (or from the connection) to the end of its headers.
        body_timeout: from there to the end of its body. Okta itself gives up after 3 s; what is slower than that is
            a proxy with a slow client behind it, or an attack. A value below 3 s would refuse what Okta still waits for.
        keep_alive: how long a connection may stay between two requests.
        max_header_bytes: request line and headers together; beyond it 431.
        grace: how long requests in flight may take to end when the forwarder stops.
    """

    max_connections: int = Field(default=1000, ge=8)
    header_timeout: Duration = Field(default="5s", validate_default=True, gt=0)
    body_timeout: Duration = Field(default="10s", validate_default=True, gt=0)
    keep_alive: Duration = Field(default="30s", validate_default=True, gt=0)
    max_header_bytes: Size = Field(default="64KiB", validate_default=True, ge=1024)
    grace: Duration = Field(default="5s", validate_default=True, ge=0)


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """The TLS of a listener.

    Raises:
        SettingsError: a file cannot be read, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # With no password given, OpenSSL would ask the terminal for one and hang there.
        context.load_cert_chain(settings.cert, settings.key, password=lambda: "")
    except FileNotFoundError:
        missing = "cert" if not settings.cert.exists() else "key"
        path = getattr(settings, missing)
        raise SettingsError(
            [f"receiver.tls.{missing}: there is no file {path}; give the path of a PEM file"]
        ) from None
    except OSError as error:  # ssl.SSLError is one
        what = error.strerror or type(error).__name__
        hint = "give a PEM certificate and its own key, unencrypted and readable"
        fault = f"receiver.tls: {settings.cert} and {settings.key} cannot be used: {what}; {hint}"
        raise SettingsError([fault]) from None
    return context
