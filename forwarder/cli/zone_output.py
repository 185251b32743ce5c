"""Prints zones and their changes for `forwarder zones`."""

from typing import Any

from forwarder.cli.hook_output import print_differences
from forwarder.cli.terminal import echo
from forwarder.core.printable import printable_line
from forwarder.core.wording import count
from forwarder.okta.hooks.hook import PropertyDifference
from forwarder.okta.zones.plan import ZoneStep
from forwarder.okta.zones.sync import ZoneLook
from forwarder.okta.zones.writer import Applied
from forwarder.okta.zones.zone import Zone

_MAX_VALUES = 30
"""The maximum number of values that are printed for one property."""

_ACTIVATE = "`forwarder zones sync --activate` activates it"


class ZoneReport:
    """The results of `zones sync` for each declared zone. `is_fine` is False if any zone had a problem or an error."""

    def __init__(self, org: str, found: ZoneLook) -> None:
        self._org = org
        self._found = found
        self._zones: list[dict[str, Any]] = []
        self._written = 0
        self._waiting: list[str] = []
        self.is_fine = True

    def add(self, step: ZoneStep, applied: Applied | None = None, error: str = "") -> None:
        """Add the result of `step`: `applied` is the change that was made, `error` says why the change failed.

        If the step changes nothing, `applied` is None and `error` is empty.
        """
        zone = applied.zone if applied else step.zone
        shown = _step_as_json(step) | {
            "status": zone.status if zone else None,
            "id": zone.id if zone else None,
            "left": _differences_as_json(applied.left if applied else ()),
            "error": error or "; ".join(applied.problems if applied else ()),
        }
        self._zones.append(shown)
        self._written += applied is not None
        if zone is not None and not zone.blocks and not step.problem:
            self._waiting.append(zone.name)
        if step.problem or error or (applied and (applied.left or applied.problems)):
            self.is_fine = False

    def as_json(self) -> dict[str, Any]:
        """Return the whole report, as JSON."""
        return look_as_json(self._org, self._found) | {"zones": self._zones}

    def print_end(self) -> None:
        """Print what an operator should do next, after all steps."""
        if self._written:
            echo("It takes Okta about a minute to apply a change.")
        if self._waiting:
            names = printable_line(", ".join(self._waiting))
            echo(
                f"Not ACTIVE yet: {names}. Check what these zones list, then run: forwarder zones sync --activate",
                fg="yellow",
            )
        if not self._found.plan.steps:
            echo(f"{self._org} declares no zones.")


def look_as_json(org: str, found: ZoneLook) -> dict[str, Any]:
    """Return `found` as JSON. `found` is the comparison of an org's declared zones with the zones in Okta."""
    return {
        "org": org,
        "refused": found.problems,
        "zones": [_step_as_json(step) for step in found.plan.steps],
        "undeclared": [_zone_as_json(zone) for zone in found.plan.undeclared],
    }


def print_look(org: str, found: ZoneLook, *, contents: bool = False) -> None:
    """Print each declared zone, and the problems that prevent all changes. If `contents` is true, print the values
    too."""
    for step in found.plan.steps:
        print_step(step)
        if contents and step.zone is not None:
            _print_contents(step.zone)
    if not found.plan.steps:
        echo(f"{org} declares no zones.")
    print_undeclared(found)
    for problem in found.problems:
        echo(f"✗ Refused: {problem}.", fg="red", err=True)
    if found.problems:
        echo(
            "Until these problems are fixed, the command changes nothing, because a blocklist could lock out the forwarder itself.",
            err=True,
        )


def print_step(step: ZoneStep) -> None:
    """Print the zone of `step`: its status, its differences, and the problem that prevents a change."""
    zone, name = step.zone, printable_line(step.desired.name)
    if zone is None:
        echo(f"! {name} does not exist yet; it will be a blocklist of type {step.desired.type}:", fg="yellow")
    elif not step.differences:
        sign, colour = ("✓", "green") if zone.blocks else ("!", "yellow")
        rest = "" if zone.blocks or step.activate or step.problem else f"; {_ACTIVATE}"
        entries = sum(map(len, step.desired.contents.values()))
        echo(f"{sign} {_title(zone)} is {zone.status}, {count(entries, 'value')}{rest}.", fg=colour)
    else:
        echo(f"! {_title(zone)} is {zone.status} and differs:", fg="yellow")
    print_differences(step.differences)
    if step.problem:
        echo(f"  ✗ {name} is not changed: {step.problem}.", fg="red", err=True)


def print_applied(step: ZoneStep, applied: Applied) -> None:
    """Print the result of a change: the new status of the zone, and what Okta did not apply."""
    done = {"create": "Created", "update": "Updated", "activate": "Activated"}[step.action]
    sign, colour = ("✓", "green") if not applied.left and not applied.problems else ("!", "yellow")
    rest = "" if applied.zone.blocks else ", so it blocks nothing yet"
    echo(f"  {sign} {done} {_title(applied.zone)}: it is {applied.zone.status}{rest}.", fg=colour)
    if applied.left:
        echo("  ✗ After the change, Okta still shows these differences:", fg="red", err=True)
        print_differences(applied.left)
    for problem in applied.problems:
        echo(f"  ✗ Not activated: {problem}.", fg="red", err=True)


def print_undeclared(found: ZoneLook) -> None:
    """Print the zones in Okta that the forwarder created and that are no longer declared."""
    for zone in found.plan.undeclared:
        effect = "still blocks" if zone.blocks else "blocks nothing"
        echo(
            f"! {_title(zone)} is not declared any more and {effect}. The forwarder never deletes a zone: if you do not need"
            " it, deactivate and delete it in the Admin Console (Security > Networks).",
            fg="yellow",
        )


def _print_contents(zone: Zone) -> None:
    for name, values in zone.contents.items():
        shown, more = sorted(values)[:_MAX_VALUES], len(values) - _MAX_VALUES
        rest = f", and {more:,} more" if more > 0 else ""
        echo(f"    {name}: {printable_line(', '.join(shown))}{rest}")


def _title(zone: Zone) -> str:
    return printable_line(zone.title)


def _step_as_json(step: ZoneStep) -> dict[str, Any]:
    zone = step.zone
    return {
        "name": step.desired.name,
        "type": step.desired.type,
        "id": zone.id if zone else None,
        "status": zone.status if zone else None,
        "usage": zone.usage if zone else None,
        "contents": {name: sorted(values) for name, values in zone.contents.items()} if zone else {},
        "action": step.action,
        "problem": step.problem,
        "differences": _differences_as_json(step.differences),
    }


def _differences_as_json(differences: tuple[PropertyDifference, ...]) -> list[dict[str, Any]]:
    return [{"what": each.what, "has": list(each.has), "wants": list(each.wants)} for each in differences]


def _zone_as_json(zone: Zone) -> dict[str, Any]:
    return {"name": zone.name, "id": zone.id, "type": zone.type, "status": zone.status, "usage": zone.usage}
