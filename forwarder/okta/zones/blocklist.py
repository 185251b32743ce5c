"""Adds single addresses to the zone of the action `block_ip`, and removes them.

Okta's API cannot change one entry, only replace the whole zone, and cannot refuse a replacement if someone else has
changed the zone meanwhile. So each change reads the zone, replaces it, and reads it again to check the result. A lock
keeps other writers on this machine out.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import msgspec

from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.okta.hooks.hook import PropertyDifference
from forwarder.okta.zones.address_ranges import AddressRange, parse_range, uncovered
from forwarder.okta.zones.plan import as_it_is, plan
from forwarder.okta.zones.settings import MAX_GATEWAYS, BlocklistSettings, ZoneSettings
from forwarder.okta.zones.writer import ZoneWriter
from forwarder.okta.zones.zone import DesiredZone, Zone, desired_zone, gateway_entry

UNUSED_ADDRESS = parse_range("192.0.2.1")
"""The only entry of a zone without addresses to block, if Okta does not accept an empty zone. The address is reserved for
documentation, so the entry blocks no client."""

_TRIES = 2
"""Attempts to make a change, if another writer undoes it at once. Our lock does not stop writers elsewhere."""


class ZoneRefusedError(OktaError):
    """The forwarder refuses to change the blocklist. `problems` has a line for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class ZoneFullError(ZoneRefusedError):
    """The zone has no room for another entry."""


class BlocklistChange(msgspec.Struct, frozen=True):
    """The result of `Blocklist.add` or `Blocklist.remove`.

    Attributes:
        left: differences between the zone that we wrote and the zone that Okta shows now: changes that others have
            made.
        still: after a removal: the other entries that still make Okta block the address, for example `192.0.2.0/24 of
            the zone X`.
    """

    left: tuple[PropertyDifference, ...] = ()
    still: tuple[str, ...] = ()


class Listed(msgspec.Struct, frozen=True):
    """Whether and how the zone lists one address.

    Attributes:
        blocks: whether Okta blocks the address because of this zone.
        is_done: whether everything that `add` does is done: the zone lists the address, is a blocklist, and is active if
            `blocklist.activate` is set. False if an `add` was interrupted.
        within: the larger entry that contains the address; empty if the address has an entry of its own.
    """

    listed: bool = False
    blocks: bool = False
    is_done: bool = False
    within: str = ""


