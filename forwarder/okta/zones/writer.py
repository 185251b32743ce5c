"""Carries out the steps of a plan. Network zones are changed only here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from forwarder.core.errors import OktaError, OktaRefusedError
from forwarder.core.ports import Clock
from forwarder.okta.hooks.hook import PropertyDifference
from forwarder.okta.zones.admin import ZoneAdmin
from forwarder.okta.zones.block_safety import ZoneGuard
from forwarder.okta.zones.plan import ZoneStep, differences_between
from forwarder.okta.zones.zone import DesiredZone, Zone
from forwarder.okta.zones.zone_record import Made, ZoneRecord


class Applied(msgspec.Struct, frozen=True):
    """The result of one step.

    Attributes:
        zone: the zone as Okta shows it at the end.
        left: differences between the zone that we wrote and the zone that Okta shows now.
        problems: a line for each reason why the zone was not activated; empty if nothing prevented that.
    """

    zone: Zone
    left: tuple[PropertyDifference, ...] = ()
    problems: tuple[str, ...] = ()


class ZoneWriter:
    """Writes the zones of one org. Every method raises OktaError if Okta refuses or does not respond."""

    def __init__(self, org: str, admin: ZoneAdmin, guard: ZoneGuard, record: ZoneRecord, clock: Clock) -> None:
        self.admin = admin
        self.guard = guard
        self._org = org
        self._record = record
        self._clock = clock
        # Only one change of this process polls the lock file of the record. Other changes of this process wait here.
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Keep out other writers on this machine during the `with` block. Call `apply` only inside this block."""
        async with self._turn, self._record.writer(self._clock):
            yield

    @property
    def made(self) -> Made:
        """The zones of the org that we made."""
        return self._record.made(self._org)

    async def apply(self, step: ZoneStep) -> Applied:
        """Carry out one step of a plan.

        Raises:
            OktaError: Okta refuses or does not respond, or others have changed the zone since the plan was made.
        """
        zone = await self._unchanged(step.zone) if step.zone else await self._create(step.desired)
        if step.zone is not None:
            await asyncio.to_thread(self._record.note, self._org, zone.name, zone.id)
        if step.differences:
            zone = await self.admin.replace(zone.id, step.desired.request(active=step.stays_active))
        left = _left(step, zone)
        if left or not step.activate:
            return Applied(zone, left)
        return await self._activate(zone, written=zone.id if step.differences else "")

    async def _create(self, desired: DesiredZone) -> Zone:
        """Create the zone in a form that blocks nothing yet. Record the new zone, and return it."""
        if any(zone.name == desired.name for zone in await self.admin.all()):
            raise OktaError(f"someone else created the zone {desired.name} meanwhile; try again")
        await asyncio.to_thread(self._record.note, self._org, desired.name, "")
        try:
            zone_id = await self.admin.create(desired.staged())
        except OktaRefusedError as error:
            if error.status < 500:
                await asyncio.to_thread(self._record.forget, self._org, desired.name)
            raise
        await asyncio.to_thread(self._record.note, self._org, desired.name, zone_id)
        return await self.admin.get(zone_id)

    async def _unchanged(self, zone: Zone) -> Zone:
        """Read `zone` from Okta again and return it. Raise OktaError if the zone has changed."""
        now = await self.admin.get(zone.id)
        if (now.contents, now.status, now.usage, now.name) != (zone.contents, zone.status, zone.usage, zone.name):
            raise OktaError(f"someone else changed the zone {zone.title} meanwhile; try again")
        return now

    async def _activate(self, zone: Zone, *, written: str) -> Applied:
        """Activate a zone, unless a last check finds a problem.

        The check reads our addresses from the System Log. If we have just written the zone, `written` is the id of the
        zone, and the check waits some seconds until the log shows the call that wrote it. Otherwise `written` is empty.
        """
        problems = await self.guard.problems(await self.admin.all(), self.made, written=written)
        if problems:
            return Applied(zone, problems=tuple(problems))
        zone = await self.admin.activate(zone.id)
        left = () if zone.blocks else (PropertyDifference("status", (zone.status,), ("ACTIVE",)),)
        return Applied(zone, left)


def _left(step: ZoneStep, zone: Zone) -> tuple[PropertyDifference, ...]:
    """Return the differences between the zone that `step` has written and `zone`, as Okta shows it."""
    left = differences_between(step.desired.contents, zone.contents)
    if zone.usage != "BLOCKLIST":
        left += (PropertyDifference("usage", (zone.usage,), ("BLOCKLIST",)),)
    if zone.active and not step.stays_active:
        left += (PropertyDifference("status", (zone.status,), ("INACTIVE",)),)
    return left
