"""`forwarder stats`: prints the ledger."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forwarder.cli.common import config_option, load_settings
from forwarder.clock import SystemClock
from forwarder.core.event import Source

if TYPE_CHECKING:
    from forwarder.store.ledger import Ledger

_HOOK_ONLY = "event hook only; with `api` the forwarder reads its System Log too, which shows all events"
_SOURCES = {
    (Source.HOOK, Source.LOG): "event hook and System Log",
    (Source.HOOK,): _HOOK_ONLY,
    (Source.LOG,): "System Log only; it has no secret for a hook",
}


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the ledger as one JSON object.")
def stats(config: Path, *, as_json: bool) -> None:
    """Show the ledger: where every stored event is. Works whether or not a forwarder runs on the store.

    For each sink, delivered + dead + discarded + skipped + waiting = stored; if not, the exit code is 1.
    `rejected` counts malformed events; they are dead letters of the receiver.
    """
    from forwarder.store.engine import open_commands

    settings = load_settings(config, secrets=False)
    ledger = open_commands(settings.store, SystemClock()).ledger()
    sources = {name: org.sources for name, org in settings.orgs.items()}
    if as_json:
        click.echo(json.dumps(ledger.as_json() | {"orgs": sources}, indent=2))
    else:
        _print(ledger)
        for name, enabled in sources.items():
            click.echo(f"{name}: {_SOURCES[enabled]}")
    for imbalance in ledger.imbalances:
        click.secho(imbalance, fg="red", err=True)
    if not ledger.balanced:
        click.secho(
            "The ledger does not balance. Keep the store file and report this bug.", fg="red", err=True
        )
        raise SystemExit(1)


def _print(ledger: "Ledger") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"{ledger.stored:,} events stored, {ledger.duplicates:,} duplicates dropped, "
        f"{ledger.rejected:,} malformed events; {ledger.bytes / 1e6:,.1f} MB on disk"
    )
    table = Table(box=None)
    for column in ("sink", "delivered", "waiting", "dead letters", "discarded", "skipped"):
        table.add_column(column, justify="left" if column == "sink" else "right")
    for name, sink in ledger.sinks.items():
        numbers = (sink.delivered, sink.waiting, sink.dead, sink.discarded, sink.skipped)
        table.add_row(name, *(f"{number:,}" for number in numbers))
    console.print(table)
