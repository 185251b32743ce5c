"""`forwarder reactions list`, `show` and `export`: print the actions in the store, both ended and open ones."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from forwarder.cli import terminal
from forwarder.cli.options import config_option, load_settings, store_commands
from forwarder.cli.terminal import echo, echo_json_text
from forwarder.cli.time_option import TimeParam
from forwarder.clock import SystemClock
from forwarder.core.action import Action, ActionState, Approval, End, Outcome, Waits
from forwarder.core.action_event import about, as_json, reason_of, state_text
from forwarder.core.printable import printable_line
from forwarder.core.time import Micros, iso
from forwarder.core.wording import count

if TYPE_CHECKING:
    from forwarder.react.guards.pauses import Pause
    from forwarder.store.interface import StoreCommands

_ID = re.compile(r"[0-9a-f]{1,64}")
_COLOURS = {Outcome.DONE: "green", Outcome.FAILED: "red", Outcome.UNKNOWN: "red", Outcome.REFUSED: "yellow"}
_TIMES = (
    ("planned", "planned_at"),
    ("called", "called_at"),
    ("seen", "seen_at"),
    ("next", "due"),
    ("undo due", "undo_due"),
)


@click.command("list")
@config_option
@click.option("--live", is_flag=True, help="Only actions whose effect exists now and will be undone.")
@click.option("--waiting", is_flag=True, help="Only actions that wait: for approval, another try or the System Log.")
@click.option("--since", type=TimeParam(), help=f"Only actions planned since this time: {TimeParam.examples}.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=100,
    show_default=True,
    help="The maximum number of actions to list.",
)
@click.option("--json", "as_lines", is_flag=True, help="Print one JSON object per line.")
def list_command(  # one for each option
    config: Path, since: Micros | None, limit: int, *, live: bool, waiting: bool, as_lines: bool
) -> None:
    """List the pauses in force, then the actions, newest first. Works with and without a running forwarder.

    With --json, each pause is a line {"pause": {...}}; the lines after the pauses are actions.
    """
    store = _commands(config)
    states = {ActionState.LIVE, ActionState.UNDOING} if live else set()
    states |= {ActionState.WAITING} if waiting else set()
    found = store.newest_actions(since or 0, only_open=bool(states), limit=None if states else limit + 1)
    found = [one for one in found if one.state in states] if states else found
    shown = found[:limit]
    for pause in paused(store):
        if as_lines:
            echo_json_text(_json({"pause": pause.as_json()}))
        else:
            echo(_pause(pause), fg="yellow")
    if as_lines:
        for one in shown:
            echo_json_text(_json(as_json(one)))
        return
    if not shown:
        echo("There are no such actions." if states or since else "Reactions have done nothing so far.")
        return
    _table(shown)
    more = "; there are more: --limit shows them" if len(found) > limit else ""
    echo(
        f"{count(len(shown), 'action')}, the newest first{more}. To see all about an action: forwarder reactions show ID"
    )


@click.command()
@config_option
@click.argument("id_", metavar="ID")
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object.")
def show(config: Path, id_: str, *, as_object: bool) -> None:
    """Show everything about one action. The first characters of its ID are enough, if no other ID begins with them."""
    found = _commands(config).find_actions(id_) if _ID.fullmatch(id_) else []
    if len(found) != 1:
        echo(_not_one(id_, found), fg="red", err=True)
        raise SystemExit(1)
    if as_object:
        echo_json_text(_json(as_json(found[0])))
        return
    _show(found[0])


@click.command()
@config_option
@click.option("--since", type=TimeParam(), help=f"Only actions planned since this time: {TimeParam.examples}.")
def export(config: Path, since: Micros | None) -> None:
    """Print every action as one JSON object per line, oldest first: for an audit, or for another system.

    The output contains no secret. The store keeps ended actions for 30 days, or for `store.dedup_window` if that is
    longer.
    """
    for one in _commands(config).each_action(since or 0):
        echo_json_text(_json(as_json(one)))


def paused(store: "StoreCommands") -> "Sequence[Pause]":
    """Return the pauses in `store` that are in force now."""
    from forwarder.react.guards.pauses import CURSOR, Pauses

    now = SystemClock().now()
    return Pauses.load(store.cursor(CURSOR), now).on(now)


def _pause(pause: "Pause") -> str:
    until = "`forwarder reactions resume`" if pause.until is None else iso(pause.until, "seconds")
    who = f", by {pause.by}" if pause.by else ""
    what = f"{pause.text[:1].upper()}{pause.text[1:]}"
    return printable_line(f"{what} until {until}{who} since {iso(pause.at, 'seconds')}: {pause.why}")


def _commands(config: Path) -> "StoreCommands":
    return store_commands(load_settings(config, secrets=False))


def _not_one(id_: str, found: Sequence[Action]) -> str:
    if not found:
        return f"There is no action {id_}. See: forwarder reactions list"
    named = "\n".join(f"  {one.key[: max(12, len(id_) + 4)]}  {about(one)}: {state_text(one)}" for one in found)
    return f"several ids begin with {id_}; write more characters of the id:\n{named}"


def _state(one: Action) -> str:
    words = state_text(one)
    return f"{words}, live" if one.state is ActionState.LIVE else words


def _until(one: Action) -> str:
    """Return when the action expires if it waits for approval, or when its live effect ends; else an empty string."""
    if one.waits_for is Waits.APPROVAL and one.approval:
        return iso(one.approval.until, "seconds")
    if one.is_open and one.undo_due is not None:
        return iso(one.undo_due, "seconds")
    return ""


def _table(actions: Sequence[Action]) -> None:
    columns = ("id", "planned", "action", "about", "state", "until", "mode", "org", "rule")
    table = terminal.folded_table(*columns)
    for one in actions:
        target = _message(one) if one.target.kind == "alert" else one.target.name or one.target.id
        known = (one.id, iso(one.planned_at, "seconds"), one.name, target, _state(one), _until(one))
        table.add_row(*map(printable_line, (*known, one.mode, one.org, one.title)))
    terminal.console().print(table)


def _message(one: Action) -> str:
    """Return the webhook that gets a notification, and what the notification is about."""
    about_what = next(iter(one.settings.get("about") or ()), "alert")
    return f"{one.settings.get('to', '')}: {about_what}"


def _show(one: Action) -> None:
    echo(f"{one.id}  {about(one)}  {one.org}", fg="cyan")
    for name, text in _facts(one):
        fg = _COLOURS.get(one.outcome) if name == "state" and one.outcome else None
        echo(f"  {name:<10} {printable_line(text)}", fg=fg)


def _facts(one: Action) -> Iterator[tuple[str, str]]:
    """Yield the lines that `reactions show` prints about an action, each as a pair: its name and its text."""
    fields = as_json(one)
    target, request = one.target, fields.get("request", {})
    call = f"{request['method']} {request.get('path', '')} to {request['to']}" if request else ""
    undone = "ended" if one.end is End.NOT_OURS else "undone"
    facts = {
        "state": f"{_state(one)}  ({one.kind}, {one.mode})",
        "why": fields.get("detail") or ("" if one.end else reason_of(one)),
        "target": "" if target.kind == "alert" else f"{target.kind} {target.id}  {target.name}".rstrip(),
        "rule": f"{one.title} ({one.rule})",
        "alert": f"{one.alert}, code {fields['code']}: forwarder find {one.alert}",
        "parent": one.parent and f"the action {one.parent[:12]}",
        "approval": _approval(one.approval) if one.approval else "",
        **{name: _json(fields.get(name)) for name in ("settings", "before", "after")},
        "request": " ".join(call.split()),
        "body": _json(request.get("body")),
        **{name: fields.get(field) for name, field in _TIMES},
        undone: fields.get("undone_at"),
        f"{undone} by": ": ".join(filter(None, (one.undone_by.removeprefix("hand:"), one.undone_why))),
        "request id": one.request_id,
        "error id": one.error_id,
    }
    yield from ((name, text) for name, text in facts.items() if text)


def _json(value: Any) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


def _approval(approval: Approval) -> str:
    wanted = "this action always needs approval" if approval.why == "asks" else f"over the limit {approval.why}"
    if approval.given is None:
        return f"needed until {iso(approval.until, 'seconds')}: {wanted}"
    given = "approved" if approval.given else "refused"
    by = f" by {approval.by}" if approval.by else ""
    at = f" at {iso(approval.at, 'seconds')}" if approval.at is not None else ""
    return f"{given}{by}{at}: {wanted}"
