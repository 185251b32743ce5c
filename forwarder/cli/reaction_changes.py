"""`forwarder reactions approve|refuse|undo|pause|resume`: commands for the decisions of a human about reactions."""

import getpass
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forwarder.cli import terminal
from forwarder.cli.options import config_option, load_rules, load_settings, store_commands
from forwarder.cli.reaction_list import paused
from forwarder.cli.time_option import DurationParam
from forwarder.clock import SystemClock
from forwarder.core.action import KINDS
from forwarder.core.action_event import about, state_text
from forwarder.core.errors import ReactionError, StoreError, StoreTimeoutError
from forwarder.core.printable import printable_line
from forwarder.core.time import SECOND, iso

if TYPE_CHECKING:
    from forwarder.control_socket.messages import ControlRequest
    from forwarder.core.action import Action
    from forwarder.react.guards.pauses import Pauses
    from forwarder.react.operator_requests import ApproveRequest, UndoRequest
    from forwarder.settings import Settings

_TIMEOUT = 10.0
"""How many seconds the running forwarder has for its answer. The forwarder only commits one transaction."""

_ID_BEGIN = re.compile(r"[0-9a-f]{8,64}")
_ID = click.argument("id_", metavar="ID")


def _not_blank(_context: click.Context, _option: click.Parameter, written: str) -> str:
    """Return the reason without surrounding white space. A blank reason is refused, because other operators need to
    know why."""
    if not written.strip():
        raise click.BadParameter("is blank; write a reason")
    return written.strip()


def _not_zero(_context: click.Context, _option: click.Parameter, seconds: float | None) -> float | None:
    if seconds == 0:
        raise click.BadParameter("the time must be longer than 0s; write one such as 2h")
    return seconds


@click.command()
@config_option
@_ID
def approve(config: Path, id_: str) -> None:
    """Approve an action that waits for a human, so that the forwarder carries out the action.

    The guards (the safety checks before an action) must still allow the action.

    Needs a running forwarder.
    """
    from forwarder.react.operator_requests import ApproveRequest

    found = _change_action(load_settings(config, secrets=False), ApproveRequest(id_, _who(), given=True))
    terminal.echo(f"Approved {_about(found)}; see: forwarder reactions show {found.key[:12]}")


@click.command()
@config_option
@_ID
def refuse(config: Path, id_: str) -> None:
    """Refuse an action that waits for a human. The forwarder then never carries out the action.

    Needs a running forwarder.
    """
    from forwarder.react.operator_requests import ApproveRequest

    found = _change_action(load_settings(config, secrets=False), ApproveRequest(id_, _who(), given=False))
    terminal.echo(f"Refused {_about(found)}.")


@click.command()
@config_option
@click.option(
    "--why",
    required=True,
    callback=_not_blank,
    metavar="TEXT",
    help="The reason, for people who look at the action later.",
)
@_ID
def undo(config: Path, id_: str, *, why: str) -> None:
    """Undo the live effect of an action now. For a day from now, no action changes the target of the undone action.

    Needs a running forwarder.
    """
    from forwarder.react.operator_requests import UndoRequest

    found = _change_action(load_settings(config, secrets=False), UndoRequest(id_, _who(), why))
    terminal.echo(f"Undoing {_about(found)}; see: forwarder reactions show {found.key[:12]}")


@click.command()
@config_option
@click.option(
    "--for",
    "seconds",
    type=DurationParam(),
    callback=_not_zero,
    help="How long to pause, such as 2h. Default: until `forwarder reactions resume`.",
)
@click.option(
    "--why", required=True, callback=_not_blank, metavar="TEXT", help="The reason, for people who notice the pause."
)
@click.argument("what", required=False, metavar="[RULE|ACTION]")
def pause(config: Path, what: str | None, *, seconds: float | None, why: str) -> None:
    """Pause all reactions, the reactions to one rule (by id, name or title), or one action, such as suspend.

    The pause is in force within a second, without a restart. Actions that alerts lead to during the pause are refused,
    and are not carried out later. Prompts by push that users have not answered are withdrawn, and answers to prompts
    have no effect. Effects that exist already, such as a suspension, still end at their planned time. The pause is
    kept in the store, so it also applies after a restart.
    """
    from forwarder.react.operator_requests import PauseRequest

    settings = load_settings(config, secrets=False)
    scope, title = _scope(settings, what)
    request = PauseRequest(scope, why, _who(), seconds, title)
    if _send(settings, request) is None:
        _change_here(
            settings, lambda pauses, now: pauses.pause(scope, why, now, seconds=seconds, by=request.by, title=title)
        )
    until = "`forwarder reactions resume`"
    if seconds is not None:
        until = iso(SystemClock().now() + round(seconds * SECOND), "seconds")
    terminal.echo(f"Paused {what or 'all reactions'} until {until}. Existing effects still end at their planned time.")


