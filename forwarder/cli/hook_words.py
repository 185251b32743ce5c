"""What `forwarder hooks` prints of a hook."""

from collections.abc import Iterable
from typing import Any

import click

from forwarder.okta.hooks.hook import Difference, Hook, Plan

_SHOWN = 20
"""Lines that are shown of one difference."""


def steps(plan: Plan) -> str:
    """What `plan` does, in words."""
    done = {
        "created": plan.create,
        "replaced": plan.replace,
        "activated": plan.activate,
        "verified": plan.verify,
    }
    return ", ".join(name for name, does in done.items() if does)


def tell_end(hook: Hook) -> None:
    """Print how it is with `hook` now."""
    sign, colour = ("✓", "green") if hook.live else ("!", "yellow")
    click.secho(f"{sign} {title(hook)} is {hook.status} and {hook.verification}.", fg=colour)


def title(hook: Hook) -> str:
    """Its name and its id."""
    return f"{hook.name} ({hook.id})"


def print_hook(hook: Hook) -> None:
    """Print all of `hook` but values of custom headers: people put secrets there."""
    tell_end(hook)
    click.echo(f"  URL                    {hook.uri}")
    click.echo(f"  authentication field   {hook.header or 'none: Okta sends no secret'}")
    for header in hook.custom_headers:
        click.echo(f"  custom header          {header.get('key')}")
    click.echo(f"  events                 {len(hook.types)}")
    for name in sorted(hook.types):
        expression = hook.filters.get(name)
        click.echo(f"    {name}" + (f"   if {expression}" if expression else ""))


def print_differences(differences: Iterable[Difference]) -> None:
    """Print what is there and what is wanted."""
    for each in differences:
        click.echo(f"  {each.what}")
        for sign, colour, lines in (("-", "red", each.has), ("+", "green", each.wants)):
            for line in lines[:_SHOWN]:
                click.secho(f"    {sign} {line}", fg=colour)
            if len(lines) > _SHOWN:
                click.secho(f"    {sign} … and {len(lines) - _SHOWN} more", fg=colour)


def hook_as_json(hook: Hook) -> dict[str, Any]:
    """What scripts need of `hook`, without values of custom headers as well."""
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
