"""Finds certificates that have expired, that expire soon, or that clients of the listeners will refuse."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from forwarder import tls
from forwarder.config.hosts import Listen, is_loopback, is_public
from forwarder.settings import Settings
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.otlp.settings import OtlpSinkSettings

SOON = timedelta(days=14)
"""A certificate or a key that expires within this time should be renewed now."""


def _certificate_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield (key, file) of each certificate that the settings name: certificates of servers, clients and CAs."""
    yield from _own_certificates(settings)
    for name, sink in settings.sinks.items():
        if isinstance(sink, OtlpSinkSettings | ElasticsearchSinkSettings) and sink.ca_file:
            yield f"sinks.{name}.ca_file", sink.ca_file
    yield from settings.reactions.certificates()


def _own_certificates(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield (key, file) of each certificate that the forwarder shows to others."""
    yield from ((f"{path}.cert", served.cert) for path, served in settings.tls_listeners())
    for name, sink in settings.sinks.items():
        if isinstance(sink, OtlpSinkSettings) and sink.cert_file:
            yield f"sinks.{name}.cert_file", sink.cert_file


def certificates(settings: Settings) -> Iterator[tuple[str, Path, tls.Certificate]]:
    """Yield (key, file, certificate) for each readable certificate that the settings name."""
    for key, path in _certificate_files(settings):
        if certificate := tls.read(path, authorities=key.endswith("ca_file")):
            yield key, path, certificate


def expired_certificates(settings: Settings) -> Iterator[str]:
    """Yield a line with path, problem and hint for each certificate that is not valid now."""
    now = datetime.now(UTC)
    for key, path, (_, begin, end) in certificates(settings):
        if end <= now:
            yield f"{key}: the certificate in {path} has expired on {end:%Y-%m-%d}; renew it"
        elif begin > now:
            yield f"{key}: the certificate in {path} is not valid before {begin:%Y-%m-%d %H:%M} UTC; check the clock, or renew it"


def expiring_certificates(settings: Settings) -> Iterator[str]:
    """Yield a line with path, reason and hint for each certificate that expires soon."""
    now = datetime.now(UTC)
    for key, path, (_, _, end) in certificates(settings):
        if now < end < now + SOON:
            yield f"{key}: the certificate in {path} expires on {end:%Y-%m-%d %H:%M} UTC; renew it"


def refused_certificates(settings: Settings) -> Iterator[str]:
    """Yield a line with path, reason and hint for each certificate that is valid, but that clients probably refuse."""
    if settings.receiver.tls and (issuer := tls.missing_chain(settings.receiver.tls.cert)):
        yield (
            f"receiver.tls.cert: the file lacks the certificate of the issuer ({issuer}), so Okta refuses the "
            "connection unless the issuer is a root CA; append the intermediate certificates to the file"
        )
    for key, path in _own_certificates(settings):
        yield from (f"{key}: {problem}" for problem in tls.chain_problems(path, datetime.now(UTC)))
    for key, path, listen, place, url in _served_urls(settings):
        if not is_loopback(listen.host):
            yield from (f"{key}: the certificate in {path} {problem}" for problem in _refused(path, listen, place, url))


def _refused(path: Path, listen: Listen, place: str, url: str) -> Iterator[str]:
    """Yield why clients of `url`, the value of the setting `place`, refuse the certificate in `path`, and what to do.

    If a proxy stands in front of `listen`, clients see the proxy's certificate, and the one in `path` may have any name
    and issuer. A proxy is likely if `url` has another port than `listen`, or if all names in the certificate are private.
    """
    host, names = urlsplit(url).hostname or "", tls.names(path)
    is_direct = (urlsplit(url).port or 443) == listen.port
    if is_direct and place.endswith("hook.uri") and tls.is_self_signed(path):
        yield "is self-signed, so Okta refuses it; get one of a public authority, unless a proxy in front of this listener has one"
    covered = any(tls.covers(name, host) for name in names)
    if names and not covered and (is_direct or any(is_public(name) for name in names)):
        listed = ", ".join(names[:3]) + ", …" * (len(names) > 3)
        yield (
            f"is for {listed}, not for {host}, the host of {place}, so clients refuse it; get a certificate for {host}, "
            "unless a proxy in front of this listener has one"
        )


def _served_urls(settings: Settings) -> Iterator[tuple[str, Path, Listen, str, str]]:
    """Yield (key of the certificate, its file, address of the listener, key of the URL, URL) for each https URL by
    which clients may reach a listener with TLS."""
    receiver, ops = settings.receiver, settings.ops
    for name, org in settings.orgs.items():
        if receiver.tls and org.hook and org.hook.uri.startswith("https:"):
            yield "receiver.tls.cert", receiver.tls.cert, receiver.listen, f"orgs.{name}.hook.uri", org.hook.uri
    if ops.tls and ops.url and ops.url.startswith("https:"):
        yield "ops.tls.cert", ops.tls.cert, ops.listen, "ops.url", ops.url
