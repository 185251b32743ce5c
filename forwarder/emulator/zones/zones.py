"""The network zones of the emulated org, with what recordings of real orgs show:

- `POST` with `"status": "INACTIVE"` makes an ACTIVE zone; `PUT` honours the status.
- `PUT` replaces the zone, and answers with the `lastUpdated` of before; locations come back in another order.
- a range of one address comes back as `a-a`; host bits of a CIDR stay.
"""

import ipaddress
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import Micros, iso
from forwarder.emulator.changes import Caller, Report
from forwarder.emulator.events.fixtures import entity, okta_id
from forwarder.emulator.http.errors import forbidden, invalid, not_found

_MOST_LOCATIONS = 75
_MOST_GATEWAYS = {"POLICY": 150, "BLOCKLIST": 1000}
_MOST_ZONES = 100


class Address(msgspec.Struct, frozen=True):
    """A gateway or a proxy."""

    type: str
    value: str


class Location(msgspec.Struct, frozen=True, omit_defaults=True):
    """A country, or a region of one; ISO 3166 codes."""

    country: str | None = None
    region: str | None = None


class ZoneSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What a caller sends; unknown fields are ignored, as by Okta."""

    type: str
    name: str
    status: str = "ACTIVE"
    usage: str = "POLICY"
    gateways: tuple[Address, ...] | None = None
    proxies: tuple[Address, ...] | None = None
    locations: tuple[Location, ...] | None = None
    asns: tuple[str, ...] | None = None
    proxy_type: str | None = None


class Zone(msgspec.Struct):
    """A zone; `active` is its status."""

    id: str
    spec: ZoneSpec
    created: Micros
    updated: Micros
    active: bool = True

    def view(self, org_url: str, *, updated: Micros | None = None) -> dict[str, Any]:
        """Return the zone as the API shows it; `updated` replaces the real time."""
        spec = self.spec
        url = f"{org_url}/api/v1/zones/{self.id}"
        shown: dict[str, Any] = {
            "id": self.id,
            "type": spec.type,
            "name": spec.name,
            "status": "ACTIVE" if self.active else "INACTIVE",
            "usage": spec.usage,
            "created": iso(self.created, "milliseconds"),
            "lastUpdated": iso(self.updated if updated is None else updated, "milliseconds"),
            "system": False,
            "_links": {"self": {"href": url}},
        }
        if spec.type == "IP":
            return shown | {"gateways": spec.gateways, "proxies": spec.proxies}
        locations = sorted(spec.locations or (), key=lambda place: (place.country or "")[::-1])
        return shown | {"locations": locations, "asns": spec.asns, "proxyType": spec.proxy_type}


class Zones:
    """The zones of an org."""

    def __init__(self, clock: Clock, random: Random, report: Report) -> None:
        """Args: `report` writes an event about each change."""
        self._clock = clock
        self._random = random
        self._report = report
        self._zones: dict[str, Zone] = {}

    def all(self) -> Sequence[Zone]:
        """Return every zone."""
        return tuple(self._zones.values())

    def find(self, zone_id: str) -> Zone:
        """Return a zone.

        Raises:
            OktaApiError: there is none.
        """
        try:
            return self._zones[zone_id]
        except KeyError:
            raise not_found(f"{zone_id} (NetworkZone)") from None

    def create(self, spec: ZoneSpec, caller: Caller) -> Zone:
        """Create a zone, which is ACTIVE whatever the caller wanted.

        Raises:
            OktaApiError: a rule of Okta's is broken.
        """
        if len(self._zones) >= _MOST_ZONES:
            raise invalid("zone", f"No more than {_MOST_ZONES} zones may exist.")
        spec = self._checked(spec)
        now = self._clock.now()
        zone = Zone(okta_id("nzo", self._random), spec, now, now)
        self._zones[zone.id] = zone
        self._changed("zone.create", zone, caller)
        return zone

    def replace(self, zone: Zone, spec: ZoneSpec, caller: Caller) -> None:
        """Replace what a zone holds.

        Raises:
            OktaApiError: a rule of Okta's is broken.
        """
        if spec.type != zone.spec.type:
            raise invalid("type", "type: The type of a zone cannot be changed.")
        zone.spec = self._checked(spec, zone)
        zone.active = spec.status != "INACTIVE"
        zone.updated = self._clock.now()
        self._changed("zone.update", zone, caller)

    def set_active(self, zone: Zone, caller: Caller, *, active: bool) -> None:
        """Activate or deactivate a zone."""
        zone.active, zone.updated = active, self._clock.now()
        self._changed("zone.activate" if active else "zone.deactivate", zone, caller)

    def delete(self, zone: Zone, caller: Caller) -> None:
        """Delete an INACTIVE zone.

        Raises:
            OktaApiError: it is ACTIVE.
        """
        if zone.active:
            raise forbidden("An active network zone cannot be deleted.")
        del self._zones[zone.id]
        self._changed("zone.delete", zone, caller)

    def _checked(self, spec: ZoneSpec, old: Zone | None = None) -> ZoneSpec:
        causes = list(_problems(spec))
        if any(zone is not old and zone.spec.name == spec.name for zone in self._zones.values()):
            causes.append("name: A zone with this name already exists.")
        if causes:
            raise invalid("zone", *causes)
        if spec.gateways:
            spec = msgspec.structs.replace(spec, gateways=tuple(map(_as_shown, spec.gateways)))
        return spec

    def _changed(self, event_type: str, zone: Zone, caller: Caller) -> None:
        self._report(event_type, caller, target=[entity(zone.id, "NetworkZone", zone.spec.name)])


def _problems(spec: ZoneSpec) -> list[str]:
    problems = []
    if not 1 <= len(spec.name) <= 128:
        problems.append("name: must have 1 to 128 characters")
    if spec.type not in {"IP", "DYNAMIC"}:
        problems.append("type: must be IP or DYNAMIC")
    if spec.usage not in _MOST_GATEWAYS:
        problems.append("usage: must be POLICY or BLOCKLIST")
    elif len(spec.gateways or ()) > (most := _MOST_GATEWAYS[spec.usage]):
        problems.append(f"gateways: No more than {most} gateways may be included in this zone.")
    if len(spec.locations or ()) > _MOST_LOCATIONS:
        problems.append(f"No more than {_MOST_LOCATIONS} locations may be included in a Location Zone.")
    countries = [place.country or "" for place in spec.locations or ()]
    wrong = [name for name in countries if not (len(name) == 2 and name.isupper())]
    problems += [f"locations: {name} is not an ISO 3166-1 alpha-2 code" for name in wrong]
    addresses = (*(spec.gateways or ()), *(spec.proxies or ()))
    wrong = [address.value for address in addresses if not _is_address(address)]
    return problems + [f"gateways: {value} is not an address of its type" for value in wrong]


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


def _as_shown(address: Address) -> Address:
    if address.type == "RANGE" and "-" not in address.value:
        return Address("RANGE", f"{address.value}-{address.value}")
    return address
