"""What the operator sets for network zones: the blocklists that the forwarder keeps in Okta, and what they must not block."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from forwarder.config.types import Section
from forwarder.okta.zones.addresses import AddressRange, parse_range
from forwarder.rules.evaluation.countries import UNKNOWN, country_code

MAX_PLACES = 75
"""Okta's limit of countries and regions in one zone, and of ASNs."""

MAX_GATEWAYS = 1000
"""Okta's limit of entries in one IP blocklist zone."""

MAX_ZONES = 100
"""Okta's limit of zones in one org."""

ZONE_SCOPE = "okta.networkZones.manage"
"""What a service app needs to write zones."""

SYSTEM_ZONES = ("LegacyIpZone", "BlockedIpZone", "DefaultEnhancedDynamicZone", "DefaultExemptIpZone")
"""Zones that Okta makes itself."""

_MAX_ASN = 2**32 - 1
_CONTINENTS = {"EU", "AP"}


def _texts(written: Any) -> Any:
    """Accept numbers as texts. YAML reads the country `NO` as false."""
    if not isinstance(written, list | tuple):
        return written
    for value in written:
        if isinstance(value, bool):
            raise ValueError(  # noqa: TRY004  # pydantic takes no TypeError
                f'holds {value} where YAML has read a word as that; write it in quotes, as in "NO"'
            )
    return tuple(str(value) if isinstance(value, int | float) else value for value in written)


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _countries(written: tuple[str, ...]) -> tuple[str, ...]:
    return _distinct(_country(name) for name in written)


def _country(name: str) -> str:
    if name.strip().upper() in _CONTINENTS:
        raise ValueError(
            f"{name!r} is a continent, which Okta takes for addresses without a country; list the countries"
        )
    code = country_code(name)
    if code == UNKNOWN:
        raise ValueError(
            f"{name!r} is not a country; write its ISO 3166-1 code of two letters, as in IR, or its English name"
        )
    return code


def _regions(written: tuple[str, ...]) -> tuple[str, ...]:
    return _distinct(_region(name) for name in written)


def _region(name: str) -> str:
    match = re.fullmatch(r"([A-Z]{2})-[A-Z0-9]{1,3}", name.strip().upper())
    if match is None or country_code(match[1]) != match[1]:
        raise ValueError(f"{name!r} is not a region; write its ISO 3166-2 code, as in UA-43")
    return match[0]


def _asns(written: tuple[str, ...]) -> tuple[str, ...]:
    return _distinct(_asn(text) for text in written)


def _asn(text: str) -> str:
    match = re.fullmatch(r"(?:AS)?([0-9]{1,10})", text.strip().upper())
    if match is None or not 0 < int(match[1]) <= _MAX_ASN:
        raise ValueError(f"{text!r} is not the number of an autonomous system; write it as in 64496")
    return str(int(match[1]))


def _ranges(written: tuple[str, ...]) -> tuple[str, ...]:
    distinct: dict[AddressRange, str] = {}
    for text in written:
        try:
            found = parse_range(text)
        except ValueError:
            raise ValueError(
                f"{text!r} is not an address; write one as in 203.0.113.7, a block as in 203.0.113.0/24, or a range as"
                " in 203.0.113.1-203.0.113.9"
            ) from None
        distinct.setdefault(found, text.strip())
    return tuple(distinct.values())


def _services(written: tuple[str, ...]) -> tuple[str, ...]:
    for name in written:
        if not re.fullmatch(r"[A-Z0-9_]{1,100}", name):
            raise ValueError(f"{name!r} is not a category of IP services; write it as in ALL_ANONYMIZERS")
    return _distinct(written)


Countries = Annotated[tuple[str, ...], BeforeValidator(_texts), AfterValidator(_countries)]
Regions = Annotated[tuple[str, ...], BeforeValidator(_texts), AfterValidator(_regions)]
Asns = Annotated[tuple[str, ...], BeforeValidator(_texts), AfterValidator(_asns)]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_texts), AfterValidator(_ranges)]
Services = Annotated[tuple[str, ...], BeforeValidator(_texts), AfterValidator(_services)]


