"""IP networks in the form in which addresses are compared with them."""

from ipaddress import IPv4Network, IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


def unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return the IPv4 network that is written as an IPv6 network, such as `::ffff:192.0.2.0/120`; any other network
    unchanged.

    An address in this form becomes an IPv4 address before it is compared, so it would never be in the IPv6 network.
    """
    if not isinstance(network, IPv6Network) or not network.subnet_of(_MAPPED):
        return network
    address = int(network.network_address) & 0xFFFFFFFF
    return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
