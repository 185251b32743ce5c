"""What an operator sets about the door, and the faults that only all orgs together can have."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from forwarder.config_types import Duration, Listen, Secret, Section, Size
from forwarder.http.settings import ListenerLimits, TlsSettings

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token, as RFC 9110 has it
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


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


class HookEndpointSettings(Section):
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


def validate_endpoints(orgs: Mapping[str, HookEndpointSettings]) -> Iterator[str]:
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