def _zone_name(name: str) -> str:
    if name.casefold() in {system.casefold() for system in SYSTEM_ZONES}:
        raise ValueError(
            "Okta made this zone itself, and the forwarder never changes it; choose another name"
        )
    if not name.isprintable():
        raise ValueError("a name has only printable characters")
    return name


ZoneName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128), AfterValidator(_zone_name)
]
"""The name of a network zone in Okta."""


class ZoneSettings(Section):
    """A blocklist zone that the org should have: either addresses (`ips`), or places and networks (all other keys), of which
    Okta blocks what meets every key that is set.

    Attributes:
        ips: addresses, CIDR blocks, and ranges as in 203.0.113.1-203.0.113.9; at most 1,000.
        countries: English names, or ISO 3166-1 codes as in IR; with `regions` at most 75.
        regions: ISO 3166-2 codes as in UA-43; not of a country that is listed itself.
        asns: numbers of autonomous systems, as in 64496; at most 75.
        proxy: `any`, `tor` or `not-tor`: only what comes through such a proxy.
        services: categories of IP services, as in ALL_ANONYMIZERS. The zone is an enhanced dynamic zone then.
        except_services: categories that are not blocked, as in APPLE_ICLOUD_RELAY_PROXY; with `services`.
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
        """Okta's type of the zone."""
        if self.ips:
            return "IP"
        return "DYNAMIC_V2" if self.services else "DYNAMIC"

    @property
    def ranges(self) -> tuple[AddressRange, ...]:
        """The ranges of `ips`."""
        return tuple(map(parse_range, self.ips))

    @property
    def conditions(self) -> list[str]:
        """The keys that are set, all of which an address must match to be blocked."""
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
                "lists nothing; set `ips`, or `countries`, `regions`, `asns`, `proxy` or `services`"
            )
        if self.ips and self.conditions:
            raise ValueError("`ips` cannot be combined with other keys; write two zones")
        if self.proxy and self.services:
            raise ValueError("set `proxy` or `services`, not both; `services` is the finer one")
        if self.except_services and not self.services:
            raise ValueError("`except_services` needs `services`, from which it excepts some")
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
                    f"region {region} is in {region[:2]}, which `countries` lists; Okta refuses both, remove one"
                )
        return self


class BlocklistSettings(Section):
    """The zone that the action `block_ip` keeps. It has no other entries than those of the action.

    Attributes:
        zone: its name in Okta.
        activate: activate the zone when the action has created it. Otherwise it stays INACTIVE and blocks nothing until
            `forwarder zones sync --activate`.
    """

    zone: ZoneName = "forwarder-blocklist"
    activate: bool = False


class OrgZones(Section):
    """The keys of an org about its network zones.

    Attributes:
        zones: network zones that the org should have as blocklists, by name: `forwarder zones sync` creates and updates them.
        egress: addresses from which Okta sees this forwarder. No blocklist is changed unless Okta exempts them.
        blocklist: the zone of the action `block_ip`.
    """

    zones: dict[ZoneName, ZoneSettings] = {}  # noqa: RUF012  # pydantic copies it
    egress: Addresses = ()
    blocklist: BlocklistSettings = Field(default_factory=BlocklistSettings)

    @property
    def egress_ranges(self) -> tuple[AddressRange, ...]:
        """The ranges of `egress`."""
        return tuple(map(parse_range, self.egress))


def zone_problems(settings: OrgZones, protected: Mapping[str, AddressRange]) -> Iterable[str]:
    """Yield why the zones of an org would be refused, a line each: path below the org, what, hint.

    Args:
        settings: of the org.
        protected: addresses that must never be blocked, by the key that names them.
    """
    if len(settings.zones) > MAX_ZONES:
        yield f"zones: {len(settings.zones)} zones are too many; Okta allows {MAX_ZONES} in an org"
    if settings.blocklist.zone in settings.zones:
        yield (
            f"zones.{settings.blocklist.zone}: the action block_ip keeps a zone of this name; choose another, or set"
            " blocklist.zone"
        )
    never = {**{f"egress {each.text}": each for each in settings.egress_ranges}, **protected}
    for name, zone in settings.zones.items():
        for listed in zone.ranges:
            for key, each in never.items():
                if listed.overlaps(each):
                    yield f"zones.{name}.ips: {listed.text} would block {key}; remove it, or list smaller ranges"
