"""The settings for network zones: the blocklists that the forwarder keeps in Okta, and the addresses that they must not
block."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from forwarder.config.types import Section
from forwarder.okta.zones.address_ranges import AddressRange, parse_range
from forwarder.rules.evaluation.countries import UNKNOWN, country_code

_PRIVATE = tuple(
    map(parse_range, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)

MAX_PLACES = 75
"""Okta's limit for the countries and regions of one zone together; also its limit for the ASNs of one zone."""

MAX_GATEWAYS = 1000
"""Okta's limit for the entries of one IP blocklist zone."""

MAX_ZONES = 100
"""Okta's limit for the zones of one org."""

ZONE_SCOPE = "okta.networkZones.manage"
"""The scope that a service app needs to write zones."""

SYSTEM_ZONES = ("LegacyIpZone", "BlockedIpZone", "DefaultEnhancedDynamicZone", "DefaultExemptIpZone")
"""The zones that Okta creates itself."""

_MAX_ASN = 2**32 - 1
_CONTINENTS = {"EU", "AP"}


def _text(written: Any) -> Any:
    """Convert a number to a string. Refuse a boolean, because YAML reads the country `NO` as false."""
    if isinstance(written, bool):
        raise ValueError(  # noqa: TRY004  # pydantic takes no TypeError
            f'is {written}, because YAML reads unquoted words such as NO as booleans; write the word in quotes: "NO"'
        )
    return str(written) if isinstance(written, int | float) else written


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _country(name: str) -> str:
    if name.strip().upper() in _CONTINENTS:
        raise ValueError(
            f"{name!r} is the code of a continent, which Okta uses only for addresses whose country is not "
            "known; list the countries instead"
        )
    code = country_code(name)
    if code == UNKNOWN:
        raise ValueError(
            f"{name!r} is not a country; write its ISO 3166-1 code of two letters, as in IR, or its English name"
        )
    return code


def _region(name: str) -> str:
    match = re.fullmatch(r"([A-Z]{2})-[A-Z0-9]{1,3}", name.strip().upper())
    if match is None or country_code(match[1]) != match[1]:
        raise ValueError(f"{name!r} is not a region; write its ISO 3166-2 code, as in UA-43")
    return match[0]


def _asn(text: str) -> str:
    match = re.fullmatch(r"(?:AS)?([0-9]{1,10})", text.strip().upper())
    if match is None or not 0 < int(match[1]) <= _MAX_ASN:
        raise ValueError(f"{text!r} is not the number of an autonomous system; write one such as 64496")
    return str(int(match[1]))


def _address(text: str) -> str:
    try:
        is_all = parse_range(text).is_all
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address; write one as in 203.0.113.7, a block as in 203.0.113.0/24, or a range as"
            " in 203.0.113.1-203.0.113.9"
        ) from None
    if is_all:
        raise ValueError(f"{text!r} contains every address, also the address of this forwarder; list smaller networks")
    return text.strip()


def _distinct_ranges(written: tuple[str, ...]) -> tuple[str, ...]:
    distinct: dict[AddressRange, str] = {}
    for text in written:
        distinct.setdefault(parse_range(text), text)
    return tuple(distinct.values())


def _service(name: str) -> str:
    if not re.fullmatch(r"[A-Z0-9_]{1,100}", name):
        raise ValueError(f"{name!r} is not a category of IP services; write it in capitals, as in ALL_ANONYMIZERS")
    return name


_Text = Annotated[str, BeforeValidator(_text)]
Countries = Annotated[tuple[Annotated[_Text, AfterValidator(_country)], ...], AfterValidator(_distinct)]
Regions = Annotated[tuple[Annotated[_Text, AfterValidator(_region)], ...], AfterValidator(_distinct)]
Asns = Annotated[tuple[Annotated[_Text, AfterValidator(_asn)], ...], AfterValidator(_distinct)]
Addresses = Annotated[tuple[Annotated[_Text, AfterValidator(_address)], ...], AfterValidator(_distinct_ranges)]
Services = Annotated[tuple[Annotated[_Text, AfterValidator(_service)], ...], AfterValidator(_distinct)]


def _zone_name(name: str) -> str:
    if name.casefold() in {system.casefold() for system in SYSTEM_ZONES}:
        raise ValueError("Okta made this zone itself, and the forwarder never changes it; choose another name")
    if not name.isprintable():
        raise ValueError("a name must have only printable characters")
    return name


ZoneName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128), AfterValidator(_zone_name)
]
"""The name of a network zone in Okta."""


