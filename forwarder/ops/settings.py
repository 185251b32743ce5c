"""What an operator sets about the ops listener."""

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field, IPvAnyNetwork, StringConstraints

from forwarder.config.types import Duration, Listen, Secret, Section, split_http_url
from forwarder.http.settings import TlsSettings

_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def _validate_host_name(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("must be a host name without scheme and port, as in siem.example.com")
    return value


_NOT_OF_A_PROXY = {
    *("authorization", "connection", "cookie", "expect", "forwarded", "host", "origin", "proxy-authorization", "referer"),
    *("transfer-encoding", "upgrade", "user-agent", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"),
}  # fmt: skip
"""Headers that a client sends, or that say something else."""


def _validate_header(name: str) -> str:
    lower = name.lower()
    if lower in _NOT_OF_A_PROXY or lower.startswith(("content-", "accept", "if-", "sec-")):
        raise ValueError(
            f"{name} does not say who asks; name one that only the proxy sets, as in X-Forwarded-User"
        )
    return name


def _validate_proxy(network: IPvAnyNetwork) -> IPvAnyNetwork:
    if network.prefixlen == 0:
        raise ValueError(f"{network} is everybody; name the addresses of the proxy")
    return network


def _validate_url(url: str) -> str:
    split_http_url(url, "`token`")
    return url


class ProxySettings(Section):
    """A proxy before the ops listener that knows who asks, and says so in a header.

    Attributes:
        header: its name, as in X-Forwarded-User. The proxy must remove one that a client sends.
        from: addresses and networks of the proxy, as in [10.0.0.7, 192.0.2.0/28]; from elsewhere, the header counts for nothing.
    """

    header: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$"), AfterValidator(_validate_header)
    ]
    from_: Annotated[
        tuple[Annotated[IPvAnyNetwork, AfterValidator(_validate_proxy)], ...],
        Field(alias="from", min_length=1),
    ]

    def trusts(self, address: str) -> bool:
        """Whether a connection from `address` comes from the proxy."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self.from_)


class OpsSettings(Section):
    """The ops listener: health, metrics, status page.

    Attributes:
        listen: `host:port`. Health and metrics need no secret; the page shows events only to this machine, and
            elsewhere to who has `token`. Do not expose it to the internet.
        token: a secret, for the page from other machines and for its changes, such as the replay of dead letters.
            Without one, neither is possible.
        allowed_hosts: public names by which the page and the metrics may be requested, as in `siem.example.com`.
            Addresses, names without a dot and names of private networks always may; `/livez` and `/readyz`
            answer to every name. Against DNS rebinding.
        url: the address by which people reach this listener, for the links in notifications: `https://fw.example.com`.
            Default: `listen`.
        proxy: a proxy before this listener that says who asks: who comes by it may do what `token` allows, under that name.
        tls: serve HTTPS, the probes and the metrics too; all of them must then be requested by https. Without it, let a
            proxy do that, or only this machine reach the listener.
        heartbeat: how often to write a document about the forwarder's own health into each `elasticsearch` sink, to
            `metrics-okta_forwarder.health-<namespace>`: `60s`. Off by default, because it needs a right and
            an index template of its own.
    """

    listen: Listen = Listen("127.0.0.1:9464")
    token: Secret | None = None
    allowed_hosts: tuple[Annotated[str, AfterValidator(_validate_host_name)], ...] = ()
    proxy: ProxySettings | None = None
    url: Annotated[str, AfterValidator(_validate_url)] | None = None
    tls: TlsSettings | None = None
    heartbeat: Duration | None = Field(default=None, ge=1)

    @property
    def scheme(self) -> str:
        """The scheme of the listener's URLs: `https` if it has a certificate, else `http`."""
        return "https" if self.tls else "http"
