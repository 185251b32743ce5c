"""Plans how to give an org the zones that the operator wants, and says why a zone must not be changed. Does no I/O."""

from collections.abc import Collection, Iterable, Sequence

import msgspec

from forwarder.okta.hooks.hook import PropertyDifference
from forwarder.okta.zones.settings import MAX_ZONES
from forwarder.okta.zones.zone import Contents, DesiredZone, Zone
from forwarder.okta.zones.zone_record import Made

MAX_BLOCKED = 25_000
"""Okta's limit for the entries of all IP blocklist zones of an org together."""


class ZoneStep(msgspec.Struct, frozen=True):
    """The change of one zone.

    Attributes:
        zone: the existing zone; None if there is none.
        differences: the differences between `zone` and `desired`; everything in `desired` if there is no zone yet.
        problem: why the zone must not be changed; empty if it may be changed.
        activate: whether to activate the zone at the end.
    """

    desired: DesiredZone
    zone: Zone | None
    differences: tuple[PropertyDifference, ...] = ()
    problem: str = ""
    activate: bool = False

    @property
    def action(self) -> str:
        """What the step does, in one word: refuse, create, update, activate, or none. JSON output contains this
        word."""
        if self.problem:
            return "refuse"
        if self.zone is None:
            return "create"
        return "update" if self.differences else "activate" if self.activate else "none"

    @property
    def stays_active(self) -> bool:
        """Whether the zone is ACTIVE after an update: only if it was an ACTIVE blocklist before."""
        return self.zone is not None and self.zone.blocks


class ZonePlan(msgspec.Struct, frozen=True):
    """The steps for all desired zones of an org.

    Attributes:
        undeclared: the zones that we made and that the configuration no longer contains.
    """

    steps: tuple[ZoneStep, ...]
    undeclared: tuple[Zone, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be written."""
        return all(step.action in {"none", "refuse"} for step in self.steps)


def plan(
    desired: Iterable[DesiredZone],
    zones: Sequence[Zone],
    made: Made,
    *,
    activate: bool = False,
    adopt: Collection[str] = (),
    kept: Collection[str] = (),
) -> ZonePlan:
    """Plan the steps that give the org the `desired` zones.

    `zones` are all zones of the org, and `made` the zones that we made. If `activate` is true, desired zones that are
    INACTIVE are activated. `adopt` has the names of zones that others made, but that we may change from now on. `kept`
    has the names of zones that another part of the forwarder manages; they are never `undeclared`.
    """
    wanted = list(desired)
    room = MAX_ZONES - sum(not zone.system for zone in zones)
    steps = []
    for each in wanted:
        step = _step(each, zones, made, activate=activate, adopt=each.name in adopt)
        if step.action == "create":
            room -= 1
            if room < 0:
                text = f"the org has {MAX_ZONES} zones already, which is Okta's limit; delete one that is not used"
                step = msgspec.structs.replace(step, problem=text)
        steps.append(step)
    names = {each.name for each in wanted}.union(kept)
    undeclared = tuple(zone for zone in zones if made.has(zone) and zone.name not in names)
    return ZonePlan(tuple(_within_org_limit(steps, zones)), undeclared)


def differences_between(desired: Contents, has: Contents) -> tuple[PropertyDifference, ...]:
    """Return, for each property that differs, the values to remove from `has` and the values to add to it, so that `has`
    matches `desired`."""
    found = []
    for name in dict.fromkeys((*desired, *has)):
        old, new = has.get(name, frozenset()), desired.get(name, frozenset())
        if old != new:
            found.append(PropertyDifference(name, tuple(sorted(old - new)), tuple(sorted(new - old))))
    return tuple(found)


def as_it_is(zone: Zone) -> DesiredZone:
    """Return `zone` as a desired zone, so that a step of the plan can make `zone` a blocklist or activate it without
    any other change."""
    body = {"gateways": zone.gateway_entries, "proxies": None}
    return DesiredZone(zone.name, zone.type, zone.contents, body)


def _step(desired: DesiredZone, zones: Sequence[Zone], made: Made, *, activate: bool, adopt: bool) -> ZoneStep:
    named = [zone for zone in zones if zone.name == desired.name]
    if not named:
        new = PropertyDifference("usage", wants=("BLOCKLIST",))
        return ZoneStep(desired, None, (*differences_between(desired.contents, {}), new), "", activate)
    zone = named[0]
    differences = differences_between(desired.contents, zone.contents)
    if zone.usage != "BLOCKLIST":
        differences += (PropertyDifference("usage", (zone.usage,), ("BLOCKLIST",)),)
    problem = _problem(desired, named, made, adopt=adopt)
    return ZoneStep(desired, zone, differences, problem, activate and not zone.blocks)


def _problem(desired: DesiredZone, named: Sequence[Zone], made: Made, *, adopt: bool) -> str:
    """Return why the existing zone `named[0]` must not be changed; empty if it may be changed."""
    zone = named[0]
    if len(named) > 1:
        return f"{len(named)} zones have this name; rename all but one in the Admin Console"
    if zone.system:
        return "Okta made this zone itself, and the forwarder never changes it; choose another name"
    if zone.type != desired.type:
        return (
            f"its type in Okta is {zone.type}, not {desired.type}, and Okta cannot change a zone's type; choose"
            " another name, or delete the zone in the Admin Console"
        )
    if made.has(zone):
        return ""
    if zone.usage != "BLOCKLIST":
        return (
            "the forwarder did not make it, and policies may use it; choose another name, or delete the zone in the"
            " Admin Console"
        )
    if not adopt:
        return (
            "the forwarder has no record of having made it; to let the forwarder manage it from now on, run: forwarder"
            f" zones sync --adopt {desired.name!r}"
        )
    return ""


def _within_org_limit(steps: Iterable[ZoneStep], zones: Iterable[Zone]) -> Iterable[ZoneStep]:
    """Yield `steps`, and add a problem to each step that would exceed Okta's limit for the blocked entries of the whole
    org."""
    blocked = sum(len(zone.gateway_entries) for zone in zones if zone.usage == "BLOCKLIST")
    for step in steps:
        entries = len(step.desired.body.get("gateways", ()))
        held = len(step.zone.gateway_entries) if step.zone and step.zone.usage == "BLOCKLIST" else 0
        if step.action in {"create", "update"} and entries > held:
            blocked += entries - held
            if blocked > MAX_BLOCKED:
                text = f"the org's blocklists would hold {blocked:,} entries, and Okta allows {MAX_BLOCKED:,}"
                yield msgspec.structs.replace(step, problem=f"{text}; replace single entries by larger blocks")
                blocked -= entries - held
                continue
        yield step
