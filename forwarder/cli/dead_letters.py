"""`forwarder dead-letters`: look at the events that a sink refused, send them again, or throw them away."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.cli.common import config_option, load_settings
from forwarder.clock import SystemClock
from forwarder.core.time import to_datetime
from forwarder.store.dead_letters import DeadLetter, Selection

if TYPE_CHECKING:
    from forwarder.store.engine import StoreCommands


@click.group("dead-letters")
def dead_letters() -> None:
    """Look at events that a sink refused for good, send them again, or throw them away.

    A dead letter is kept with the sink's own words until you decide. All of these work whether or not a forwarder
    runs on the store.
    """


def _which(command: Any) -> Any:
    for option in (
        click.option("--reason", help="Those with this reason, as in `mapping`."),
        click.option("--sink", help="Those of this sink; `receiver` for elements that were no event."),
    ):
        command = option(command)
    return command


@dead_letters.command("list")
@config_option
@_which
@click.option("--limit", default=100, show_default=True, help="At most so many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_command(config: Path, sink: str | None, reason: str | None, limit: int, *, as_json: bool) -> None:
    """List dead letters, the newest first."""
    letters = _commands(config).dead_letters(Selection(sink=sink, reason=reason), limit=limit)
    for letter in letters:
        click.echo(_json(letter) if as_json else _line(letter))
    if not letters and not as_json:
        click.echo("There are no dead letters.")


@dead_letters.command()
@config_option
@click.argument("number", type=int, metavar="ID")
def show(config: Path, number: int) -> None:
    """Show one dead letter as JSON, with the event as it was received."""
    letter = _commands(config).dead_letter(number)
    if letter is None:
        click.secho(
            f"There is no dead letter {number}; `forwarder dead-letters list` shows what there is.",
            fg="red",
            err=True,
        )
        raise SystemExit(1)
    click.echo(_json(letter))


@dead_letters.command()
@config_option
@_which
@click.option("--all", "everything", is_flag=True, help="All dead letters that fit the other options.")
@click.argument("ids", type=int, nargs=-1, metavar="[ID]…")
def replay(
    config: Path, ids: tuple[int, ...], sink: str | None, reason: str | None, *, everything: bool
) -> None:
    """Send dead letters again: those with these IDs, or --all. The sink decides anew.

    Without a running forwarder they are sent when one starts. Elements that were no event are read again. Those that
    an OTLP server refused without saying which cannot be sent again: they can be discarded.
    """
    done = _commands(config).replay(_selection(ids, sink, reason, everything=everything))
    click.echo(f"{done} dead letter(s) are on their way again.")
    _all_of(ids, done)


@dead_letters.command()
@config_option
@_which
@click.option("--all", "everything", is_flag=True, help="All dead letters that fit the other options.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("ids", type=int, nargs=-1, metavar="[ID]…")
def discard(
    config: Path, ids: tuple[int, ...], sink: str | None, reason: str | None, *, everything: bool, yes: bool
) -> None:
    """Throw dead letters away for ever: those with these IDs, or --all. The ledger counts them as discarded."""
    which = _selection(ids, sink, reason, everything=everything)
    commands = _commands(config)
    if not yes:
        click.confirm("Their events will never reach the sink. Throw them away?", abort=True)
    done = commands.discard(which)
    click.echo(f"{done} dead letter(s) are discarded.")
    _all_of(ids, done)


def _commands(config: Path) -> "StoreCommands":
    from forwarder.store.engine import open_commands

    return open_commands(load_settings(config, secrets=False).store, SystemClock())


def _all_of(ids: tuple[int, ...], done: int) -> None:
    """End with 1 where less was done than was named."""
    if len(ids) > done:
        click.secho(
            f"{len(ids) - done} of the {len(ids)} that were named could not be: they do not exist, are on their way "
            "already, or are unattributed; `forwarder dead-letters list` shows what there is.",
            fg="red",
            err=True,
        )
        raise SystemExit(1)


def _selection(ids: tuple[int, ...], sink: str | None, reason: str | None, *, everything: bool) -> Selection:
    if bool(ids) == everything:
        raise click.UsageError("name IDs, or give --all (with --sink or --reason, all of those)")
    return Selection(ids=ids or None, sink=sink, reason=reason)


def _line(letter: DeadLetter) -> str:
    what = f"{letter.event_type} {letter.uuid}" if letter.uuid else f"{letter.count} unattributed event(s)"
    if letter.sink == "receiver":
        what = f"an element of {letter.org} that is no event"
    state = " (being sent again)" if letter.state == "replaying" else ""
    at = to_datetime(letter.at).isoformat(timespec="seconds")
    return f"{letter.id}  {at}  {letter.sink}  {letter.reason}{state}  {what}\n    {letter.detail}"


def _json(letter: DeadLetter) -> str:
    import msgspec

    fields = {name: getattr(letter, name) for name in letter.__struct_fields__}
    fields["at"] = to_datetime(letter.at)
    body = fields.pop("body")
    if body is not None:
        fields["body"] = body.decode(errors="replace")
    return msgspec.json.encode(fields).decode()
