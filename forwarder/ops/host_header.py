"""Decides by the header `Host` whether the listener serves a request.

This protects against DNS rebinding. In this attack, an attacker lets the host name of their own web page resolve to
the address of this listener. The page, in the browser of a person who may read the status page, can then read
the status page too. The header `Host` of such a request contains the attacker's host name.
"""

import ipaddress
import socket
from collections.abc import Iterable

_PRIVATE = {"local", "localhost", "internal", "svc", "lan", "intranet", "arpa", "test"}
"""Last labels of host names that cannot be registered on the internet."""


class KnownHosts:
    """The host names that a request may have in `Host`.

    These are all IP addresses, all names that an attacker cannot own, the name of this machine, and the names in
    the setting `ops.allowed_hosts`.
    """

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
    """Return the name or address in `host`, a value of the header `Host`: lower case, no port, no final dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