class BlocklistState(msgspec.Struct, frozen=True):
    """The current state of the zone.

    Attributes:
        zone_id: Okta's id of the zone; empty if there is no zone yet.
        blocks: whether Okta blocks the addresses that the zone lists.
        room: how many more entries the zone can have.
        problems: a line for each reason why no address can be added.
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
        """Return the state of the zone, and change nothing."""
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
        """Return whether the zone lists `address`, as an entry of its own or within a larger entry, and whether Okta
        blocks the address because of the zone.

        Raises:
            ValueError: `address` is not an IP address.
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
        """Add one address to the zone; create the zone if it does not exist.

        A new zone is activated only if `blocklist.activate` is set. An existing INACTIVE zone stays INACTIVE.

        Raises:
            ValueError: `address` is not an IP address.
            ZoneFullError: the zone has no room for the address.
            ZoneRefusedError: the address must not be blocked, a protected address is not exempt in Okta, or the
                forwarder did not make the zone.
        """
        wanted = _single(address)
        async with self._writer.writing():
            for _ in range(_TRIES):
                change = await self._add(wanted)
                if not any(wanted.text in difference.wants for difference in change.left):
                    return change
        raise OktaError(
            f"the zone {self._settings.zone} no longer has {wanted.text}, which was just added: someone else removed it;"
            " find out who else writes to the zone"
        )

    async def remove(self, address: str) -> BlocklistChange:
        """Remove the entry of one address. Larger entries that contain the address stay, and the result's
        `still` names them. The zone stays, even without entries.

        Raises:
            ValueError: `address` is not an IP address.
            ZoneRefusedError: the forwarder did not make the zone.
        """
        wanted = _single(address)
        async with self._writer.writing():
            for _ in range(_TRIES):
                change = await self._remove(wanted)
                if not any(wanted.text in difference.has for difference in change.left):
                    return change
        raise OktaError(
            f"the zone {self._settings.zone} again has {wanted.text}, which was just removed: someone else added it;"
            " find out who else writes to the zone"
        )

    async def _add(self, wanted: AddressRange) -> BlocklistChange:
        zones, made = await self._writer.admin.all(), self._writer.made
        zone = _named(self._settings.zone, zones)
        if problems := await self._writer.guard.problems(zones, made, blocked=wanted):
            raise ZoneRefusedError(problems)
        if zone is not None and zone.usage == "BLOCKLIST" and uncovered(wanted, zone.gateways) is None:
            self._refuse_foreign(zone)
            return BlocklistChange()
        if zone is None:
            desired = desired_zone(self._settings.zone, ZoneSettings(ips=(wanted.text,)))
        else:
            kept = [entry for entry in zone.gateway_entries if _range_of(entry) not in {UNUSED_ADDRESS, wanted}]
            desired = _with_entries(zone, [*kept, gateway_entry(wanted.text)])
        if len(desired.body["gateways"]) > MAX_GATEWAYS:
            text = f"the zone {self._settings.zone} has {MAX_GATEWAYS:,} entries, which is Okta's limit"
            raise ZoneFullError([f"{text}; remove some entries, or wait until the next block ends"])
        is_new = zone is None or zone.usage != "BLOCKLIST"
        return await self._apply(desired, zones, activate=self._settings.activate and is_new)

    async def _remove(self, wanted: AddressRange) -> BlocklistChange:
        zones = await self._writer.admin.all()
        zone = _named(self._settings.zone, zones)
        still = _blocking(wanted, zones, own=zone)
        if zone is None or wanted not in zone.gateways:
            return BlocklistChange(still=still)
        kept = [entry for entry in zone.gateway_entries if _range_of(entry) != wanted]
        try:
            change = await self._apply(_with_entries(zone, kept), zones)
        except OktaRefusedError as error:
            if kept or error.status != 400:
                raise
            unused = _with_entries(zone, [gateway_entry(UNUSED_ADDRESS.text)])
            change = await self._apply(unused, await self._writer.admin.all())
        return msgspec.structs.replace(change, still=still)

    async def _apply(self, desired: DesiredZone, zones: Sequence[Zone], *, activate: bool = False) -> BlocklistChange:
        """Make a plan for the zone `desired`, and carry it out. The plan refuses changes that must not be made."""
        (step,) = plan([desired], zones, self._writer.made, activate=activate).steps
        if step.problem:
            raise ZoneRefusedError([f"the zone {desired.name}: {step.problem}"])
        applied = await self._writer.apply(step)
        if applied.problems:
            raise ZoneRefusedError(applied.problems)
        return BlocklistChange(applied.left)

    def _refuse_foreign(self, zone: Zone) -> None:
        (step,) = plan([as_it_is(zone)], [zone], self._writer.made).steps
        if step.problem:
            raise ZoneRefusedError([f"the zone {zone.name}: {step.problem}"])


def _named(name: str, zones: Sequence[Zone]) -> Zone | None:
    return next((zone for zone in zones if zone.name == name), None)


def _blocking(wanted: AddressRange, zones: Sequence[Zone], own: Zone | None) -> tuple[str, ...]:
    """Return the entries, in all zones, that make Okta block `wanted`. If the zone `own` has an entry that equals
    `wanted`, leave out that entry."""
    return tuple(
        f"{each.text} of the zone {zone.name}"
        for zone in zones
        if zone.blocks
        for each in zone.gateways
        if each.overlaps(wanted) and not (zone is own and each == wanted)
    )


def _single(address: str) -> AddressRange:
    """Return `address` as a range of one address."""
    return parse_range(str(ip_address(address)))


def _with_entries(zone: Zone, entries: list[dict[str, Any]]) -> DesiredZone:
    """Return `zone` with `entries` in place of its own entries. If `entries` contains an entry that `zone` already has,
    the entry must be spelled as Okta shows it."""
    wanted = Zone.read({**zone.raw, "gateways": entries, "proxies": None})
    return DesiredZone(zone.name, zone.type, wanted.contents, {"gateways": entries, "proxies": None})


def _range_of(entry: Mapping[str, Any]) -> AddressRange | None:
    try:
        return parse_range(entry.get("value", ""))
    except ValueError:
        return None
