"""Settings of the ops listener."""

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, IPvAnyNetwork, StringConstraints

from forwarder.config.hosts import Listen, check_host, split_http_url
from forwarder.config.types import Duration, Secret, Section
from forwarder.core.ip_networks import unmapped
from forwarder.http.settings import TlsSettings


def _validate_host_name(value: str) -> str:
    try:
        check_host(value)
    except ValueError:
        raise ValueError("must be a host name without scheme and port, as in siem.example.com") from None
    return value


_NOT_OF_A_PROXY = {
    *("authorization", "connection", "cookie", "expect", "forwarded", "host", "origin", "proxy-authorization", "referer"),
    *("transfer-encoding", "upgrade", "user-agent", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"),
}  # fmt: skip
"""The names of headers that `ops.proxy.header` must not have, because clients send these headers too, or because these
headers do not name the user."""


def _validate_header(name: str) -> str:
    lower = name.lower()
    if lower in _NOT_OF_A_PROXY or lower.startswith(("content-", "accept", "if-", "sec-")):
        raise ValueError(
            f"{name} does not name the user; write a header that only the proxy sets, as in X-Forwarded-User"
        )
    return name


def _validate_proxy(network: IPvAnyNetwork) -> IPvAnyNetwork:
    found = unmapped(network)
    if found.prefixlen == 0:
        raise ValueError(f"{network} contains every address; write only the addresses of the proxy")
    return found


def _validate_url(url: str) -> str:
    split_http_url(url, "`token`")
    return url


class ProxySettings(Section):
    """A proxy in front of the ops listener. It names the user of each request in a header.

    Attributes:
        header: the name of the header, as in X-Forwarded-User. The proxy must remove this header if a client sends it.
        from: addresses and networks of the proxy, as in [10.0.0.7, 192.0.2.0/28]; in a request from elsewhere, the
            header is ignored.
    """

    header: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$"),
        AfterValidator(_validate_header),
        Field(examples=["X-Forwarded-User"]),
    ]
    from_: Annotated[
        tuple[Annotated[IPvAnyNetwork, AfterValidator(_validate_proxy)], ...], Field(alias="from", min_length=1)
    ]

    def trusts(self, address: str) -> bool:
        """Return whether the IP address `address` is an address of the proxy."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self.from_)


class OpsSettings(Section):
    """The ops listener: health, metrics, status page.

    Attributes:
        listen: `host:port`. Health and metrics need no secret. The page shows events to people on this machine, and on
            other machines only to those who have `token`. Do not expose the listener to the internet.
        token: the secret that people on other machines need to read the page, and that everyone needs to change
            something on the page, for example to replay dead letters. Without `token`, only the users that `proxy`
            names can do these things.
        allowed_hosts: public host names by which the page and the metrics may be requested, as in `siem.example.com`,
            besides the host of `url`. IP addresses, names without a dot and names of private networks are always
            allowed; `/livez` and `/readyz` accept every name. This protects against DNS rebinding.
        url: the address by which people reach this listener, for the links in notifications: `https://fw.example.com`.
            Default: `listen`.
        proxy: a proxy in front of this listener that names the user of each request. These users may do everything that
            `token` allows, under their own names.
        tls: the certificate and the key with which the listener serves HTTPS. Probes and scrapers must then use https
            too. Without `tls`, let a proxy serve HTTPS, or let only this machine reach the listener.
        heartbeat: how often to write a document about the forwarder's own health into each `elasticsearch` sink, to
            `metrics-okta_forwarder.health-<namespace>`, as in `60s`. Off by default, because it needs a right and an
            index template of its own.
    """

    listen: Listen = Listen("127.0.0.1:9464")
    token: Secret | None = None
    allowed_hosts: tuple[Annotated[str, AfterValidator(_validate_host_name)], ...] = ()
    proxy: ProxySettings | None = None
    url: Annotated[str, AfterValidator(_validate_url)] | None = None
    tls: TlsSettings | None = None
    heartbeat: Duration | None = Field(default=None, ge=1)

    @property
    def host_names(self) -> tuple[str, ...]:
        """The configured host names by which the status page may be requested: `allowed_hosts`, and the host of
        `url`."""
        host = urlsplit(self.url or "").hostname
        return (*self.allowed_hosts, host) if host else self.allowed_hosts

    @property
    def scheme(self) -> str:
        """The scheme of the listener's URLs: `https` if the listener has a certificate, else `http`."""
        return "https" if self.tls else "http"
