"""Sends the HTTP requests of checks, explains why a request got no response, and checks when certificates expire."""

import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import import_module

import msgspec

from forwarder.certificate_check import SOON
from forwarder.connection_errors import INSPECTED, http_client, why_unreachable
from forwarder.doctor.check import Finding, fail, ok, warn
from forwarder.response_bodies import read_start
from forwarder.threads import in_daemon_thread

_LIMIT = 64 * 1024
"""The default limit for a response body, in bytes. The rest of a longer body is not read."""


class ProbeResponse(msgspec.Struct, frozen=True):
    """An HTTP response with any status.

    `certificate_end` is the time when the server's certificate expires. It is None if the request did not use TLS, or
    did not verify the certificate.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    certificate_end: datetime | None


async def request(  # noqa: PLR0913  # as in HTTP
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float,
    verify: bool = True,
    limit: int = _LIMIT,
) -> ProbeResponse:
    """Send one request, and return the response. Redirects are not followed.

    If environment variables such as HTTPS_PROXY name a proxy, the request goes through that proxy. At most about
    `limit` bytes of the body are read.

    Raises:
        httpx.HTTPError, OSError: there was no response. The function `explain` turns the error into a finding.
    """
    context = _context(verify=verify) if url.startswith("https:") else False
    encoded = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    async with (
        http_client(verify=context, timeout=timeout) as client,
        client.stream(method, url, headers=encoded, content=body) as response,
    ):
        tls = response.extensions["network_stream"].get_extra_info("ssl_object")
        content = await read_start(response, limit)
    end = _parse_end(tls.getpeercert().get("notAfter")) if tls is not None else None
    return ProbeResponse(response.status_code, response.headers, content, end)


@cache
def _context(*, verify: bool) -> ssl.SSLContext:
    """Return a TLS context for requests. It verifies certificates if `verify` is True.

    Each of the two contexts (with and without verification) is made only once, because reading the CA certificates
    takes 0.1 s.
    """
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _parse_end(text: str | None) -> datetime | None:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC) if text else None


async def certificate_end(host: str, port: int) -> datetime | None:
    """Return when the certificate of a TLS server expires; None if the server sends no certificate.

    The certificate is not verified, so it may be from an unknown CA.

    Raises:
        OSError: no TLS connection could be made.
    """

    def read_certificate() -> bytes | None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((host, port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            return tls.getpeercert(binary_form=True)

    der = await in_daemon_thread(read_certificate, "certificate")
    if not der:
        return None
    end: datetime = import_module("cryptography.x509").load_der_x509_certificate(der).not_valid_after_utc
    return end


def judge_expiry(end: datetime | None, what: str, fix: str) -> Finding:
    """Return a finding that says whether `what`, such as a certificate or a key, has expired or expires soon.

    `end` is the time when it expires, or None if that time is unknown. `fix` says how to renew it.
    """
    now = datetime.now(UTC)
    if end is None:
        return ok(f"{what} has no known expiry date")
    if end <= now:
        return fail(f"{what} expired on {end:%Y-%m-%d}", fix)
    if end < now + SOON:
        return warn(f"{what} expires on {end:%Y-%m-%d %H:%M} UTC", fix)
    return ok(f"{what} is valid until {end:%Y-%m-%d}")


def explain(url: str, error: BaseException, key: str, untrusted: str = INSPECTED) -> Finding:
    """Return a finding that says why a request to `url` got no response.

    `key` is the key of the configuration that contains `url`. `untrusted` is the hint that the operator gets if the
    certificate is from an unknown CA.
    """
    seen, fix = why_unreachable(error, key, untrusted)
    return fail(f"{url}: {seen}", fix)
