"""Builds the `ZoneWriter` of one org, for the command `zones` and for the action `block_ip`."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from forwarder.core.ports import Clock
from forwarder.okta.api.port import Api
from forwarder.okta.zones.address_ranges import parse_range
from forwarder.okta.zones.admin import ZoneAdmin
from forwarder.okta.zones.block_safety import ZoneGuard
from forwarder.okta.zones.exemption import RequiredExemption
from forwarder.okta.zones.forwarder_addresses import Egress
from forwarder.okta.zones.settings import OrgZones
from forwarder.okta.zones.writer import ZoneWriter
from forwarder.okta.zones.zone_record import ZoneRecord


def protected_by(key: str, networks: Iterable[IPv4Network | IPv6Network | str]) -> list[RequiredExemption]:
    """Convert `networks` to addresses that no blocklist may block. `key` is the key of the configuration that lists
    `networks`."""
    return [RequiredExemption(parse_range(str(network)), key) for network in networks]


def zone_writer(  # noqa: PLR0913  # everything about the org that its zones need
    org: str,
    url: str,
    settings: OrgZones,
    api: Api,
    clock: Clock,
    *,
    store: Path,
    client_id: str | None = None,
    protected: Iterable[RequiredExemption] = (),
) -> ZoneWriter:
    """Return the writer of an org's zones. The record of zones and its lock file are in the folder of the store.

    `client_id` is None if the forwarder uses an API token. `protected` are addresses that no blocklist may block, in
    addition to the forwarder's own addresses.
    """
    stated = protected_by(f"orgs.{org}.egress", settings.egress)
    egress = Egress(api, url, clock, client_id=client_id, stated=stated)
    return ZoneWriter(org, ZoneAdmin(api), ZoneGuard(org, egress, protected), ZoneRecord(store), clock)
