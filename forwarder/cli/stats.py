"""`forwarder stats`: prints the ledger. `forwarder forget-sink`: removes a sink from the ledger."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forwarder.cli import terminal
from forwarder.cli.options import config_option, load_settings, store_commands
from forwarder.cli.terminal import echo_json
from forwarder.clock import SystemClock
from forwarder.core.event import Source
from forwarder.core.wording import count

if TYPE_CHECKING:
    from forwarder.settings import Settings
    from forwarder.store.interface import StoreCommands
    from forwarder.store.ledger import Ledger

_HOOK_ONLY = "event hook only; with `api`, the forwarder also reads the System Log, which has all events"
_SOURCES = {
    (Source.HOOK, Source.LOG): "event hook and System Log",
    (Source.HOOK,): _HOOK_ONLY,
    (Source.LOG,): "System Log only; the org has no secret for a hook",
}


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the ledger as one JSON object.")
def stats(config: Path, *, as_json: bool) -> None:
    """Show the ledger: what happened to the stored events at each sink. Works with and without a running forwarder.

    For each sink, delivered + dead + discarded + skipped + filtered + waiting = stored. If the sum is wrong, the exit
    code is 1. `rejected` is the number of malformed events; these are dead letters of the receiver.
    """
    settings = load_settings(config, secrets=False)
    commands = store_commands(settings)
    ledger = commands.ledger()
    sources = {name: org.sources for name, org in settings.orgs.items()}
    if as_json:
        echo_json(ledger.as_json() | {"orgs": sources})
    else:
        _print(ledger)
        for name, enabled in sources.items():
            terminal.echo(f"{name}: {_SOURCES[enabled]}")
    for name, events in ledger.removed.items():
        again = "is in the configuration again; restart the forwarder" if name in settings.sinks else ""
        hint = again or f"is not configured; add a sink with this name, or run: forwarder forget-sink {name}"
        terminal.echo(f"{count(events, 'event')} kept for the sink {name}, which {hint}", fg="yellow", err=True)
    for text in _renamed_orgs(settings, commands):
        terminal.echo(text, fg="yellow", err=True)
    for imbalance in ledger.imbalances:
        terminal.echo(imbalance, fg="red", err=True)
    if not ledger.balanced:
        text = "The ledger does not balance. Keep the store file and report this bug."
        terminal.echo(text, fg="red", err=True)
        raise SystemExit(1)


@click.command("forget-sink")
@config_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.argument("name", metavar="NAME")
def forget_sink(config: Path, name: str, *, yes: bool) -> None:
    """Drop the waiting events and the dead letters of a sink that you removed from the configuration or renamed.

    Events that wait for other sinks stay. If you configure the sink again, it begins as a new sink.
    """
    settings = load_settings(config, secrets=False)
    if name in settings.sinks:
        raise click.BadParameter(
            f"the sink {name} is still in the configuration; remove the sink from the configuration first",
            param_hint="NAME",
        )
    commands = store_commands(settings)
    ledger = commands.ledger()
    events = ledger.removed.get(name, ledger.sinks[name].waiting if name in ledger.sinks else 0)
    if not yes and (name in ledger.removed or name in ledger.sinks):  # if not, `forget_sink` refuses it below
        question = f"The {count(events, 'event')} kept for {name} will be dropped. Forget this sink?"
        click.confirm(question, abort=True)
    commands.forget_sink(name)
    terminal.echo(f"Removed the sink {name} from the store; no event waits for this sink any more.")


def _renamed_orgs(settings: "Settings", commands: "StoreCommands") -> Iterator[str]:
    """Yield a line for each org whose System Log was read under a name that the configuration no longer has."""
    from forwarder.okta.system_log.cursor import cursor_name, names_with_cursor

    known = [name for name in commands.orgs() if name not in settings.orgs]
    cursors = {name: commands.cursor(cursor_name(name)) for name in known}
    for name, org in settings.orgs.items():
        for old in names_with_cursor(org.url, cursors, SystemClock().now()) if org.url else ():
            yield (
                f"the System Log of {org.url} was read under the name {old} before {name}. If {name} is new, polling goes on"
                f" from there; events of {old} that wait are delivered under the old name. Missed events before the change:"
                f" forwarder gaps --org {old}"
            )


def _print(ledger: "Ledger") -> None:
    from rich.table import Table

    console = terminal.console()
    counts = (
        count(ledger.stored - ledger.alerts - ledger.actions, "event") + " stored",
        *([count(ledger.alerts, "alert")] if ledger.alerts else []),
        *([count(ledger.actions, "change") + " of reactions"] if ledger.actions else []),
        count(ledger.duplicates, "duplicate") + " dropped",
        count(ledger.rejected, "malformed event"),
    )
    console.print(f"{', '.join(counts)}; {ledger.bytes / 1e6:,.1f} MB on disk")
    table = Table(box=None)
    for column in ("sink", "delivered", "waiting", "dead letters", "discarded", "skipped", "filtered"):
        table.add_column(column, justify="left" if column == "sink" else "right")
    for name, sink in ledger.sinks.items():
        numbers = (sink.delivered, sink.waiting, sink.dead, sink.discarded, sink.skipped, sink.filtered)
        table.add_row(name, *(f"{number:,}" for number in numbers))
    console.print(table)
