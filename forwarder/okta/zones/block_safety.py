"""Checks that it is safe to block addresses, before the forwarder changes a blocklist."""

from collections.abc import Iterable, Sequence

from forwarder.core.errors import OktaRefusedError
from forwarder.okta.zones.address_ranges import AddressRange
from forwarder.okta.zones.exemption import RequiredExemption, exemption_problems
from forwarder.okta.zones.forwarder_addresses import Egress
from forwarder.okta.zones.zone import Zone
from forwarder.okta.zones.zone_record import Made


class ZoneGuard:
    """Checks that the forwarder's own addresses and the protected addresses are exempt from all blocklists of one
    org."""

    def __init__(self, org: str, egress: Egress, protected: Iterable[RequiredExemption] = ()) -> None:
        """Create the guard. `protected` are addresses that no blocklist may block, besides the forwarder's own
        addresses."""
        self._org = org
        self._egress = egress
        self._protected = tuple(protected)

    async def problems(
        self, zones: Sequence[Zone], made: Made, *, blocked: AddressRange | None = None, written: str = ""
    ) -> list[str]:
        """Return a line for each reason why nothing may be blocked; empty if blocking is safe.

        `zones` are all zones of the org. `blocked` are the addresses that will be blocked, if they are known: they must
        not overlap the forwarder's own addresses or the protected addresses. For `written`, see `Egress.addresses`.

        Raises:
            OktaError: the System Log cannot be read.
        """
        own = [zone.id for zone in zones if made.has(zone)]
        try:
            egress = await self._egress.addresses(own, written=written)
        except OktaRefusedError as error:
            return [
                f"the System Log, which shows the addresses from which Okta sees the forwarder, cannot be read: {error}"
            ]
        problems = []
        if not egress:
            problems.append(
                "the forwarder does not know its public address, from which its calls reach Okta; set "
                f"orgs.{self._org}.egress, as in egress: [203.0.113.7]"
            )
        needed = [*egress, *self._protected]
        if blocked is not None:
            problems += [
                f"{blocked.text} would block {each.range.text} ({each.why})"
                for each in needed
                if each.range.overlaps(blocked)
            ]
        return problems + list(exemption_problems(zones, needed))
