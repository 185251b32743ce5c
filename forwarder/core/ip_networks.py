"""Converts IPv4 networks in IPv6 notation to IPv4."""

from ipaddress import IPv4Network, IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


def unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return `network` as an IPv4 network if it is one in IPv6 notation, such as `::ffff:192.0.2.0/120`. Return any
    other network unchanged.

    The forwarder converts an IPv4 address in IPv6 notation to IPv4 before it compares the address with networks. So an
    unconverted network in IPv6 notation would contain no address.
    """
    if not isinstance(network, IPv6Network) or not network.subnet_of(_MAPPED):
        return network
    address = int(network.network_address) & 0xFFFFFFFF
    return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
