"""Decides by the header `Host` whether a request may see the page and the metrics.

This protects against DNS rebinding: an attacker makes the host name of their own web page resolve to this
listener, so that the page reads the listener through the browser of a person who may read it. The `Host` of
such a request is the attacker's name.
"""

import ipaddress
import socket
from collections.abc import Iterable

_PRIVATE = {"local", "localhost", "internal", "svc", "lan", "intranet", "arpa", "test"}
"""Last labels of host names that cannot be registered on the internet."""


class KnownHosts:
    """The hosts that a request may name: IP addresses, names that an attacker cannot own, and `names`."""

    def __init__(self, names: Iterable[str]) -> None:
        self.allow(names)

    def allow(self, names: Iterable[str]) -> None:
        """Replace the additional host names with `names`."""
        self._names = {_normalized(name) for name in (*names, socket.gethostname())}

    def __contains__(self, host: str) -> bool:
        name = _normalized(host)
        labels = name.split(".")
        return len(labels) == 1 or labels[-1] in _PRIVATE or name in self._names or _is_address(name)


def _normalized(host: str) -> str:
    """Return the name or address in the header `Host`, in lower case, without the port and a final dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