@click.command()
@config_option
@click.argument("what", required=False, metavar="[RULE|ACTION]")
def resume(config: Path, what: str | None) -> None:
    """End the pause of a rule or of an action. Without a name, end every pause."""
    from forwarder.react.operator_requests import ResumeRequest

    settings = load_settings(config, secrets=False)
    scope = None if what is None else _paused_scope(settings, what)
    ended = _send(settings, ResumeRequest(scope, _who()))
    if ended is None:
        ended = _change_here(settings, lambda pauses, now: pauses.resume(scope, now))
    if not ended:
        what_not = f"{what} is not paused" if what else "nothing is paused"
        raise ReactionError(f"{what_not}; see: forwarder reactions list")
    terminal.echo(f"Resumed {what or 'all reactions'}.")


def _change_action(settings: "Settings", request: "ApproveRequest | UndoRequest") -> "Action":
    """Let the running forwarder change an action, and return the changed action.

    Raises:
        ReactionError: no forwarder runs, or the forwarder refuses the request, for example because the action has
            ended.
    """
    try:
        found: Action | None = _send(settings, request)
    except ReactionError as error:
        raise ReactionError(_how_it_ended(settings, request.id) or str(error)) from error
    if found is None:
        hint = "only a running forwarder can change actions; start it with `forwarder run`"
        raise ReactionError(f"no running forwarder uses the store {settings.store.path}, and {hint}")
    return found


def _how_it_ended(settings: "Settings", id_: str) -> str:
    """Return how the action `id_` has ended, as a text; empty if it is still open.

    An action ends, for example, when another operator refuses it.
    """
    found = store_commands(settings).find_actions(id_) if _ID_BEGIN.fullmatch(id_) else []
    if len(found) != 1 or found[0].is_open:
        return ""
    words = f"{found[0].id} has ended: {about(found[0])}: {state_text(found[0])}"
    return f"{words}; {found[0].detail}" if found[0].detail else words


def _send(settings: "Settings", request: "ControlRequest") -> Any | None:
    """Send `request` to the running forwarder, and return the result; None if no forwarder runs."""
    from forwarder.control_socket.client import ask

    try:
        return ask(settings.store.path, request, timeout=_TIMEOUT, hint="see: forwarder reactions list")
    except StoreTimeoutError as error:
        hint = "a stopped forwarder takes no action, and you can set a pause before you start it again"
        raise ReactionError(f"{error}; {hint}") from error


def _change_here(settings: "Settings", change: "Callable[[Pauses, int], Pauses]") -> bool:
    """Change the pauses directly in the store, because no forwarder runs. Return whether the pauses in force have
    changed.

    Raises:
        StoreError: the store does not exist. No store is created: if the path is wrong, no forwarder would read the
            pause.
    """
    import asyncio

    from forwarder.core.ports import Batch
    from forwarder.metrics import Metrics
    from forwarder.react.guards.pauses import CURSOR, Pauses
    from forwarder.store.interface import open_store
    from forwarder.store.settings import real_path

    if not (path := real_path(settings.store.path)).exists():
        raise StoreError(f"there is no store at {path}; start the forwarder once, or correct store.path")

    async def write() -> bool:
        clock = SystemClock()
        store = await open_store(settings.store, clock, Metrics())
        try:
            now = clock.now()
            before = Pauses.load(await store.cursor(CURSOR), now)
            after = change(before, now)
            await store.commit_actions(Batch(cursor=(CURSOR, after.dump())), [])
            return before.on(now) != after.on(now)
        finally:
            await store.close()

    return asyncio.run(write())


def _paused_scope(settings: "Settings", what: str) -> str:
    """Return the scope of a pause that the operator named `what`: the id of a rule, or the name of an action.

    A rule that was removed after it was paused is found too.
    """
    pauses = paused(store_commands(settings))
    found = {one.scope for one in pauses if what and what in {one.scope, one.title}}
    return found.pop() if len(found) == 1 else _scope(settings, what)[0]


def _scope(settings: "Settings", what: str | None) -> tuple[str, str]:
    """Return what to pause as a pair: the id and the title of a rule, or the name of an action and an empty string.

    `what` is the argument of the command. If it is None, both parts of the result are empty: all reactions are meant.

    Raises:
        click.BadParameter: `what` names neither a rule nor an action, or names several rules.
    """
    from difflib import get_close_matches

    from forwarder.reaction_check import known_rules

    if what is None or what in KINDS:
        return what or "", ""
    rules = known_rules(load_rules(settings))
    found = {rule.id: rule.title for rule in rules if what in {rule.id, rule.name, rule.title}}
    if len(found) == 1:
        return found.popitem()
    names = [*KINDS, *(name for rule in rules for name in (rule.name, rule.title, rule.id) if name)]
    near = get_close_matches(what, names, 1)
    hint = f"; did you mean {near[0]}?" if near else "; see: forwarder rules list"
    text = "names several rules; write the id of one" if found else f"is neither a rule nor an action{hint}"
    raise click.BadParameter(f"{what} {text}", param_hint="RULE|ACTION")


def _who() -> str:
    """Return the login name of the user who runs this command; "unknown" if the user has no login name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user for this id
        return "unknown"


def _about(action: "Action") -> str:
    return printable_line(f"{action.name} of {action.target.name or action.target.id} ({action.title})")
