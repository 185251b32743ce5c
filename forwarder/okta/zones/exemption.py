"""Checks that the addresses that must never be blocked are in Okta's exempt zone. Does no I/O."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from forwarder.okta.zones.address_ranges import AddressRange, uncovered
from forwarder.okta.zones.zone import Zone

EXEMPT_ZONE = "DefaultExemptIpZone"
"""The name of Okta's own zone for addresses that no blocklist blocks. An org has at most one, and the API marks it
only by this name."""


class RequiredExemption(msgspec.Struct, frozen=True):
    """Addresses that no blocklist may block, so that they must be in Okta's exempt zone. `why` says where the addresses
    come from: a key of the configuration, or a call of ours that the System Log shows."""

    range: AddressRange
    why: str


def exemption_problems(zones: Sequence[Zone], needed: Iterable[RequiredExemption]) -> Iterator[str]:
    """Yield a line for each reason why a blocklist could block the addresses `needed`, which must be exempt. `zones` are all
    zones of the org."""
    every = list(needed)
    exempt = [zone for zone in zones if zone.system and zone.name == EXEMPT_ZONE]
    listed = ", ".join(dict.fromkeys(each.range.text for each in every)) or "the forwarder's own address"
    if not exempt:
        yield (
            f"the org has no zone {EXEMPT_ZONE}: enable the feature IP exempt zone in the Admin Console (Settings >"
            f" Features), then add to that zone (Security > Networks): {listed}"
        )
        return
    if not exempt[0].active:
        yield f"the zone {EXEMPT_ZONE} is INACTIVE; activate it in the Admin Console (Security > Networks)"
    covering = exempt[0].gateways
    for each in every:
        if (missing := uncovered(each.range, covering)) is not None:
            part = "" if missing == each.range else f" ({missing.text} of it is missing)"
            yield f"{each.range.text} ({each.why}) is not in the zone {EXEMPT_ZONE}{part}; add it there first"
