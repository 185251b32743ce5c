"""Limits the number of prompts to one user, because a user who is asked too often gets used to approving. Also limits
how many prompts of one org wait for an answer at the same time."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from forwarder.core.action import Action, ActionState, EffectKind, Outcome
from forwarder.core.time import SECOND, Micros
from forwarder.react.guards.judgement import Case
from forwarder.react.prompts.results import Reply
from forwarder.react.settings.guards import GuardSettings, Limit

_RETRY_PAUSE = 10 * SECOND

LIMIT_OF = {"day": "prompt_per_user", "org": "prompts_at_once"}
"""The name of each limit in `reactions.limits`, by the value of `ReachedLimit.which`."""

_ONCE_A_DAY = Limit(1, 86_400)


class ReachedLimit(msgspec.Struct, frozen=True):
    """Why another prompt may not be sent now.

    Attributes:
        which: the limit that stops the prompt. `live`: the user is already being asked. `day`: the user was asked as
            often as `prompt_per_user` allows in its period, usually a day. `org`: as many users of the org are being
            asked now as `prompts_at_once` allows.
        until: when to check again; None for `live`, because the user may answer at any time.
    """

    which: Literal["live", "day", "org"]
    detail: str
    until: Micros | None = None


def reached_limit(case: Case, prompts: Iterable[Action], settings: GuardSettings) -> ReachedLimit | None:
    """Return why the prompt of `case` may not be sent now; None if it may be sent, or if the action is not a prompt.

    `prompts` must have all prompts that wait for an answer, and all prompts that were sent within the period of the
    limit `prompt_per_user`, usually a day.
    """
    action, now = case.action, case.now
    if action.kind is not EffectKind.PROMPT:
        return None
    per_user = settings.limits.get("prompt_per_user", _ONCE_A_DAY)
    out = 0
    asked: list[tuple[Micros, str]] = []
    for row in prompts:
        if row.kind is not EffectKind.PROMPT or row.org != action.org or row.key == action.key:
            continue
        is_out = row.state in {ActionState.CALLING, ActionState.PROMPTING}
        out += is_out
        if row.target.id != action.target.id:
            continue
        if is_out:
            return ReachedLimit("live", f"another action, {row.id}, is already asking the user")
        at = _asked_at(row, in_shadow=case.in_shadow)
        if at is not None and at > now - per_user.micros:
            asked.append((at, row.id))
    if len(asked) >= per_user.count:
        at, row_id = sorted(asked)[-per_user.count]
        text = f"the user was asked in the last {per_user.micros / (3600 * SECOND):g} hours, by {row_id}"
        return ReachedLimit("day", text, at + per_user.micros)
    if out >= settings.prompts_at_once:
        return ReachedLimit(
            "org", f"{out} users of {action.org} are being asked now, which is the limit", now + _RETRY_PAUSE
        )
    return None


def _asked_at(row: Action, *, in_shadow: bool) -> Micros | None:
    """Return the time when the ended prompt `row` was sent or may have been sent; None if the prompt certainly was not
    sent. With `in_shadow`, a prompt that shadow mode only recorded counts as sent."""
    if row.outcome is Outcome.SHADOW:
        return (row.seen_at or row.planned_at) if in_shadow else None
    if row.state is not ActionState.ENDED or row.outcome in {Outcome.REFUSED, Outcome.FAILED}:
        return None
    return None if row.answer == Reply.UNREACHABLE else row.called_at
