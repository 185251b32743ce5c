"""Puts together what writes the zones of one org, for the command and for the action `block_ip`."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from forwarder.core.ports import Clock
from forwarder.okta.api.port import Api
from forwarder.okta.zones.addresses import parse_range
from forwarder.okta.zones.admin import ZoneAdmin
from forwarder.okta.zones.egress import Egress
from forwarder.okta.zones.exemption import Needed
from forwarder.okta.zones.guard import ZoneGuard
from forwarder.okta.zones.record import ZoneRecord
from forwarder.okta.zones.settings import OrgZones
from forwarder.okta.zones.writer import ZoneWriter


def protected_by(key: str, networks: Iterable[IPv4Network | IPv6Network | str]) -> list[Needed]:
    """Return networks that the key `key` of the configuration protects."""
    return [Needed(parse_range(str(network)), key) for network in networks]


def zone_writer(  # noqa: PLR0913  # all that is known about the org
    org: str,
    url: str,
    settings: OrgZones,
    api: Api,
    clock: Clock,
    *,
    store: Path,
    client_id: str | None = None,
    protected: Iterable[Needed] = (),
) -> ZoneWriter:
    """Return what writes the zones of an org.

    Args:
        org: its name in the configuration.
        url: its address.
        settings: its zones.
        api: its API.
        clock: the time.
        store: path of the store, beside which the record and the lock are.
        client_id: of the service app; None for an API token.
        protected: what must be exempt, beside the forwarder's own addresses.
    """
    stated = protected_by(f"orgs.{org}.egress", settings.egress)
    egress = Egress(api, url, clock, client_id=client_id, stated=stated)
    return ZoneWriter(org, ZoneAdmin(api), ZoneGuard(org, egress, protected), ZoneRecord(store), clock)
