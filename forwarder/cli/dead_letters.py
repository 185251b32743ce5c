"""`forwarder dead-letters`: lists, shows, replays and discards the events that a sink rejected."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.cli import terminal
from forwarder.cli.options import SINK, config_option, load_settings, store_commands
from forwarder.core.ports import DeadLetterSelection
from forwarder.core.printable import LONGEST_ANSWER, shortened
from forwarder.core.time import iso
from forwarder.core.wording import count
from forwarder.store.dead_letters import RECEIVER, DeadLetter

if TYPE_CHECKING:
    from forwarder.store.interface import StoreCommands

_ID = click.IntRange(0, 2**63 - 1)  # the range of SQLite's integers
_SHOWN = 20  # the maximum number of malformed events that are printed after a replay


@click.group("dead-letters")
def dead_letters() -> None:
    """List, show, replay and discard the events that a sink rejected.

    A dead letter keeps the event and the sink's error message until you replay or discard it. These commands work
    whether or not a forwarder runs on the store.
    """


def _filters(command: Any) -> Any:
    sink = click.option(
        "--sink", type=SINK, help="Only dead letters of this sink. The sink of malformed events is `receiver`."
    )
    return sink(click.option("--reason", help="Only dead letters with this reason, such as `mapping`.")(command))


@dead_letters.command("list")
@config_option
@_filters
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=100,
    show_default=True,
    help="The maximum number of dead letters to list.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def list_command(config: Path, sink: str | None, reason: str | None, limit: int, *, as_json: bool) -> None:
    """List dead letters, newest first."""
    commands = _commands(config, sink)
    letters = commands.dead_letters(DeadLetterSelection(sink=sink, reason=reason), limit=limit)
    for letter in letters:
        if as_json:
            terminal.echo_json_text(_json(letter))
        else:
            terminal.echo(_line(letter))
    if not letters and not as_json:
        matching = " that match; see all: forwarder dead-letters list" if sink or reason else "."
        terminal.echo(f"There are no dead letters{matching}")


@dead_letters.command()
@config_option
@click.argument("number", type=_ID, metavar="ID")
def show(config: Path, number: int) -> None:
    """Show one dead letter as JSON, with the event as it was received."""
    letter = _commands(config).dead_letter(number)
    if letter is None:
        terminal.echo(f"There is no dead letter {number}. See: forwarder dead-letters list", fg="red", err=True)
        raise SystemExit(1)
    terminal.echo_json_text(_json(letter))


@dead_letters.command()
@config_option
@_filters
@click.option("--all", "everything", is_flag=True, help="Replay all dead letters that match the other options.")
@click.argument("ids", type=_ID, nargs=-1, metavar="[ID]…")
def replay(config: Path, ids: tuple[int, ...], sink: str | None, reason: str | None, *, everything: bool) -> None:
    """Send dead letters again: those with the given IDs, or all with --all.

    If no forwarder runs, the dead letters are sent when a forwarder starts. Malformed events are parsed again, and
    stored if this version of the forwarder can read them. If an OTLP server rejected events of a request without
    naming these events, their dead letters can only be discarded, not replayed.
    """
    selection = _selection(ids, sink, reason, everything=everything)
    commands = _commands(config, sink)
    done = commands.replay(selection)
    terminal.echo(f"{count(done, 'dead letter')} will be sent again.")
    _report_malformed(commands, selection)
    _check_all(ids, done)


@dead_letters.command()
@config_option
@_filters
@click.option("--all", "everything", is_flag=True, help="Discard all dead letters that match the other options.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.argument("ids", type=_ID, nargs=-1, metavar="[ID]…")
def discard(
    config: Path, ids: tuple[int, ...], sink: str | None, reason: str | None, *, everything: bool, yes: bool
) -> None:
    """Remove dead letters for good: those with the given IDs, or all with --all.

    The ledger counts the events of these dead letters as discarded.
    """
    selection = _selection(ids, sink, reason, everything=everything)
    commands = _commands(config, sink)
    # The operator confirms the dead letters that are counted here. Dead letters that are added before the answer
    # must not be discarded.
    selection = commands.as_of_now(selection)
    counts = commands.count_dead_letters(selection)
    for (of, why), number in counts.items():
        is_malformed = of == RECEIVER
        what = count(number, "malformed event" if is_malformed else "dead letter")
        terminal.echo(f"{what} ({why})" if is_malformed else f"{what} of {of} ({why})")
    if counts and not yes:
        click.confirm("Discard these dead letters? After that, they can never be sent again.", abort=True)
    done = commands.discard(selection)
    terminal.echo(f"{count(done, 'dead letter')} discarded.")
    _check_all(ids, done)


def _commands(config: Path, sink: str | None = None) -> "StoreCommands":
    """Return the object with which commands read and change the store.

    Raises:
        click.BadParameter: `sink` is neither a configured sink nor a removed sink that the store knows.
    """
    settings = load_settings(config, secrets=False)
    commands = store_commands(settings)
    if sink is not None and sink not in {*settings.sinks, RECEIVER}:
        known = {*settings.sinks, RECEIVER, *commands.ledger().removed}
        if sink not in known:
            text = f"there is no sink {sink!r}; known: {', '.join(sorted(known))}"
            raise click.BadParameter(text, param_hint="--sink")
    return commands


def _report_malformed(commands: "StoreCommands", selection: DeadLetterSelection) -> None:
    """Print, after a replay, the malformed events of `selection` that the forwarder still cannot read."""
    if selection.sink not in (None, RECEIVER):
        return
    of_receiver = DeadLetterSelection(selection.ids, RECEIVER, selection.reason)
    still = sum(commands.count_dead_letters(of_receiver).values())
    for letter in commands.dead_letters(of_receiver, limit=_SHOWN):
        terminal.echo(f"{letter.id} is still malformed: {shortened(letter.detail, LONGEST_ANSWER)}", err=True)
    if still > _SHOWN:
        more = f"… and {still - _SHOWN:,} more; see: forwarder dead-letters list --sink {RECEIVER}"
        terminal.echo(more, err=True)


def _check_all(ids: tuple[int, ...], done: int) -> None:
    """Exit with 1 if `done`, the number of changed dead letters, is less than the number of `ids`."""
    if len(ids) > done:
        terminal.echo(
            f"{len(ids) - done} of {count(len(ids), 'dead letter')} skipped: not found, already being sent again, "
            "still malformed, or without an event that can be sent. See: forwarder dead-letters list",
            fg="red",
            err=True,
        )
        raise SystemExit(1)


def _selection(ids: tuple[int, ...], sink: str | None, reason: str | None, *, everything: bool) -> DeadLetterSelection:
    if bool(ids) == everything:
        raise click.UsageError("name dead letters by their IDs, or add --all, which --sink and --reason can limit")
    return DeadLetterSelection(ids=ids or None, sink=sink, reason=reason)


def _line(letter: DeadLetter) -> str:
    what = f"{letter.event_type} {letter.uuid}" if letter.uuid else f"{count(letter.count, 'unattributed event')}"
    if letter.sink == RECEIVER:
        what = f"malformed event of {letter.org}"
    state = " (being sent again)" if letter.state == "replaying" else ""
    at = iso(letter.at, "seconds")
    detail = shortened(letter.detail, LONGEST_ANSWER)
    return f"{letter.id}  {at}  {letter.sink}  {letter.reason}{state}  {what}\n    {detail}"


def _json(letter: DeadLetter) -> str:
    import msgspec

    fields = {name: getattr(letter, name) for name in letter.__struct_fields__}
    fields["at"] = iso(letter.at)
    body = fields.pop("body")
    if body is not None:
        fields["body"] = body.decode(errors="replace")
    return msgspec.json.encode(fields).decode()
