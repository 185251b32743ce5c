"""Finds secrets that are weak, that clients cannot send reliably, or that other users of this machine can read."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from forwarder.config.types import Secret
from forwarder.okta.settings import org_origin
from forwarder.placeholder_check import is_placeholder
from forwarder.settings import Settings
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

_SHORTEST_SECRET = 20
"""The minimum number of characters of a secret. At least half this number must be different characters."""

_WEAK = "is so short or simple that it can be guessed; make one with: openssl rand -base64 32"

_UNSENDABLE = (
    "has a character that is not printable ASCII, which clients and proxies send in different ways in a header; make one "
    "with: openssl rand -base64 32"
)


def chosen_secret_warnings(settings: Settings) -> Iterator[str]:
    """Yield a line with path, problem and hint for each secret that an operator has chosen badly."""
    for path, secret, is_sent in _chosen(settings):
        if is_placeholder(secret):
            continue  # another check says so
        if _is_weak(secret):
            yield f"{path}: {_WEAK}"
        elif is_sent and not re.fullmatch(r"[\t -~]+", secret.reveal()):
            yield f"{path}: {_UNSENDABLE}"
    yield from _repeated(settings)
    for path, secret in _with_exact_blanks(settings):
        if secret.reveal() != secret.reveal().strip():
            yield f"{path}: begins or ends with a blank, which is a part of it; remove the blank, unless it is meant"


def _repeated(settings: Settings) -> Iterator[str]:
    """Yield a line for each secret or token that was probably copied from the place of another one."""
    tokens: dict[Secret, str] = {}
    for name, org in settings.orgs.items():
        for number, secret in enumerate(org.secrets):
            first = org.secrets.index(secret)
            if first < number and org.secrets[first].source == secret.source:  # two sources: between two rotations
                yield f"orgs.{name}.secrets[{number}]: is the same secret as orgs.{name}.secrets[{first}]; remove one of the two"
        if not org.url or not org.api or not org.api.token:
            continue
        first_org = tokens.setdefault(org.api.token, name)
        if org_origin(org.url) != org_origin(settings.orgs[first_org].url or org.url):
            yield (
                f"orgs.{name}.api.token: is the token of orgs.{first_org} too, and a token works in one org only; create "
                "one in each org"
            )


def _with_exact_blanks(settings: Settings) -> Iterator[tuple[str, Secret]]:
    """Yield (path, secret) for each secret in which leading and trailing blanks count."""
    for name, sink in settings.sinks.items():
        if isinstance(sink, ElasticsearchSinkSettings) and sink.basic_auth:
            yield f"sinks.{name}.basic_auth.password", sink.basic_auth.password
    for name, webhook in settings.reactions.webhooks.items():
        yield f"reactions.webhooks.{name}.secret", webhook.secret


def _chosen(settings: Settings) -> Iterator[tuple[str, Secret, bool]]:
    """Yield (path, secret, whether it is sent in a header) for each secret that an operator chooses."""
    for name, org in settings.orgs.items():
        for number, secret in enumerate(org.secrets):
            yield f"orgs.{name}.secrets[{number}]", secret, True
    for name, webhook in settings.reactions.webhooks.items():
        yield f"reactions.webhooks.{name}.secret", webhook.secret, False
    if settings.ops.token:
        yield "ops.token", settings.ops.token, True


def readable_secrets(settings: Settings) -> Iterator[str]:
    """Yield a line with path, problem and hint for each file of a secret or a key that every user can read."""
    readable = {secret.file for secret in settings.secrets() if secret.file and _is_readable_by_all(secret.file)}
    readable |= {served.key for _, served in settings.tls_listeners() if _is_readable_by_all(served.key)}
    for file in sorted(readable):
        yield f"{file}: every user of this machine can read this secret; run: chmod 600 {file}"


def _is_weak(secret: Secret) -> bool:
    value = secret.reveal().strip()
    return len(value) < _SHORTEST_SECRET or len(set(value)) < _SHORTEST_SECRET // 2


def _is_readable_by_all(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
