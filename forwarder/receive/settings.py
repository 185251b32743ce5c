"""Settings of the receiver, and the check of the orgs' secrets: whether orgs share one, and whether one is too long."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from forwarder.config.hosts import Listen
from forwarder.config.types import Duration, Secret, Section, Size
from forwarder.http.settings import HEADER_NAME, HTTP_HEADERS, MAX_URL, ListenerLimits, TlsSettings

_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*")
_NOT_IN_A_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class ReceiverSettings(ListenerLimits):
    """Settings of the listener that Okta posts to.

    Attributes:
        listen: host and port on which the receiver listens.
        max_body: the largest body of a POST, both as sent and after inflating. A larger body is answered 413. The
            default is generous, because Okta never retries after a 4xx.
        commit_timeout: how long the store may take to commit the events of a POST. After that, the answer is 503. Keep
            this time below Okta's own timeout of 3 s, so that Okta gets the answer.
        tls: the certificate for HTTPS. Without a certificate, a proxy in front of the forwarder must serve HTTPS.
    """

    listen: Listen = Listen("127.0.0.1:8080")
    max_body: Size = Field(default="10MiB", validate_default=True, ge=1024)
    commit_timeout: Duration = Field(default="2s", validate_default=True, gt=0)
    tls: TlsSettings | None = None


def _validate_path(value: str) -> str:
    if not _PATH.fullmatch(value) or {".", ".."}.intersection(value.split("/")):
        raise ValueError(
            "must begin with `/`, and may contain only characters that a URL allows in its path, as in /okta/events"
        )
    if "*" in value:
        raise ValueError("must not contain `*`: a path has no wildcards; write one path, as in /okta/events")
    if len(value) > MAX_URL:
        raise ValueError(f"is longer than {MAX_URL} characters, the most that a request may have; shorten it")
    return value


_TAKEN_HEADERS = {
    *HTTP_HEADERS,
    "accept",
    "cookie",
    "date",
    "forwarded",
    "set-cookie",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-okta-verification-challenge",
}


def _validate_header(value: str) -> str:
    if not HEADER_NAME.fullmatch(value):
        raise ValueError("is not the name of a header; write a name such as Authorization")
    if value.lower() in _TAKEN_HEADERS:
        raise ValueError(
            "this header has another meaning in HTTP, so it cannot carry the secret; write Authorization or X-Okta-Hook"
        )
    return value


def _validate_secret(secret: Secret) -> Secret:
    value = secret.reveal().strip(" \t")
    if not value or _NOT_IN_A_HEADER.search(value):
        raise ValueError(
            "cannot be sent in a header: it is blank, or contains a line break or another control character"
        )
    return secret


class HookEndpointSettings(Section):
    """How one org's hook posts to the receiver.

    Attributes:
        path: the URL path to which the hook posts.
        header: the name of the header that carries the secret. Upper and lower case do not matter.
        secrets: the values that the header may have. All of them are valid at the same time, so that a rotation loses
            no event. Each value is compared as a whole, including its scheme (such as Bearer) if it has a scheme.
            Required, unless the forwarder only polls the org (with `api`, without a hook).
        challenge_needs_secret: whether the verification GET must carry the secret too. Okta's verification GET carries
            it.
    """

    path: Annotated[str, AfterValidator(_validate_path)] = "/okta/events"
    header: Annotated[str, AfterValidator(_validate_header)] = "Authorization"
    secrets: tuple[Annotated[Secret, AfterValidator(_validate_secret)], ...] = ()
    challenge_needs_secret: bool = True

    @model_validator(mode="after")
    def _values_without_the_name(self) -> Self:
        for secret in self.secrets:
            if secret.reveal().lower().startswith(f"{self.header.lower()}:"):
                raise ValueError(
                    "`secrets` has an item that repeats the name of the header; write only the value of the header, "
                    "such as `Bearer …`"
                )
        return self


def validate_endpoints(orgs: Mapping[str, HookEndpointSettings], receiver: ReceiverSettings) -> Iterator[str]:
    """Yield one line of text for each secret that two orgs share, and for each secret that is too long for
    `max_header_bytes` of `receiver`. The line contains the path in the configuration, the problem and a hint, but not
    the secret."""
    owners: dict[tuple[str, str, str], str] = {}
    for name, org in orgs.items():
        for number, secret in enumerate(org.secrets):
            value = secret.reveal().strip(" \t")
            if len(org.path) + len(org.header) + len(value) >= receiver.max_header_bytes:
                problem = "a request with this secret is larger than receiver.max_header_bytes"
                yield f"orgs.{name}.secrets[{number}]: {problem}; make a shorter one: openssl rand -base64 32"
            owner = owners.setdefault((org.path.rstrip("/"), org.header.lower(), value), name)
            if owner != name:
                problem = f"orgs.{owner} has the same path, header and secret, so their requests look the same"
                yield f"orgs.{name}.secrets[{number}]: {problem}; give each org its own secret"
