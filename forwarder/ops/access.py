"""Decides which requests the ops listener serves: checks the header `Host`, and the rights of the sender.

`KnownHosts` checks the header `Host` of each request, as a protection against DNS rebinding. In this attack, the host
name of the attacker's web page resolves to the address of this listener. If a person who may read the status page opens
the attacker's page, the attacker's page could read the status page. Its requests are recognized by their header `Host`,
which has the attacker's host name.

`Access` decides about requests to the API:

    read     allowed to a person on this machine, and to a person who has `ops.token`
    change   allowed to a person who has `ops.token`

Clients send the token as `Authorization: Bearer …`, never as a cookie, so that a page of another site cannot send a
request with the person's token. If the settings have `ops.proxy`, this proxy names the user of each request in a
header, and the named user has both rights.

A person counts as on this machine if all three conditions hold: the connection comes from this machine, no header says
that a proxy forwarded the request, and the request is for `localhost` or a loopback address. The last condition is
stricter than `KnownHosts`, which also allows other IP addresses and names of private networks.
"""

import hmac
import ipaddress
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from forwarder import logs
from forwarder.clock import SystemClock
from forwarder.core.printable import printable_line
from forwarder.logs import RateLimitedLogger
from forwarder.ops.settings import OpsSettings

Scope = Any

_FORWARDED = {b"forwarded", b"via", b"x-real-ip"}
_LONGEST_NAME = 200
_NO_TOKEN = (
    "the configuration has no token; set `ops.token`, or use the `forwarder` commands on the forwarder's machine"  # noqa: S105
)
_READ = (
    "reading needs the token in `ops.token`; without a token, the page can be read only on the forwarder's own machine"
)
_CHANGE = "a change needs the token in `ops.token`"

_PRIVATE = {"local", "localhost", "internal", "svc", "lan", "intranet", "arpa", "test"}
"""The last labels of host names that cannot be registered on the internet."""


class KnownHosts:
    """The host names that a request may have in `Host`.

    These are all IP addresses, all names that an attacker cannot own, the name of this machine, and the names in the
    setting `ops.allowed_hosts`.
    """

    def __init__(self, settings: Callable[[], OpsSettings]) -> None:
        """Use the settings that `settings` returns for each request, because a reload may change the settings."""
        self._settings = settings

    def __contains__(self, host: str) -> bool:
        name = _normalized(host)
        labels = name.split(".")
        if len(labels) == 1 or labels[-1] in _PRIVATE or _is_address(name):
            return True
        return name in map(_normalized, (*self._settings().host_names, socket.gethostname()))


class Refusal(NamedTuple):
    """The answer to a request that is refused: an HTTP status, and a text for the person who sent the request."""

    status: int
    text: str


class Access:
    """Decides which requests may read or change something."""

    def __init__(self, settings: Callable[[], OpsSettings]) -> None:
        """Use the settings that `settings` returns for each request, because a reload may change the settings."""
        self._settings = settings
        self._logger = RateLimitedLogger(logs.get("ops"), SystemClock())

    def refusal(self, scope: Scope) -> Refusal | None:
        """Return the refusal of a request to the API; None if the request may be served."""
        if scope["method"] in ("GET", "HEAD"):
            return None if _is_local(scope) else self._token_refusal(scope, _READ)
        return _cross_site(scope) or self._token_refusal(scope, _CHANGE) or _not_json(scope)

    def person(self, scope: Scope) -> str:
        """Return the name of the person who sent a request that is allowed to change something.

        This is the name of the user in the proxy's header, or the text `ops.token` if no proxy names a user.
        """
        return self._proxy_user(scope) or "ops.token"

    def _proxy_user(self, scope: Scope) -> str:
        """Return the name of the user in the header of a trusted proxy; the empty string if no trusted proxy names a
        user."""
        proxy, client = self._settings().proxy, scope.get("client")
        if proxy is None or not client or not proxy.trusts(client[0]):
            return ""
        values = [value for name, value in scope["headers"] if name == proxy.header.lower().encode()]
        name = values[0].decode("utf-8", "replace").strip() if len(values) == 1 else ""
        return printable_line(name)[:_LONGEST_NAME]

    def rights(self, scope: Scope) -> dict[str, bool]:
        """Return whether the sender of the request may read, whether the sender may change something, and whether the
        settings have a token."""
        has_token = self._token_refusal(scope, "", log=False) is None
        return {
            "may_read": has_token or _is_local(scope),
            "may_change": has_token,
            "token_configured": self._settings().token is not None,
        }

    def _token_refusal(self, scope: Scope, need: str, *, log: bool = True) -> Refusal | None:
        if self._proxy_user(scope):
            return None
        token = self._settings().token
        scheme, _, given = _header(scope, b"authorization").partition(b" ")
        if token is None:
            return Refusal(401, f"{need}: {_NO_TOKEN}")
        if scheme.lower() == b"bearer" and given:
            if hmac.compare_digest(given.strip(), token.reveal().encode().strip()):
                return None
            if log:
                client = scope.get("client")
                self._logger.warning(
                    "a request with a wrong token was refused",
                    action="ops_token_refused",
                    client=client[0] if client else "",
                    hint="compare the token that the client sends with ops.token",
                )
            return Refusal(401, "the token is wrong")
        return Refusal(401, need)


def _normalized(host: str) -> str:
    """Return the host name or IP address in `host`, a value of the header `Host`, in lower case, without the port and
    without a final dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_local(scope: Scope) -> bool:
    client = scope.get("client")
    names = {name for name, _ in scope["headers"]}
    forwarded = names & _FORWARDED or any(name.startswith(b"x-forwarded-") for name in names)
    host = _header(scope, b"host").decode("latin-1").lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return bool(client) and not forwarded and _is_loopback(client[0]) and _is_loopback(name)


def _is_loopback(name: str) -> bool:
    if name.rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _cross_site(scope: Scope) -> Refusal | None:
    """Return the refusal of a request that a page of another site sent; None for every other request.

    The function checks two headers, because browsers send `Sec-Fetch-Site` only over TLS or to their own machine.
    Browsers always send `Origin`.
    """
    site = _header(scope, b"sec-fetch-site")
    origin = _header(scope, b"origin")
    hosts = {_header(scope, b"host"), _header(scope, b"x-forwarded-host")}
    if site not in (b"", b"same-origin") or (origin and origin.partition(b"://")[2] not in hosts - {b""}):
        return Refusal(
            403,
            "a change must be requested by the status page itself, not by another site; if a proxy is in front, let it "
            "pass on `Host`, or set `X-Forwarded-Host`",
        )
    return None


def _not_json(scope: Scope) -> Refusal | None:
    if _header(scope, b"content-type").partition(b";")[0].strip().lower() != b"application/json":
        return Refusal(
            415, "the body must have the content type application/json; set this header and send the request again"
        )
    return None


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name == wanted), b"")
