"""`forwarder gaps`: the events that the hook never brought."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.cli.common import config_option, load_settings
from forwarder.cli.moments import Moment
from forwarder.clock import SystemClock
from forwarder.core.time import Micros, to_datetime

if TYPE_CHECKING:
    from forwarder.store.gaps import Gap, Gaps

_SHOWN = 100


@click.command()
@config_option
@click.option("--org", metavar="NAME", help="Only of this org.")
@click.option(
    "--since", type=Moment(), help="Only what happened since: 2026-01-31, 2026-01-31T08:00Z, or 24h ago."
)
@click.option(
    "--limit", type=click.IntRange(0), help=f"At most so many events: {_SHOWN}, or all of them with --json."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def gaps(config: Path, org: str | None, since: Micros | None, limit: int | None, *, as_json: bool) -> None:
    """List what is missed: events that Okta named for our hook and that the hook did not bring within its grace.

    None of them is lost: the System Log brought them, and they go to every sink. First how many of each type, then the
    events, the newest first. A hook that brings one later still takes it off this list; the list goes back as far as
    `store.dedup_window`. Works whether or not a forwarder runs on the store.

    Exit codes: 0 nothing is missed, 1 something is, or the store cannot be read, 2 wrong usage or configuration.
    """
    from forwarder.store.engine import open_commands

    settings = load_settings(config, secrets=False)
    shown = limit if limit is not None or as_json else _SHOWN
    found = open_commands(settings.store, SystemClock()).gaps(org=org, since=since, limit=shown)
    if org is not None and org not in {*found.missed, *settings.orgs}:
        raise click.BadParameter(
            f"there is no org {org!r}; the configuration has {', '.join(settings.orgs)}", param_hint="--org"
        )
    if as_json:
        click.echo(json.dumps(_json(found), indent=2))
    else:
        _print(found)
    raise SystemExit(1 if found.count else 0)


def _json(found: "Gaps") -> dict[str, Any]:
    return {
        "missed": found.count,
        "awaited": sum(found.awaited.values()),
        "orgs": {
            org: {"missed": sum(types.values()), "awaited": found.awaited[org], "types": types}
            for org, types in found.missed.items()
        },
        "events": [
            {
                "org": gap.org,
                "uuid": gap.uuid,
                "event_type": gap.event_type,
                "published": _iso(gap.published),
                "brought_by_log": _iso(gap.since),
                "missed_at": _iso(gap.missed_at),
            }
            for gap in found.events
        ],
    }


def _print(found: "Gaps") -> None:
    for org, types in found.missed.items():
        click.echo(
            f"{org}: {sum(types.values()):,} missed, {found.awaited[org]:,} that the hook may still bring"
        )
        for event_type, count in types.items():
            click.echo(f"  {count:>9,}  {event_type}")
    for gap in found.events:
        click.echo(_line(gap))
    more = found.count - len(found.events)
    if more:
        click.echo(f"… and {more:,} older; --limit or --json shows them")
    if not found.count:
        click.secho("Nothing is missed.", fg="green")


def _line(gap: "Gap") -> str:
    brought = f"brought by the log {_iso(gap.since)}"
    return f"{_iso(gap.published)}  {gap.org}  {gap.event_type}  {gap.uuid}  {brought}"


def _iso(at: Micros) -> str:
    return to_datetime(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
