"""Compares the network zones of one org with the zones in the configuration."""

from collections.abc import Collection

import msgspec

from forwarder.okta.zones.plan import ZonePlan, as_it_is, plan
from forwarder.okta.zones.settings import OrgZones
from forwarder.okta.zones.writer import ZoneWriter
from forwarder.okta.zones.zone import Zone, desired_zone


class ZoneLook(msgspec.Struct, frozen=True):
    """The result of `look`. `problems` has a line for each reason why nothing may be written; `zones` are all zones of the
    org."""

    plan: ZonePlan
    problems: list[str]
    zones: list[Zone]


async def look(
    settings: OrgZones, writer: ZoneWriter, *, activate: bool = False, adopt: Collection[str] = ()
) -> ZoneLook:
    """Read the zones of an org and plan what to change; change nothing. For `activate` and `adopt`, see `plan`.

    Raises:
        OktaError: Okta refuses, or does not respond.
    """
    zones, made = await writer.admin.all(), writer.made
    desired = [desired_zone(name, zone) for name, zone in settings.zones.items()]
    blocklist = settings.blocklist.zone
    desired += [
        as_it_is(zone)
        for zone in zones
        if zone.name == blocklist and zone.type == "IP" and (made.has(zone) or blocklist in adopt)
    ]
    planned = plan(desired, zones, made, activate=activate, adopt=adopt, kept=[blocklist])
    return ZoneLook(planned, await writer.guard.problems(zones, made) if desired else [], zones)
