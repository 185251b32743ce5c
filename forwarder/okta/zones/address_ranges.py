"""The IP addresses that network zones list, as ranges.

A single address, a CIDR block and a range become the same type, so that two spellings of the same addresses are equal.
"""

import ipaddress
from collections.abc import Iterable

import msgspec

_BITS = {4: 32, 6: 128}
_MAPPED = 0xFFFF  # the first 96 bits of an IPv4-mapped IPv6 address
_LAST_32_BITS = 2**32 - 1


class AddressRange(msgspec.Struct, frozen=True, order=True):
    """All addresses of one IP version from `first` to `last`, as numbers."""

    version: int
    first: int
    last: int

    @property
    def text(self) -> str:
        """The shortest spelling: an address, a CIDR block, or `first-last`."""
        first, last = self.ends
        if first == last:
            return first
        size = self.last - self.first + 1
        if size & (size - 1) == 0 and self.first % size == 0:
            return f"{first}/{_BITS[self.version] - size.bit_length() + 1}"
        return f"{first}-{last}"

    @property
    def is_all(self) -> bool:
        """Whether the range contains all addresses of its IP version."""
        return self.first == 0 and self.last == 2 ** _BITS[self.version] - 1

    @property
    def ends(self) -> tuple[str, str]:
        """The first and the last address."""
        make = ipaddress.IPv4Address if self.version == 4 else ipaddress.IPv6Address
        return str(make(self.first)), str(make(self.last))

    def overlaps(self, other: "AddressRange") -> bool:
        return self.version == other.version and self.first <= other.last and other.first <= self.last


def parse_range(written: str) -> AddressRange:
    """Read an address, a CIDR block, or a range `first-last`. The address of a CIDR block may have host bits.

    IPv4 addresses that are written as IPv6 addresses, such as `::ffff:192.0.2.1`, become IPv4 addresses. Otherwise, the
    two spellings of one address would not overlap.

    Raises:
        ValueError: `written` has none of these forms.
    """
    found = _parse(written)
    if found.version == 6 and found.first >> 32 == found.last >> 32 == _MAPPED:
        return AddressRange(4, found.first & _LAST_32_BITS, found.last & _LAST_32_BITS)
    return found


def _parse(written: str) -> AddressRange:
    text = written.strip()
    if "/" in text:
        network = ipaddress.ip_network(text, strict=False)
        return AddressRange(network.version, int(network.network_address), int(network.broadcast_address))
    first, _, last = (part.strip() for part in text.partition("-"))
    low, high = ipaddress.ip_address(first), ipaddress.ip_address(last or first)
    if low.version != high.version or int(low) > int(high):
        raise ValueError(f"{written!r} must be a range from a lower to a higher address of the same IP version")
    if "%" in text:
        raise ValueError(f"{written!r} has an IPv6 zone, the part from % on, which Okta does not accept; remove it")
    return AddressRange(low.version, int(low), int(high))


def uncovered(needed: AddressRange, covering: Iterable[AddressRange]) -> AddressRange | None:
    """Return the first part of `needed` that is in no range of `covering`; None if `covering` covers all of
    `needed`."""
    start = needed.first
    for each in sorted(covering):
        if each.version != needed.version or each.last < start:
            continue
        if each.first > start:
            return AddressRange(needed.version, start, min(needed.last, each.first - 1))
        if each.last >= needed.last:
            return None
        start = each.last + 1
    return AddressRange(needed.version, start, needed.last)
