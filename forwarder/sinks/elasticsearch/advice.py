"""Builds the error text about a host that gave no response: its address, the cause, and what to do."""

import socket
import ssl

import httpx

from forwarder.connection_errors import error_chain

_OTHER_NAMES = {
    62,
    64,
}  # OpenSSL's codes for: the certificate is for another host name, or for another address
_OUTDATED = {9, 10}  # OpenSSL's codes for: the certificate is not valid yet, or is not valid any more


def unreachable(url: str, error: BaseException) -> str:
    """Return the text for an operator about the `error` that a request to the host at `url` raised."""
    return f"{url}: {_reason(url, list(error_chain(error)))}"


def _reason(url: str, causes: list[BaseException]) -> str:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"{_certificate(cause.verify_code)} (certificate verify failed: {cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or cause}); if this port speaks plain HTTP, write `http://` in `hosts`"
        if isinstance(cause, socket.gaierror):
            return f"the host name cannot be resolved ({cause.strerror}); check `hosts`"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there (connection refused); check `hosts`, and that Elasticsearch runs"
        if isinstance(cause, httpx.RemoteProtocolError) and url.startswith("http:"):
            return f"{cause}; if this port expects TLS, write `https://` in `hosts`"
    texts = [text for cause in causes if (text := str(cause))]
    return f"no response ({texts[-1] if texts else type(causes[0]).__name__}); check `hosts`, and that Elasticsearch runs"


def _certificate(code: int) -> str:
    if code in _OTHER_NAMES:
        return "its certificate is for another host name; in `hosts`, write a name that is in the certificate"
    if code in _OUTDATED:
        return "its certificate is not valid now; renew it, or correct the clock of this machine"
    return "its certificate is not from a CA that is trusted; set `ca_file` to the PEM file of its CA"
