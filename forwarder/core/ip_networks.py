"""Converts IPv6 networks that stand for IPv4 networks."""

from ipaddress import IPv4Network, IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


def unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return the IPv4 network if `network` is one in IPv6 notation, such as `::ffff:192.0.2.0/120`; else return `network`.

    Addresses in this notation are converted to IPv4 before they are compared, so none would be in the IPv6 network.
    """
    if not isinstance(network, IPv6Network) or not network.subnet_of(_MAPPED):
        return network
    address = int(network.network_address) & 0xFFFFFFFF
    return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
