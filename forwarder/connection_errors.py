"""Says why a server gave no response, and what to do. Also makes HTTP clients that can handle an unusable proxy."""

import socket
import ssl
from collections.abc import Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from forwarder.interim_responses import limit_interim_responses

_OTHER_NAMES = {62, 64}  # OpenSSL: the certificate is for another host name, or for another address
_OUTDATED = {9, 10}  # OpenSSL: not valid yet, or no longer

NO_COOKIES = DefaultCookiePolicy(allowed_domains=())
"""The policy of a cookie jar that keeps no cookie. Otherwise a server could fill the memory of a process that runs for
months, because a client sends and keeps all cookies that it gets."""

CA_FILE = "set `ca_file` to the PEM file of its CA"
INSPECTED = "if a proxy on the way inspects TLS, set SSL_CERT_FILE to the PEM file of its CA"


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error`, its cause, the cause of the cause, and so on.

    HTTP clients wrap the errors of the system, so the last item is the original error.
    """
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


class _UnusableProxy(httpx.AsyncBaseTransport):
    """A transport that fails every request. It is used if the configured proxy is unusable."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(
            "the proxy that the environment names cannot be used; check `https_proxy` and `all_proxy`", request=request
        )


def http_client(**options: Any) -> httpx.AsyncClient:
    """Return an HTTP client with the `options` of httpx. It uses the proxy that environment variables name, limits
    interim responses, keeps no cookies, and asks for bodies without compression.

    If the proxy is unusable (for example a SOCKS proxy, or a malformed address), each request raises
    httpx.ConnectError. httpx itself would raise one of four other errors when the client is made, and the error would
    end the process.
    """
    options = {"headers": {"accept-encoding": "identity"}, "cookies": CookieJar(NO_COOKIES), **options}
    try:
        return limit_interim_responses(httpx.AsyncClient(**options))
    except (ImportError, ValueError, httpx.InvalidURL):
        return httpx.AsyncClient(**{**options, "trust_env": False, "transport": _UnusableProxy()})


def why_unreachable(error: BaseException, key: str, untrusted: str = INSPECTED) -> tuple[str, str]:
    """Return (why a request got no response, a hint that says what to do).

    `key` is the key of the configuration that contains the address of the server. `untrusted` is the hint if the
    certificate is from an unknown CA.
    """
    causes = list(error_chain(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause, key, untrusted)
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or cause})", f"check the scheme and the port in {key}"
        if isinstance(cause, socket.gaierror):
            return (f"the host name cannot be resolved ({cause.strerror})", f"check {key}, and this machine's DNS")
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there (connection refused)", f"check {key}, and that the server runs"
        if isinstance(cause, httpx.TimeoutException | TimeoutError):
            return "no response in time", f"check {key}, and the firewalls on the way"
    texts = [text for cause in causes if (text := str(cause))]
    return f"no response ({texts[-1] if texts else type(causes[0]).__name__})", f"check {key}"


def no_connection(seconds: float, key: str) -> str:
    """Return the error text for a server that did not accept a connection within `seconds`, and what to do. `key` is
    the key of the configuration that contains the address of the server."""
    return f"no connection within {seconds:g} s; check {key}, and the firewalls on the way"


def refusal_hint(status: int, server: str, key: str, *, is_own: bool = False) -> str:
    """Return what to do after a refusal with the HTTP `status`, if the response itself does not say it.

    `server` is the name of the server that should answer, and `key` is the setting or option with its address.
    `is_own` says whether the response has the form of an error of this server. Then the hint is empty if only the text
    of the error can say what to do.
    """
    if 300 <= status < 400:
        return f"the response redirects to another address: set {key} to the address of {server} itself"
    if status in {408, 425, 429}:
        return f"{server} is busy: wait some minutes, then try again"
    if status in {409, 412}:
        return f"another command may have changed {server} at the same time: try again"
    if 500 <= status < 600:
        return f"{server}, or a proxy before it, has a problem: look at its log or status page, then try again"
    if is_own:
        return ""
    return f"check {key}: a proxy or another server may answer in place of {server}"


def _certificate(error: ssl.SSLCertVerificationError, key: str, untrusted: str) -> tuple[str, str]:
    said = f"(certificate verify failed: {error.verify_message})"
    if error.verify_code in _OTHER_NAMES:
        return (
            f"its certificate is for another host name {said}",
            f"in {key}, write a name that is in the certificate",
        )
    if error.verify_code in _OUTDATED:
        return (f"its certificate is not valid now {said}", "renew the certificate, or correct this machine's clock")
    return f"its certificate is not from a CA that this machine trusts {said}", untrusted
