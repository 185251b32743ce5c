"""The body of a call that creates or replaces a network zone, and Okta's rules for it."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

import msgspec

_MOST_PLACES = 75
_MOST_ADDRESSES = {"POLICY": 150, "BLOCKLIST": 1000}
_MOST_IN_SYSTEM_ZONE = 5000

_COUNTRY = re.compile(r"[A-Z]{2}")
_REGION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")


class Address(msgspec.Struct, frozen=True):
    """A gateway or a proxy."""

    type: str
    value: str


class Location(msgspec.Struct, frozen=True):
    """A country, or a region of a country, as ISO 3166 codes."""

    country: str | None = None
    region: str | None = None


class Locations(msgspec.Struct, frozen=True):
    """The places of an enhanced dynamic zone."""

    include: tuple[Location, ...] | None = None
    exclude: tuple[Location, ...] | None = None


class Names(msgspec.Struct, frozen=True):
    """The networks, or the kinds of proxies, of an enhanced dynamic zone."""

    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None


class ZoneSpec(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a call that creates or replaces a zone; unknown fields are ignored, as in Okta.

    In a DYNAMIC zone, `locations` and `asns` are lists. In a DYNAMIC_V2 zone, both have the lists `include`
    and `exclude`.
    """

    type: str
    name: str
    status: str = "ACTIVE"
    usage: str = "POLICY"
    gateways: tuple[Address, ...] | None = None
    proxies: tuple[Address, ...] | None = None
    locations: tuple[Location, ...] | Locations | None = None
    asns: tuple[str, ...] | Names | None = None
    proxy_type: str | None = None
    ip_service_categories: Names | None = None
    use_as_exempt_list: bool = False

    def location_lists(self) -> Iterator[tuple[Location, ...]]:
        """Yield the lists of places in `locations`: one list, or the included places and then the excluded places."""
        if isinstance(self.locations, Locations):
            yield from (self.locations.include or (), self.locations.exclude or ())
        else:
            yield self.locations or ()

    def network_lists(self) -> Iterator[tuple[str, ...]]:
        """Yield the lists of networks in `asns`: one list, or the included networks and then the excluded networks."""
        if isinstance(self.asns, Names):
            yield from (self.asns.include or (), self.asns.exclude or ())
        else:
            yield self.asns or ()

    def shown(self) -> dict[str, Any]:
        """Return the fields that depend on the zone's type, as the API shows them. As in Okta, the order of the places
        differs from the order in the request."""
        if self.type == "IP":
            return {"gateways": self.gateways, "proxies": self.proxies}
        if self.type == "DYNAMIC":
            (places,) = self.location_lists()
            shown = {"locations": _reordered(places) or None, "proxyType": self.proxy_type}
            return shown | ({"asns": self.asns} if self.asns else {})
        kinds = self.ip_service_categories or Names()
        return {
            "locations": Locations(*(_reordered(places) for places in self.location_lists()))
            if self.locations
            else Locations((), ()),
            "asns": Names(*self.network_lists()) if self.asns else Names((), ()),
            "ipServiceCategories": Names(kinds.include or (), kinds.exclude or ()),
        }


def problems(spec: ZoneSpec, *, system: bool) -> list[str]:
    """Return the reasons why Okta would refuse a zone, one line each.

    `system` is true for a zone that every org has."""
    found = []
    if not 1 <= len(spec.name) <= 128:
        found.append("name: must have 1 to 128 characters")
    if spec.type not in {"IP", "DYNAMIC", "DYNAMIC_V2"}:
        found.append("type: must be IP, DYNAMIC or DYNAMIC_V2")
    if spec.usage not in _MOST_ADDRESSES:
        found.append("usage: must be POLICY or BLOCKLIST")
    most = _MOST_IN_SYSTEM_ZONE if system else _MOST_ADDRESSES.get(spec.usage, 150)
    for name, addresses in (("gateways", spec.gateways or ()), ("proxies", spec.proxies or ())):
        if len(addresses) > most:
            found.append(f"{name}: No more than {most} {name} may be included in this zone.")
        wrong = [address.value for address in addresses if not _is_address(address)]
        found += [f"{name}: {value} is not valid for its type, CIDR or RANGE" for value in wrong]
    two_sided = [isinstance(spec.locations, Locations), isinstance(spec.asns, Names)]
    one_sided = [isinstance(spec.locations, tuple), isinstance(spec.asns, tuple)]
    if any(two_sided if spec.type == "DYNAMIC" else one_sided):
        found.append("locations, asns: must be lists in DYNAMIC, and have include or exclude in DYNAMIC_V2")
    return found + list(_place_problems(spec))


def as_shown(address: Address) -> Address:
    """Return `address` as Okta shows it: a range always has two ends."""
    if address.type == "RANGE" and "-" not in address.value:
        return Address("RANGE", f"{address.value}-{address.value}")
    return address


def _place_problems(spec: ZoneSpec) -> Iterator[str]:
    for places in spec.location_lists():
        if len(places) > _MOST_PLACES:
            yield f"No more than {_MOST_PLACES} locations may be included in a Location Zone."
        for place in places:
            if not _COUNTRY.fullmatch(place.country or ""):
                yield f"locations: {place.country or ''} is not an ISO 3166-1 alpha-2 code"
            if place.region is not None and not _REGION.fullmatch(place.region):
                yield f"locations: {place.region} is not an ISO 3166-2 code"
    for networks in spec.network_lists():
        if len(networks) > _MOST_PLACES:
            yield f"asns: No more than {_MOST_PLACES} ASNs may be included in a zone."
        yield from (f"asns: {number} is not a number" for number in networks if not number.isdecimal())


def _reordered(places: tuple[Location, ...]) -> tuple[Location, ...]:
    return tuple(sorted(places, key=lambda place: (place.country or "")[::-1]))


def _is_address(address: Address) -> bool:
    try:
        if address.type == "CIDR":
            ipaddress.ip_network(address.value, strict=False)
            return True
        first, _, last = address.value.partition("-")
        low, high = ipaddress.ip_address(first), ipaddress.ip_address(last or first)
        return address.type == "RANGE" and low.version == high.version and int(low) <= int(high)
    except ValueError:
        return False
