"""What must hold before the forwarder changes what Okta blocks."""

from collections.abc import Iterable, Sequence

from forwarder.core.errors import OktaRefusedError
from forwarder.okta.zones.addresses import AddressRange
from forwarder.okta.zones.egress import Egress
from forwarder.okta.zones.exemption import Needed, exemption_problems
from forwarder.okta.zones.record import Made
from forwarder.okta.zones.zone import Zone


class ZoneGuard:
    """The check of one org: the forwarder's own addresses and the protected ones are exempt from all blocklists."""

    def __init__(self, org: str, egress: Egress, protected: Iterable[Needed] = ()) -> None:
        """Args: `protected` is what the operator protects, beside the forwarder's own addresses."""
        self._org = org
        self._egress = egress
        self._protected = tuple(protected)

    async def problems(
        self, zones: Sequence[Zone], made: Made, *, blocked: AddressRange | None = None, written: str = ""
    ) -> list[str]:
        """Return why nothing may be blocked, a line each.

        Args:
            zones: all of the org.
            made: what we made.
            blocked: what will be blocked, if it is known: it must not be one of the addresses that are checked.
            written: id of a zone that was just written: wait some seconds for the System Log to show it.

        Raises:
            OktaError: the System Log cannot be read.
        """
        own = [zone.id for zone in zones if made.has(zone)]
        try:
            egress = await self._egress.addresses(own, written=written)
        except OktaRefusedError as error:
            return [
                f"the System Log, which shows from where Okta sees the forwarder, cannot be read: {error}"
            ]
        problems = []
        if not egress:
            problems.append(
                f"from which address Okta sees the forwarder is not known; set orgs.{self._org}.egress, as in egress:"
                " [203.0.113.7]"
            )
        needed = [*egress, *self._protected]
        if blocked is not None:
            problems += [
                f"{blocked.text} would block {each.range.text} ({each.why})"
                for each in needed
                if each.range.overlaps(blocked)
            ]
        return problems + list(exemption_problems(zones, needed))
