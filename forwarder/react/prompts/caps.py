"""The limits on prompts to one user, and on the prompts of one org that are out: a user who is asked too often
learns to approve."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from forwarder.core.action import Action, ActionState, EffectKind, Outcome
from forwarder.core.time import SECOND, Micros
from forwarder.react.prompts.results import Reply

DAY = 86_400 * SECOND

_AGAIN = 10 * SECOND


class Cap(msgspec.Struct, frozen=True):
    """Why another prompt may not be sent now.

    Attributes:
        which: `live` if the user is being asked now; `day` if the user was asked often enough in the window, usually a
            day; `org` if enough users of the org are being asked now.
        until: when to look again; None if time alone does not help.
    """

    which: Literal["live", "day", "org"]
    detail: str
    until: Micros | None = None


def over_cap(
    action: Action,
    rows: Iterable[Action],
    now: Micros,
    *,
    per_user: int = 1,
    window: Micros = DAY,
    at_once: int = 5,
) -> Cap | None:
    """Return why the prompt `action` may not be sent now; None if it may.

    Args:
        action: the prompt's row.
        rows: at least the rows of all prompts that are out, and of those from the last `window`.
        now: the time.
        per_user: how many prompts one user may get in a `window`.
        window: length of that window, in microseconds.
        at_once: how many prompts of one org may be out at once.
    """
    out = 0
    asked: list[tuple[Micros, str]] = []
    for row in rows:
        if row.kind is not EffectKind.PROMPT or row.org != action.org or row.key == action.key:
            continue
        is_out = row.state in {ActionState.CALLING, ActionState.PROMPTING}
        out += is_out
        if row.target.id != action.target.id:
            continue
        if is_out:
            return Cap("live", f"the user is being asked already, by {row.id}")
        at = _asked_at(row, in_shadow=action.mode == "shadow")
        if at is not None and at > now - window:
            asked.append((at, row.id))
    if len(asked) >= per_user:
        at, row_id = sorted(asked)[-per_user]
        text = f"the user was asked in the last {window / (3600 * SECOND):g} hours, by {row_id}"
        return Cap("day", text, at + window)
    if out >= at_once:
        return Cap("org", f"{out} users of {action.org} are being asked, which is the limit", now + _AGAIN)
    return None


def _asked_at(row: Action, *, in_shadow: bool) -> Micros | None:
    """Return when a prompt that has ended was sent, or may have been sent; None if it certainly was not. With
    `in_shadow`, also return the time of a prompt that shadow mode only recorded."""
    if row.outcome is Outcome.SHADOW:
        return (row.seen_at or row.planned_at) if in_shadow else None
    if row.state is not ActionState.ENDED or row.outcome in {Outcome.REFUSED, Outcome.FAILED}:
        return None
    return None if row.answer == Reply.UNREACHABLE else row.called_at
