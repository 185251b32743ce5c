"""The network zones of the emulated org. They behave as in recordings of real orgs:

- `POST` creates an ACTIVE zone, even with `"status": "INACTIVE"`; `PUT` applies the status.
- `PUT` replaces the zone, and answers with the `lastUpdated` from before the call.
- The API returns locations in an order other than the order in the request.
- The API returns a range of one address `a` as `a-a`. A CIDR keeps its host bits.

Okta documents the names and usages of the four zones that every org has. The statuses that these zones have at first
are inferred.
"""

from random import Random
from typing import Any

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import Micros, iso
from forwarder.emulator.actors import Caller, Report
from forwarder.emulator.events.fixtures import entity, okta_id
from forwarder.emulator.http.errors import forbidden, invalid
from forwarder.emulator.object_collection import Objects
from forwarder.emulator.zones.zone_body import Names, ZoneSpec, as_shown, problems

_MOST_ZONES = 100
_MOST_BLOCKED = 25_000
"""The largest number of gateways in all blocklists together."""

_ANONYMIZERS = Names(("ALL_ANONYMIZERS",))

_SYSTEM = (
    ZoneSpec("IP", "LegacyIpZone"),
    ZoneSpec("IP", "BlockedIpZone", usage="BLOCKLIST"),
    ZoneSpec(
        "DYNAMIC_V2",
        "DefaultEnhancedDynamicZone",
        status="INACTIVE",
        usage="BLOCKLIST",
        ip_service_categories=_ANONYMIZERS,
    ),
    ZoneSpec("IP", "DefaultExemptIpZone"),
)
"""The zones that every org has."""


class EmulatedZone(msgspec.Struct):
    """A zone.

    Attributes:
        system: whether every org has this zone.
        exempt: whether the addresses of this zone are never blocked.
    """

    id: str
    spec: ZoneSpec
    created: Micros
    updated: Micros
    active: bool = True
    system: bool = False
    exempt: bool = False

    def view(self, org_url: str, *, updated: Micros | None = None) -> dict[str, Any]:
        """Return the zone as the API shows it; `updated` replaces the real time of `lastUpdated`."""
        url = f"{org_url}/api/v1/zones/{self.id}"
        step = "deactivate" if self.active else "activate"
        shown: dict[str, Any] = {
            "id": self.id,
            "type": self.spec.type,
            "name": self.spec.name,
            "status": "ACTIVE" if self.active else "INACTIVE",
            "usage": self.spec.usage,
            "created": iso(self.created, "milliseconds"),
            "lastUpdated": iso(self.updated if updated is None else updated, "milliseconds"),
            "system": self.system,
            "_links": {
                "self": {"href": url, "hints": {"allow": ["GET", "PUT", "DELETE"]}},
                step: {"href": f"{url}/lifecycle/{step}", "hints": {"allow": ["POST"]}},
            },
        }
        if self.system and self.spec.type == "DYNAMIC_V2" and not (self.spec.locations or self.spec.asns):
            # No recording shows this zone. Okta's own client can read null here, but not empty lists.
            nothing = {"locations": None, "asns": None}
            return shown | nothing | {"ipServiceCategories": self.spec.ip_service_categories}
        return shown | self.spec.shown()


class Zones(Objects[EmulatedZone]):
    """The zones of an org. Methods raise OktaApiError where Okta would refuse the call."""

    kind = "NetworkZone"

    def __init__(self, clock: Clock, random: Random, report: Report) -> None:
        super().__init__()
        self._clock = clock
        self._random = random
        self._report = report
        now = clock.now()
        for spec in _SYSTEM:
            zone = EmulatedZone(okta_id("nzo", random), spec, now, now, spec.status == "ACTIVE", system=True)
            zone.exempt = spec.name == "DefaultExemptIpZone"
            self._by_id[zone.id] = zone

    def create(self, spec: ZoneSpec, caller: Caller) -> EmulatedZone:
        """Create a zone. The zone is ACTIVE, even if the caller sent another status."""
        if len(self._by_id) - len(_SYSTEM) >= _MOST_ZONES:
            raise invalid("zone", f"No more than {_MOST_ZONES} zones may exist.")
        spec = self._checked(spec)
        now = self._clock.now()
        zone = EmulatedZone(okta_id("nzo", self._random), spec, now, now)
        self._by_id[zone.id] = zone
        self._changed("zone.create", zone, caller)
        return zone

    def replace(self, zone: EmulatedZone, spec: ZoneSpec, caller: Caller) -> None:
        """Replace all settings of a zone."""
        if spec.type != zone.spec.type:
            raise invalid("type", "type: The type of a zone cannot be changed.")
        if zone.exempt and not spec.use_as_exempt_list:
            reason = "The network zone does not allow usage changes for DefaultExemptIpZone."
            raise invalid("useAsExemptList", f"useAsExemptList: {reason}")
        zone.spec = self._checked(spec, zone)
        zone.active = spec.status != "INACTIVE" or zone.exempt
        zone.updated = self._clock.now()
        self._changed("zone.update", zone, caller)

    def set_active(self, zone: EmulatedZone, caller: Caller, *, active: bool) -> None:
        """Activate or deactivate a zone."""
        if zone.exempt:
            raise forbidden("The status of this zone cannot be changed.")
        zone.active, zone.updated = active, self._clock.now()
        self._changed("zone.activate" if active else "zone.deactivate", zone, caller)

    def delete(self, zone: EmulatedZone, caller: Caller) -> None:
        """Delete an INACTIVE zone."""
        if zone.system:
            raise forbidden("A system network zone cannot be deleted.")
        if zone.active:
            raise forbidden("An active network zone cannot be deleted.")
        del self._by_id[zone.id]
        self._changed("zone.delete", zone, caller)

    def _checked(self, spec: ZoneSpec, old: EmulatedZone | None = None) -> ZoneSpec:
        causes = problems(spec, system=old is not None and old.system)
        blocked = sum(
            len(zone.spec.gateways or ())
            for zone in self._by_id.values()
            if zone is not old and zone.spec.usage == "BLOCKLIST"
        )
        if spec.usage == "BLOCKLIST" and blocked + len(spec.gateways or ()) > _MOST_BLOCKED:
            causes.append(f"gateways: No more than {_MOST_BLOCKED} gateways may be blocked in an org.")
        if any(zone is not old and zone.spec.name == spec.name for zone in self._by_id.values()):
            causes.append("name: A zone with this name already exists.")
        if causes:
            raise invalid("zone", *causes)
        if spec.gateways:
            spec = msgspec.structs.replace(spec, gateways=tuple(map(as_shown, spec.gateways)))
        return spec

    def _changed(self, event_type: str, zone: EmulatedZone, caller: Caller) -> None:
        self._report(event_type, caller, target=[entity(zone.id, "NetworkZone", zone.spec.name)])
