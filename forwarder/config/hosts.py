"""Host names, URLs and the addresses of listeners, as an operator writes them."""

import re
import unicodedata
from ipaddress import ip_address
from typing import Any, ClassVar, Self
from urllib.parse import SplitResult, urlsplit

from forwarder.config.error_texts import shown
from forwarder.config.types import ParsedText

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def check_host(host: str) -> None:
    """Check that `host` is an IP address (IPv6 without brackets) or can be a host name. The name is not looked up.

    Raises:
        ValueError: `host` is neither. The message does not show `host`, which may contain a password if a URL was
            written wrongly.
    """
    if ":" in host or re.fullmatch(r"[0-9.]+", host):
        try:
            ip_address(host)
        except ValueError:
            raise ValueError("the IP address is invalid; write one such as 192.0.2.7 or [::1]") from None
        return
    if host.endswith(".") and not host.endswith(".."):
        raise ValueError("the host name ends with a dot, which no certificate has; remove the dot")
    try:
        name = host.encode("ascii" if host.isascii() else "idna").decode()
    except UnicodeError:
        name = ""
    # A text processor makes a dash of `-`; some blanks are invisible.
    if any(not char.isascii() and unicodedata.category(char)[0] not in "LMN" for char in host):
        name = ""
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(
            "the host name is invalid; its parts may have at most 63 letters, digits and `-`, with single dots "
            "between the parts, and no wildcards or variables"
        )


def split_url(url: str) -> SplitResult:
    """Split a URL, and check its host and port, if it has them.

    Raises:
        ValueError: `url` is not a URL. The message does not show `url`, which may contain a password.
    """
    try:
        parts = urlsplit(url)
        is_url = parts.port != 0 and not parts.netloc.endswith(":")
    except ValueError:
        is_url = False
    if not is_url:
        raise ValueError("is not a URL; write one like https://host.example:8443")
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise ValueError("the URL has a blank, a control character or a backslash; remove this character")
    if parts.hostname:
        check_host(parts.hostname)
    return parts


def split_http_url(url: str, credentials: str) -> SplitResult:
    """Split the http or https URL of a server, and check its parts.

    `credentials` says where credentials belong, for the text of the error.

    Raises:
        ValueError: `url` is not the URL of a server; or it has a query, a fragment, or credentials, which logs would
            show. The message does not show `url`.
    """
    parts = split_url(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"must not contain credentials: URLs are logged; use {credentials} instead")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.startswith("//"):
        raise ValueError("is not a URL of a server; write one like https://host.example:8443")
    if "?" in url or "#" in url:
        raise ValueError("the URL may have only a scheme, a host, a port and a path; remove all other parts")
    return parts


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost` or a loopback address."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


_NOT_PUBLIC = (
    "corp",
    "home",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "svc",
    "test",
)
"""The last labels of host names that exist only in private networks."""


def is_public(host: str) -> bool:
    """Whether `host` is a global IP address, or a name that may exist on the internet. The name is not looked up."""
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and host.lower().rpartition(".")[2] not in _NOT_PUBLIC


def _addresses(host: str) -> set[str]:
    if host.lower() == "localhost":
        return {"127.0.0.1", "::1"}
    try:
        return {str(ip_address(host))}
    except ValueError:
        return {host.lower()}


class Listen(ParsedText):
    """The address of a listener: `host:port`, or `[address]:port` for IPv6."""

    __slots__ = ()
    form: ClassVar = {"pattern": "^.+:[0-9]{1,5}$", "examples": ["127.0.0.1:8080"]}

    @property
    def host(self) -> str:
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.rpartition(":")[2])

    def overlaps(self, other: "Listen") -> bool:
        """Whether two listeners cannot use this address and `other` at once, because the ports are equal and a host is
        common.

        0.0.0.0 and [::] have every host in common. Port 0 stands for any free port, so it never overlaps.
        """
        if not self.port or self.port != other.port:
            return False
        own, others = _addresses(self.host), _addresses(other.host)
        return not own.isdisjoint(others) or not (own | others).isdisjoint({"0.0.0.0", "::"})  # noqa: S104

    @classmethod
    def read(cls, value: Any) -> Self:
        """Parse the address of a listener.

        Raises:
            ValueError: `value` is not an address.
        """
        host, _, port = str(value).rpartition(":")
        is_bracketed = host.startswith("[") and host.endswith("]")
        try:
            check_host(host[1:-1] if is_bracketed else host)
            is_host = is_bracketed == (":" in host)
        except ValueError:
            is_host = False
        if not is_host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            raise ValueError(f"{shown(value)} is not an address; write host:port, as in 127.0.0.1:8080")
        return cls(value)
