"""What an operator sets about the door, and the faults that only all orgs together can have."""

import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from forwarder.core.errors import SettingsError
from forwarder.values import Duration, Listen, PathStr, Secret, Section, Size

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token, as RFC 9110 has it
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


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


class ReceiverSettings(ListenerLimits):
    """The door to which Okta posts.

    Attributes:
        listen: the address.
        max_body: of a POST, also once inflated; beyond it 413. Generous, because Okta never retries a 4xx.
        commit_timeout: how long the store may take before Okta is told 503. Below Okta's own 3 s, so that it hears
            the answer.
        tls: serve HTTPS; without it, something in front of the forwarder must.
    """

    listen: Listen = Listen("127.0.0.1:8080")
    max_body: Size = Field(default="10MiB", validate_default=True, ge=1024)
    commit_timeout: Duration = Field(default="2s", validate_default=True, gt=0)
    tls: TlsSettings | None = None


def _path(written: str) -> str:
    if not _PATH.fullmatch(written):
        raise ValueError("must begin with `/` and hold only what a URL's path may, as in /okta/events")
    return written


def _header(written: str) -> str:
    if not _HEADER_NAME.fullmatch(written):
        raise ValueError("is no name of a header; write one as in Authorization")
    return written


def _sendable(secret: Secret) -> Secret:
    value = secret.reveal().strip(" \t")
    if not value or _UNSENDABLE.search(value):
        raise ValueError("cannot be sent in a header: it is blank or holds a line break or control character")
    return secret


class OrgDoor(Section):
    """How one org's hook comes in.

    Attributes:
        path: where it posts.
        header: the header that carries the secret; its name is compared without case.
        secrets: all of them are live, so that a rotation loses nothing. Compared whole, with the scheme if there is one.
            At least one, but for an org that has `api` and no hook: the door does not know it then.
        challenge_needs_secret: whether the verification GET must carry the secret too, as Okta's does.
    """

    path: Annotated[str, AfterValidator(_path)] = "/okta/events"
    header: Annotated[str, AfterValidator(_header)] = "Authorization"
    secrets: tuple[Annotated[Secret, AfterValidator(_sendable)], ...] = ()
    challenge_needs_secret: bool = True


def door_faults(orgs: Mapping[str, OrgDoor]) -> Iterator[str]:
    """What only all doors together show, one line each: path, what is wrong, hint. Never shows a secret."""
    owners: dict[tuple[str, str, str], str] = {}
    for name, org in orgs.items():
        for number, secret in enumerate(org.secrets):
            value = secret.reveal().strip(" \t")
            where = f"orgs.{name}.secrets[{number}]"
            owner = owners.setdefault((org.path.rstrip("/"), org.header.lower(), value), name)
            if owner != name:
                yield (
                    f"{where}: orgs.{owner} has the same path, header and secret, so nothing tells the two apart; "
                    "give each org its own secret"
                )


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
