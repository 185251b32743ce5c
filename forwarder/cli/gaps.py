"""`forwarder gaps`: lists the events that the hook failed to deliver."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.cli.options import ORG, check_org, config_option, load_settings, store_commands
from forwarder.cli.terminal import echo, echo_json
from forwarder.cli.time_option import TimeParam
from forwarder.core.event import Source
from forwarder.core.time import Micros, iso

if TYPE_CHECKING:
    from forwarder.settings import Settings
    from forwarder.store.gaps import Gaps

_SHOWN = 100


@click.command()
@config_option
@click.option("--org", type=ORG, help="Only events of this org.")
@click.option(
    "--since",
    type=TimeParam(),
    help="Only events published since this time: 2026-01-31, 2026-01-31T08:00Z, or an age such as 24h.",
)
@click.option(
    "--limit",
    type=click.IntRange(0, 1_000_000),
    help=f"The maximum number of events to list. Default: {_SHOWN}, or all with --json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def gaps(config: Path, org: str | None, since: Micros | None, limit: int | None, *, as_json: bool) -> None:
    """List missed events: Okta should have delivered them to our hook, but did not within the grace period.

    No missed event is lost: the forwarder has stored it from the System Log, and delivers it to every sink. The output
    has the number of missed events of each type, then the events, newest first. An event leaves the list when the hook
    delivers it late, or after `store.dedup_window`. A pending event may still arrive by the hook, because its grace
    period has not ended. If the forwarder no longer reads the System Log of an org, pending events of that org stay
    undecided. If the forwarder cannot know what the hook of an org missed, the command says so. Works with and without
    a running forwarder.

    Exit codes: 0 nothing was missed; 1 events were missed, or the store cannot be read; 2 wrong usage or
    configuration.
    """
    settings = load_settings(config, secrets=False)
    shown = limit if limit is not None or as_json else _SHOWN
    store = store_commands(settings)
    check_org(settings, org, store)
    found = store.gaps(org=org, since=since, limit=shown)
    _say_what_is_unknown(settings, found, org)
    judged = {name for name, each in settings.orgs.items() if Source.LOG in each.sources}
    known = {name for name in settings.orgs if org in {None, name}} <= judged & found.read
    if as_json:
        echo_json(_json(found, judged))
    else:
        _print(found, judged, known=known)
    raise SystemExit(1 if found.count else 0)


def _say_what_is_unknown(settings: "Settings", found: "Gaps", chosen: str | None) -> None:
    """Print each org whose missed events are unknown, with the reason why the forwarder cannot know them."""
    for name, org in settings.orgs.items():
        if chosen not in {None, name}:
            continue
        if org.api is None:
            text = f"missed events are unknown, because the forwarder does not read the System Log of this org; set orgs.{name}.api"
        elif name not in found.read:
            text = "missed events are unknown, because the forwarder has not read the System Log of this org yet; run: forwarder doctor okta"
        else:
            continue
        echo(f"{name}: {text}", fg="yellow", err=True)


def _json(found: "Gaps", judged: Collection[str]) -> dict[str, Any]:
    pending = {org: count if org in judged else 0 for org, count in found.pending.items()}
    return {
        "missed": found.count,
        "pending": sum(pending.values()),
        "undecided": sum(found.pending.values()) - sum(pending.values()),
        "orgs": {
            org: {"missed": sum(types.values()), "pending": pending[org], "types": types}
            for org, types in found.missed.items()
        },
        "events": [{**gap.row(), "missed_at": iso(gap.missed_at, "milliseconds")} for gap in found.events],
    }


def _print(found: "Gaps", judged: Collection[str], *, known: bool) -> None:
    for org, types in found.missed.items():
        open_now = f"{found.pending[org]:,} pending"
        if org not in judged:
            open_now = "none pending"
            if found.pending[org]:
                open_now = f"{found.pending[org]:,} stay undecided, because the forwarder no longer reads the System Log of the org"
        echo(f"{org}: {sum(types.values()):,} missed, {open_now}")
        for event_type, count in types.items():
            echo(f"  {count:>9,}  {event_type}")
    for gap in found.events:
        published, read = iso(gap.published, "milliseconds"), iso(gap.since, "milliseconds")
        echo(f"{published}  {gap.org}  {gap.event_type}  {gap.uuid}  read from the log {read}")
    more = found.count - len(found.events)
    if more:
        echo(f"… and {more:,} older events; --limit or --json lists them")
    if not found.count and known:
        pending = any(found.pending.values())
        echo("Nothing was missed so far." if pending else "Nothing was missed.", fg=None if pending else "green")
