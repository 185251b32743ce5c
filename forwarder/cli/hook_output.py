"""Prints a hook for `forwarder hooks`."""

from collections.abc import Iterable
from typing import Any

from forwarder.cli.terminal import echo
from forwarder.core.printable import printable_line
from forwarder.okta.hooks.hook import Hook, HookPlan, PropertyDifference

_MAX_LINES = 20
"""The maximum number of lines for the event types of a hook or for one side of a difference, if the operator does not ask
for all."""


def steps(plan: HookPlan) -> str:
    """Return the names of the planned steps as a phrase, such as "create and verify"."""
    names = {"create": plan.create, "replace": plan.replace, "activate": plan.activate, "verify": plan.verify}
    return " and ".join(name for name, is_planned in names.items() if is_planned)


def print_state(hook: Hook) -> None:
    """Print the status and the verification of `hook` in one line. A sign says whether Okta sends events to the
    hook."""
    sign, colour = ("✓", "green") if hook.live else ("!", "yellow")
    echo(f"{sign} {title(hook)} is {hook.status} and {hook.verification}.", fg=colour)


def title(hook: Hook) -> str:
    """Return the name and the id of `hook`, as text for a terminal."""
    return f"{printable_line(hook.name)} ({hook.id})"


def print_hook(hook: Hook) -> None:
    """Print `hook` without the values of custom headers, which may be secrets."""
    print_state(hook)
    echo(f"  URL                    {hook.uri}")
    echo(f"  authentication field   {hook.header or 'none: Okta sends no secret'}")
    for header in hook.custom_headers:
        echo(f"  custom header          {header.get('key')}")
    echo(f"  events                 {len(hook.types)}")
    names = sorted(hook.types, key=lambda name: (name not in hook.filters, name))
    for name in names[:_MAX_LINES]:
        expression = hook.filters.get(name)
        echo(f"    {name}" + (f"   if {expression}" if expression else ""))
    if len(names) > _MAX_LINES:
        echo(f"    … and {len(names) - _MAX_LINES} more; --json prints all")


def print_differences(differences: Iterable[PropertyDifference], *, in_full: bool = False) -> None:
    """Print each property that differs, with the values that a change would remove (-) and add (+)."""
    for each in differences:
        echo(f"  {each.what}")
        for sign, colour, lines in (("-", "red", each.has), ("+", "green", each.wants)):
            shown = lines if in_full else lines[:_MAX_LINES]
            for line in shown:
                echo(f"    {sign} {line}", fg=colour)
            if len(lines) > len(shown):
                echo(f"    {sign} … and {len(lines) - len(shown)} more", fg=colour)


def hook_as_json(hook: Hook) -> dict[str, Any]:
    """Return `hook` as JSON, without the values of custom headers."""
    return {
        "id": hook.id,
        "name": hook.name,
        "status": hook.status,
        "verification_status": hook.verification,
        "live": hook.live,
        "uri": hook.uri,
        "header": hook.header,
        "custom_headers": [header.get("key") for header in hook.custom_headers],
        "events": sorted(hook.types),
        "filters": hook.filters,
        "created": hook.raw.get("created"),
        "last_updated": hook.raw.get("lastUpdated"),
    }
