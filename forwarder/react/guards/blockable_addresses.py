"""Decides whether an address may be blocked. Only a single public IP address may be blocked, and no protected
address."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from forwarder.react.settings.guards import Network

_CARRIERS = tuple(
    IPv6Network(text)
    for text in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64: one network for all of IPv4
        "64:ff9b:1::/48",
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    )
)
"""IPv6 networks whose addresses stand for IPv4 addresses. Which IPv4 address is meant depends on the network that
translates them."""


def why_not_blocked(text: str, protected: Iterable[Network], own: Iterable[Network]) -> str:
    """Return a text for an operator that says why the address `text` must not be blocked; empty if the address may be
    blocked."""
    try:
        address = ip_address(text)
    except ValueError:
        return f"{text!r} is not a single IP address"
    if not _is_public(address):
        return f"{text} is not a public address, so blocking it could block users who have nothing to do with the alert"
    if any(address in network for network in protected):
        return f"{text} is in reactions.protect.ips"
    if any(address in network for network in own):
        return f"{text} is an address of the forwarder itself"
    return ""


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (address.scope_id or any(address in network for network in _CARRIERS)):
        return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not special