class ZoneSettings(Section):
    """A blocklist zone that the org should have. Set either `ips`, or one or more of the other keys. Okta blocks a request
    if it matches `ips`, or if it matches all of the other keys that are set.

    Attributes:
        ips: addresses, CIDR blocks, and ranges as in 203.0.113.1-203.0.113.9; at most 1,000.
        countries: English names, or ISO 3166-1 codes as in IR; at most 75 together with `regions`.
        regions: ISO 3166-2 codes as in UA-43. A region of a country that `countries` lists is refused.
        asns: numbers of autonomous systems, as in 64496; at most 75.
        proxy: `any`, `tor` or `not-tor`. Only requests that come through such a proxy match.
        services: categories of IP services, as in ALL_ANONYMIZERS. With this key, Okta's type of the zone is Enhanced
            Dynamic.
        except_services: categories that are not blocked, as in APPLE_ICLOUD_RELAY_PROXY; needs `services`.
    """

    ips: Addresses = ()
    countries: Countries = ()
    regions: Regions = ()
    asns: Asns = ()
    proxy: Literal["any", "tor", "not-tor"] | None = None
    services: Services = ()
    except_services: Services = ()

    @property
    def kind(self) -> str:
        """The type of the zone in Okta."""
        if self.ips:
            return "IP"
        return "DYNAMIC_V2" if self.services else "DYNAMIC"

    @property
    def ranges(self) -> tuple[AddressRange, ...]:
        return tuple(map(parse_range, self.ips))

    @property
    def conditions(self) -> list[str]:
        """The keys other than `ips` that are set. A request is blocked only if it matches all these keys."""
        parts = {
            "`countries` and `regions`": self.countries or self.regions,
            "`asns`": self.asns,
            "`proxy`": self.proxy,
            "`services`": self.services,
        }
        return [name for name, value in parts.items() if value]

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if not self.ips and not self.conditions:
            raise ValueError(
                "is empty; set `ips`, or at least one of `countries`, `regions`, `asns`, `proxy` and `services`"
            )
        if self.ips and self.conditions:
            raise ValueError("`ips` cannot be combined with other keys; write two zones")
        if self.proxy and self.services:
            raise ValueError("set `proxy` or `services`, not both; `services` can name single kinds of proxies")
        if self.except_services and not self.services:
            raise ValueError("`except_services` needs `services`; set `services` too")
        return self

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        if len(self.ips) > MAX_GATEWAYS:
            raise ValueError(f"{len(self.ips)} `ips` are too many; Okta allows {MAX_GATEWAYS:,} in a zone")
        places = len(self.countries) + len(self.regions)
        if places > MAX_PLACES:
            raise ValueError(
                f"{places} countries and regions are too many; Okta allows {MAX_PLACES} in a zone, so write two zones"
            )
        if len(self.asns) > MAX_PLACES:
            raise ValueError(f"{len(self.asns)} `asns` are too many; Okta allows {MAX_PLACES} in a zone")
        for region in self.regions:
            if region[:2] in self.countries:
                raise ValueError(
                    f"region {region} is in {region[:2]}, which `countries` lists; Okta refuses such a zone, so remove one"
                )
        return self


class BlocklistSettings(Section):
    """The zone in which the action `block_ip` keeps the addresses that it blocks, and nothing else.

    Attributes:
        zone: the name of the zone in Okta.
        activate: whether the action activates the zone after creating it. If not, the new zone is INACTIVE and blocks
            nothing until you run `forwarder zones sync --activate`.
    """

    zone: ZoneName = "forwarder-blocklist"
    activate: bool = False


class OrgZones(Section):
    """The settings of an org about its network zones.

    Attributes:
        zones: the network zones that the org should have as blocklists, by name. `forwarder zones sync` creates and updates
            them.
        egress: the addresses from which Okta sees this forwarder. A blocklist is changed only if Okta exempts these addresses.
        blocklist: the zone of the action `block_ip`.
    """

    zones: dict[ZoneName, ZoneSettings] = {}  # noqa: RUF012  # pydantic copies it
    egress: Addresses = ()
    blocklist: BlocklistSettings = Field(default_factory=BlocklistSettings)

    @property
    def egress_ranges(self) -> tuple[AddressRange, ...]:
        return tuple(map(parse_range, self.egress))


def zone_problems(settings: OrgZones, protected: Mapping[str, AddressRange]) -> Iterable[str]:
    """Yield a line for each reason why the zones of an org cannot be used: the key below the org, the problem, and what
    to do. `protected` has the addresses that must never be blocked, by the key of the configuration that lists them."""
    if len(settings.zones) > MAX_ZONES:
        yield f"zones: {len(settings.zones)} zones are too many; Okta allows {MAX_ZONES} in an org"
    if settings.blocklist.zone in settings.zones:
        yield (
            f"zones.{settings.blocklist.zone}: the action block_ip uses a zone with this name; choose another name here, or"
            " in blocklist.zone"
        )
    never = {**{f"egress {each.text}": each for each in settings.egress_ranges}, **protected}
    for name, zone in settings.zones.items():
        for listed in zone.ranges:
            for key, each in never.items():
                if listed.overlaps(each):
                    yield f"zones.{name}.ips: {listed.text} would block {key}; remove it, or list smaller ranges"


def zone_warnings(org: OrgZones) -> Iterable[str]:
    """Yield a line for each setting in `org` that is valid, but does less or more than the operator may expect."""
    if org.zones and not org.egress:
        yield (
            "egress: is not set, so `zones sync` changes nothing unless Okta's System Log shows from where"
            " the forwarder calls; set it, as in [203.0.113.7]"
        )
    for text, each in zip(org.egress, org.egress_ranges, strict=True):
        if any(each.overlaps(network) for network in _PRIVATE):
            yield f"egress: {text} is not an address of the internet, so Okta never sees it; write the public address"
    for name, zone in org.zones.items():
        if len(zone.conditions) > 1:
            keys = " and ".join(zone.conditions)
            yield f"zones.{name}: blocks only addresses that match {keys} together; if one match is enough, write a zone for each"
        for text, each in zip(zone.ips, zone.ranges, strict=True):
            if "/" in text and text != each.text:
                yield f"zones.{name}.ips: {text} blocks all of {each.text}; write {each.text}, or one address without /"
