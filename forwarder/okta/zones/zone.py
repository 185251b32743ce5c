"""A network zone as Okta shows it and as the operator wants it, in a form that allows comparing the two."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

import msgspec

from forwarder.okta.api.port import not_okta
from forwarder.okta.zones.address_ranges import AddressRange, parse_range
from forwarder.okta.zones.settings import ZoneSettings

Contents = Mapping[str, frozenset[str]]
"""What a zone lists: property → values. The values are a set, because Okta reorders lists. Each value has only one spelling.
A property without values is left out."""

_PROXY_TYPES = {"any": "Any", "tor": "TorAnonymizer", "not-tor": "NotTorAnonymizer"}
"""Value of `proxy` → Okta's name. These are the names in responses of real orgs; Okta's specification also has `Tor`."""

_POLICY_GATEWAYS = 150
"""Okta's limit for the entries of an IP zone that is not a blocklist."""


class DesiredZone(msgspec.Struct, frozen=True):
    """A zone that the operator wants. `body` is the part of the request that depends on the type of the zone."""

    name: str
    type: str
    contents: Contents
    body: Mapping[str, Any]

    def staged(self) -> dict[str, Any]:
        """Return the body of the request that creates the zone in a form that blocks nothing.

        Okta makes a new zone ACTIVE even if the request says INACTIVE, so the new zone must not be a blocklist yet.
        """
        body = dict(self.body)
        if "gateways" in body:
            body["gateways"] = body["gateways"][:_POLICY_GATEWAYS]
        return {"type": self.type, "name": self.name, "status": "ACTIVE", "usage": "POLICY", **body}

    def request(self, *, active: bool) -> dict[str, Any]:
        """Return the body of the request that replaces an existing zone by this zone, as a blocklist."""
        status = "ACTIVE" if active else "INACTIVE"
        return {"type": self.type, "name": self.name, "status": status, "usage": "BLOCKLIST", **self.body}


class _Gateway(msgspec.Struct):
    value: str


class _ZoneBody(msgspec.Struct):
    """The parts of a zone that this module reads. The characters of `id` are restricted, because it becomes part of URL
    paths."""

    id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,100}$")]
    name: str
    type: str
    status: str
    usage: str = "POLICY"
    system: bool = False
    gateways: list[_Gateway] | None = None
    proxies: list[_Gateway] | None = None
    locations: Any = None
    asns: Any = None
    services: Any = msgspec.field(name="ipServiceCategories", default=None)
    proxy_type: str | None = msgspec.field(name="proxyType", default=None)


class Zone(msgspec.Struct, frozen=True):
    """A zone of the org, as Okta shows it. `raw` is the whole JSON object."""

    id: str
    name: str
    type: str
    status: str
    usage: str
    system: bool
    contents: Contents
    raw: Mapping[str, Any]

    @classmethod
    def read(cls, raw: Any) -> Self:
        """Read a zone from Okta's response.

        Raises:
            OktaError: `raw` is not a zone.
        """
        try:
            body = msgspec.convert(raw, _ZoneBody)
            contents = _contents_of(body)
        except (msgspec.ValidationError, TypeError, ValueError, AttributeError) as error:
            raise not_okta("a network zone", error) from None
        return cls(body.id, body.name, body.type, body.status, body.usage, body.system, contents, raw)

    @property
    def active(self) -> bool:
        return self.status == "ACTIVE"

    @property
    def blocks(self) -> bool:
        """Whether Okta blocks requests from the addresses and places that the zone lists."""
        return self.active and self.usage == "BLOCKLIST"

    @property
    def title(self) -> str:
        """The zone's name and id, for messages."""
        return f"{self.name} ({self.id})"

    @property
    def gateways(self) -> list[AddressRange]:
        """The addresses of an IP zone. Entries that this version of the forwarder cannot read are left out."""
        return [found for entry in self.gateway_entries if (found := _range(entry.get("value", "")))]

    @property
    def gateway_entries(self) -> list[dict[str, Any]]:
        """The entries of an IP zone as Okta shows them."""
        return list(self.raw.get("gateways") or ())


def desired_zone(name: str, settings: ZoneSettings) -> DesiredZone:
    """Return the desired zone called `name` that `settings` describe."""
    places = [{"country": code} for code in settings.countries]
    places += [{"country": code[:2], "region": code} for code in settings.regions]
    body: dict[str, Any]
    if settings.ips:
        body = {"gateways": [gateway_entry(text) for text in settings.ips], "proxies": None}
    elif settings.services:
        categories = {"include": list(settings.services), "exclude": list(settings.except_services)}
        body = {"ipServiceCategories": {key: value for key, value in categories.items() if value}}
        body |= {"locations": {"include": places}} if places else {}
        body |= {"asns": {"include": list(settings.asns)}} if settings.asns else {}
    else:
        body = {
            "locations": places or None,
            "asns": list(settings.asns) or None,
            "proxyType": _PROXY_TYPES[settings.proxy] if settings.proxy else None,
        }
    shown = {"id": "new", "name": name, "type": settings.kind, "status": "", **body}
    return DesiredZone(name, settings.kind, Zone.read(shown).contents, body)


def gateway_entry(text: str) -> dict[str, str]:
    """Return an address, CIDR block or range as an entry of a zone, spelled as Okta will show it."""
    found = parse_range(text)
    if "/" in text:
        is_mapped = found.version == 4 and ":" in text
        return {"type": "CIDR", "value": found.text if is_mapped else text}
    first, last = found.ends
    return {"type": "RANGE", "value": f"{first}-{last}"}


def _contents_of(body: _ZoneBody) -> Contents:
    locations, asns, services = _Listed.of(body.locations), _Listed.of(body.asns), _Listed.of(body.services)
    proxy_type = {"Tor": "TorAnonymizer", "null": None}.get(body.proxy_type or "null", body.proxy_type)
    found = {
        "addresses": map(_spelled, body.gateways or ()),
        "trusted proxies": map(_spelled, body.proxies or ()),
        "places": map(_place, locations.include),
        "excluded places": map(_place, locations.exclude),
        "ASNs": map(str, asns.include),
        "excluded ASNs": map(str, asns.exclude),
        "proxy type": (proxy_type,) if proxy_type else (),
        "IP services": map(str, services.include),
        "excluded IP services": map(str, services.exclude),
    }
    return {name: values for name, each in found.items() if (values := frozenset(each))}


class _Listed(msgspec.Struct):
    """A list in a zone. Dynamic zones have a plain list; enhanced dynamic zones have an `include` and an `exclude` list."""

    include: list[Any]
    exclude: list[Any]

    @classmethod
    def of(cls, value: Any) -> Self:
        if isinstance(value, Mapping):
            return cls(list(value.get("include") or ()), list(value.get("exclude") or ()))
        return cls(list(value or ()), [])


def _place(location: Mapping[str, Any]) -> str:
    """Return the code of a country or region, as in `IR` or `UA-43`.

    In responses of real orgs, the code of a region begins with the country; in Okta's documentation it does not.
    """
    country, region = location.get("country") or "", location.get("region") or ""
    if not region or region.startswith(f"{country}-"):
        return region or country
    return f"{country}-{region}"


def _spelled(entry: _Gateway) -> str:
    found = _range(entry.value)
    return found.text if found else entry.value


def _range(text: str) -> AddressRange | None:
    try:
        return parse_range(text)
    except ValueError:
        return None
