"""The zone of the action `block_ip`: single addresses that are added and removed one at a time.

Okta has no call for one entry, only one that replaces the zone, and no way to notice a change in between. So each change
reads, replaces and reads again, under the lock of the only writer on this machine.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import msgspec

from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.okta.hooks.desired import Difference
from forwarder.okta.zones.addresses import AddressRange, parse_range, uncovered
from forwarder.okta.zones.plan import as_it_is, plan
from forwarder.okta.zones.settings import MAX_GATEWAYS, BlocklistSettings, ZoneSettings
from forwarder.okta.zones.writer import ZoneWriter
from forwarder.okta.zones.zone import DesiredZone, Zone, desired_zone, gateway_entry

UNUSED_ADDRESS = parse_range("192.0.2.1")
"""Reserved for documentation, so it blocks no one: what the zone holds if Okta accepts no empty one."""

_TRIES = 2
"""Of a change that another writer, whom our lock does not stop, has undone at once."""


class ZoneRefusedError(OktaError):
    """The forwarder does not change the blocklist: `problems` says why, a line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class ZoneFullError(ZoneRefusedError):
    """The zone has no room for another entry."""


class BlocklistChange(msgspec.Struct, frozen=True):
    """The result of a change.

    Attributes:
        changed: false if the zone was as it should be already.
        blocks: whether Okta blocks what the zone lists; false while the zone is INACTIVE.
        zone_id: empty if there is no zone.
        left: what Okta shows otherwise than it was written: others write to the zone too.
        still: after a removal, the entries by which Okta blocks the address all the same, as in `192.0.2.0/24 of the zone X`.
    """

    changed: bool
    blocks: bool
    zone_id: str = ""
    left: tuple[Difference, ...] = ()
    still: tuple[str, ...] = ()


class Listed(msgspec.Struct, frozen=True):
    """What becomes of one address.

    Attributes:
        listed: whether the zone lists it.
        blocks: whether Okta blocks it for that.
        is_done: the zone lists it, and is as `add` leaves it; false if that was interrupted.
        within: the larger entry that holds it, if it has none of its own.
    """

    listed: bool = False
    blocks: bool = False
    is_done: bool = False
    within: str = ""


class BlocklistState(msgspec.Struct, frozen=True):
    """The zone as it is.

    Attributes:
        zone_id: empty if there is no zone yet.
        blocks: whether Okta blocks what it lists.
        entries: how many it lists.
        room: how many more it can list.
        problems: why no address can be added, a line each.
    """

    zone_id: str
    blocks: bool
    entries: int
    room: int
    problems: tuple[str, ...]


