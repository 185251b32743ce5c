"""An org with zones, and what the forwarder needs to write them: the record beside a store, and the guard."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forwarder.okta.zones.blocklist import Blocklist
from forwarder.okta.zones.build import protected_by, zone_writer
from forwarder.okta.zones.settings import BlocklistSettings, OrgZones
from forwarder.okta.zones.sync import ZoneLook, look
from forwarder.okta.zones.writer import Applied, ZoneWriter
from forwarder.okta.zones.zone_record import ZoneRecord
from tests.fakes.clock import ManualClock
from tests.fakes.okta_zones import ZoneOrg

EGRESS = "8.8.8.8"
PROTECTED = "198.51.100.0/24"


@dataclass
class Scene:
    """The zones of the org `acme`; `egress` is the setting of the operator."""

    folder: Path
    org: ZoneOrg = field(default_factory=ZoneOrg)
    clock: ManualClock = field(default_factory=ManualClock)
    egress: Sequence[str] = (EGRESS,)

    @property
    def record(self) -> ZoneRecord:
        return ZoneRecord(self.folder / "forwarder.db")

    @property
    def writer(self) -> ZoneWriter:
        return zone_writer(
            "acme",
            "https://acme.okta.com",
            OrgZones(egress=tuple(self.egress)),
            self.org,
            self.clock,
            store=self.folder / "forwarder.db",
            protected=protected_by("reactions.protect.ips", [PROTECTED]),
        )

    def blocklist(self, **changes: Any) -> Blocklist:
        return Blocklist(BlocklistSettings(**changes), self.writer)

    async def look(self, zones: dict[str, Any], **options: Any) -> ZoneLook:
        return await look(OrgZones(zones=zones), self.writer, **options)

    async def sync(self, zones: dict[str, Any], **options: Any) -> list[Applied]:
        """Do what `forwarder zones sync` does, for zones without a problem."""
        writer = self.writer
        async with writer.writing():
            found = await look(OrgZones(zones=zones), writer, **options)
            assert found.problems == []
            return [await writer.apply(step) for step in found.plan.steps if step.action not in {"none", "refuse"}]
