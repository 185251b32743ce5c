"""What the guards decide about an action, and the data on which they base the decision."""

from enum import StrEnum
from typing import Any

import msgspec

from forwarder.core.action import Action, Approval, Reason, Waits
from forwarder.core.time import SECOND, Micros
from forwarder.react.ports import Answer, Seen

DELAY: Micros = 5 * SECOND
"""How long an action waits before the guards repeat a check that failed."""


class Decision(StrEnum):
    """The decision of a guard about an action."""

    GO = "go"
    REFUSE = "refuse"
    WAIT = "wait"
    NO_OP = "no_op"
    """The effect of the action is there already."""
    SHADOW = "shadow"
    """Everything except the call is done. With the reason `limit` or `approval`, mode `enforce` would ask a human."""


class Judgement(msgspec.Struct, frozen=True):
    """The decision of the guards about an action.

    Attributes:
        reason: the guard that decided; None if no guard objected to the action.
        detail: a text for an operator: what was decided, why, and what to do.
        waits_for: what the action waits for, if the decision is WAIT.
        until: when the guards must decide again, if the decision is WAIT.
        approval: the request for an approval, if the action waits for a human.
        before: the state of the target now; None if no guard looked up the target.
        moves: for NO_OP: the key of an earlier action whose live effect is also the effect of this action; empty if
            there is none. If the effect of this action would end later, the live effect is prolonged to that later end.
    """

    verdict: Decision
    reason: Reason | None = None
    detail: str = ""
    waits_for: Waits | None = None
    until: Micros | None = None
    before: Any = None
    approval: Approval | None = None
    moves: str = ""


class Case(msgspec.Struct):
    """An action about which the guards are deciding, with the current time and the data that the guards have found out.

    Attributes:
        mode: the weakest of the modes that apply to the action: `off`, `shadow` or `enforce`.
        seen: the state of the target; None if no guard has looked up the target yet.
    """

    action: Action
    now: Micros
    mode: str
    seen: Seen | None = None

    @property
    def in_shadow(self) -> bool:
        """Whether the mode is `shadow`, so that the action is only recorded and not carried out."""
        return self.mode == "shadow"

    @property
    def is_repeated(self) -> bool:
        """Whether an earlier call of the action may have been carried out."""
        return self.action.called_at is not None

    @property
    def is_pending(self) -> bool:
        """Whether a human was asked to approve the action, and has not decided yet."""
        return self.action.approval is not None and self.action.approval.given is None

    @property
    def is_approved(self) -> bool:
        """Whether a human approved the action before the time to approve had ended."""
        approval = self.action.approval
        if approval is None or not approval.given:
            return False
        return approval.at is None or approval.at <= approval.until


def refuse(reason: Reason, detail: str) -> Judgement:
    """Return the judgement (the decision of a guard) that refuses an action for good."""
    return Judgement(Decision.REFUSE, reason, detail)


def wait(reason: Reason, detail: str, waits_for: Waits, until: Micros) -> Judgement:
    """Return the judgement (the decision of a guard) that lets an action wait. The guards decide again at `until`."""
    return Judgement(Decision.WAIT, reason, detail, waits_for, until)


def repeat(case: Case, reason: Reason, text: str, answer: Answer) -> Judgement:
    """Return the judgement (the decision of a guard) that lets an action wait until a failed look-up is repeated.
    `answer` is Okta's answer to the failed look-up."""
    return wait(reason, text, Waits.RETRY, max(answer.retry_at or 0, case.now + DELAY))


def time_of(seconds: float) -> str:
    """Return `seconds` in the form that the configuration uses for lengths of time, such as `2h` or `90s`."""
    units = {"d": 86400, "h": 3600, "m": 60}
    for unit, length in units.items():
        if seconds >= length and not seconds % length:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