class Blocklist:
    """The blocklist of one org. Every method raises OktaError if Okta refuses or does not respond."""

    def __init__(self, settings: BlocklistSettings, writer: ZoneWriter) -> None:
        self._settings = settings
        self._writer = writer

    async def state(self) -> BlocklistState:
        """Return the state of the zone; changes nothing."""
        zones, made = await self._writer.admin.all(), self._writer.made
        problems = await self._writer.guard.problems(zones, made)
        zone = _named(self._settings.zone, zones)
        if zone is None:
            return BlocklistState("", blocks=False, entries=0, room=MAX_GATEWAYS, problems=tuple(problems))
        (step,) = plan([as_it_is(zone)], zones, made).steps
        if step.problem:
            problems.append(f"the zone {zone.name}: {step.problem}")
        entries = len(zone.gateway_entries)
        return BlocklistState(zone.id, zone.blocks, entries, max(0, MAX_GATEWAYS - entries), tuple(problems))

    async def look(self, address: str) -> Listed:
        """See whether the zone lists `address`, alone or within a larger entry, and what becomes of that.

        Raises:
            ValueError: it is not an address.
        """
        wanted = _single(address)
        zone = _named(self._settings.zone, await self._writer.admin.all())
        if zone is None or uncovered(wanted, zone.gateways) is not None:
            return Listed()
        is_done = zone.usage == "BLOCKLIST" and (zone.blocks or not self._settings.activate)
        larger = [each.text for each in zone.gateways if each.overlaps(wanted)]
        within = "" if wanted in zone.gateways else larger[0]
        return Listed(listed=True, blocks=zone.blocks, is_done=is_done, within=within)

    async def add(self, address: str) -> BlocklistChange:
        """Add one address; create the zone if there is none.

        A new zone blocks only if the operator's `blocklist.activate` says so, and one that was deactivated stays so.

        Raises:
            ValueError: it is not an address.
            ZoneFullError: the zone has no room.
            ZoneRefusedError: the address must not be blocked, or what must never be blocked is not exempt, or others made
                the zone.
        """
        wanted = _single(address)
        async with self._writer.writing():
            for _ in range(_TRIES):
                change = await self._add(wanted)
                if not any(wanted.text in difference.wants for difference in change.left):
                    return change
        raise OktaError(f"the zone {self._settings.zone} lost {wanted.text} at once; others write to it too")

    async def remove(self, address: str) -> BlocklistChange:
        """Remove the entry of one address; larger entries that contain it stay, and `still` names them. Its zone stays too.

        Raises:
            ValueError: it is not an address.
            ZoneRefusedError: others made the zone.
        """
        wanted = _single(address)
        async with self._writer.writing():
            for _ in range(_TRIES):
                change = await self._remove(wanted)
                if not any(wanted.text in difference.has for difference in change.left):
                    return change
        raise OktaError(
            f"the zone {self._settings.zone} got {wanted.text} back at once; others write to it too"
        )

    async def _add(self, wanted: AddressRange) -> BlocklistChange:
        zones, made = await self._writer.admin.all(), self._writer.made
        zone = _named(self._settings.zone, zones)
        if problems := await self._writer.guard.problems(zones, made, blocked=wanted):
            raise ZoneRefusedError(problems)
        if zone is not None and zone.usage == "BLOCKLIST" and uncovered(wanted, zone.gateways) is None:
            self._refuse_foreign(zone)
            return BlocklistChange(changed=False, blocks=zone.blocks, zone_id=zone.id)
        if zone is None:
            desired = desired_zone(self._settings.zone, ZoneSettings(ips=(wanted.text,)))
        else:
            kept = [
                entry for entry in zone.gateway_entries if _range_of(entry) not in {UNUSED_ADDRESS, wanted}
            ]
            desired = _with_entries(zone, [*kept, gateway_entry(wanted.text)])
        if len(desired.body["gateways"]) > MAX_GATEWAYS:
            text = f"the zone {self._settings.zone} has {MAX_GATEWAYS:,} entries, which is Okta's limit"
            raise ZoneFullError([f"{text}; remove some, or wait until the next one ends"])
        is_new = zone is None or zone.usage != "BLOCKLIST"
        return await self._apply(desired, zones, activate=self._settings.activate and is_new)

    async def _remove(self, wanted: AddressRange) -> BlocklistChange:
        zones = await self._writer.admin.all()
        zone = _named(self._settings.zone, zones)
        still = _blocking(wanted, zones, own=zone)
        if zone is None or wanted not in zone.gateways:
            blocks, zone_id = (zone.blocks, zone.id) if zone else (False, "")
            return BlocklistChange(changed=False, blocks=blocks, zone_id=zone_id, still=still)
        kept = [entry for entry in zone.gateway_entries if _range_of(entry) != wanted]
        try:
            change = await self._apply(_with_entries(zone, kept), zones)
        except OktaRefusedError as error:
            if kept or error.status != 400:
                raise
            unused = _with_entries(zone, [gateway_entry(UNUSED_ADDRESS.text)])
            change = await self._apply(unused, await self._writer.admin.all())
        return msgspec.structs.replace(change, still=still)

    async def _apply(
        self, desired: DesiredZone, zones: Sequence[Zone], *, activate: bool = False
    ) -> BlocklistChange:
        """Write the zone through the plan, whose reasons to leave a zone alone hold here too."""
        (step,) = plan([desired], zones, self._writer.made, activate=activate).steps
        if step.problem:
            raise ZoneRefusedError([f"the zone {desired.name}: {step.problem}"])
        applied = await self._writer.apply(step)
        if applied.problems:
            raise ZoneRefusedError(applied.problems)
        return BlocklistChange(
            changed=True, blocks=applied.zone.blocks, zone_id=applied.zone.id, left=applied.left
        )

    def _refuse_foreign(self, zone: Zone) -> None:
        (step,) = plan([as_it_is(zone)], [zone], self._writer.made).steps
        if step.problem:
            raise ZoneRefusedError([f"the zone {zone.name}: {step.problem}"])


def _named(name: str, zones: Sequence[Zone]) -> Zone | None:
    return next((zone for zone in zones if zone.name == name), None)


def _blocking(wanted: AddressRange, zones: Sequence[Zone], own: Zone | None) -> tuple[str, ...]:
    """Return the entries by which Okta blocks an address, without its own entry in the zone `own`."""
    return tuple(
        f"{each.text} of the zone {zone.name}"
        for zone in zones
        if zone.blocks
        for each in zone.gateways
        if each.overlaps(wanted) and not (zone is own and each == wanted)
    )


def _single(address: str) -> AddressRange:
    """Read one address; an IPv4 address within an IPv6 one is that IPv4 address."""
    found = ip_address(address)
    return parse_range(str(getattr(found, "ipv4_mapped", None) or found))


def _with_entries(zone: Zone, entries: list[dict[str, Any]]) -> DesiredZone:
    """Return `zone` with other entries. Okta shows each as it was written, so those that stay are sent back unchanged."""
    wanted = Zone.read({**zone.raw, "gateways": entries, "proxies": None})
    return DesiredZone(zone.name, zone.type, wanted.contents, {"gateways": entries, "proxies": None})


def _range_of(entry: Mapping[str, Any]) -> AddressRange | None:
    try:
        return parse_range(entry.get("value", ""))
    except ValueError:
        return None
