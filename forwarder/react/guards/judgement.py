"""What the guards say about an action, and what they know of it."""

from enum import StrEnum
from typing import Any

import msgspec

from forwarder.core.action import Action, Approval, Reason, Waits
from forwarder.core.time import SECOND, Micros
from forwarder.react.ports import Answer, Seen

AGAIN: Micros = 5 * SECOND
"""Until a guard looks again at what was not to be known."""


class Verdict(StrEnum):
    """What a guard says."""

    GO = "go"
    REFUSE = "refuse"
    WAIT = "wait"
    NO_OP = "no_op"
    """It is so already."""
    SHADOW = "shadow"
    """Everything is done but the call. The reason `limit` or `approval` says that enforce would have asked a human."""


class Judgement(msgspec.Struct, frozen=True):
    """What the guards say about an action.

    Attributes:
        reason: the guard that decided; None if none did.
        detail: for a person: what, why, and what to do.
        waits_for: of WAIT.
        until: of WAIT: judge it again then.
        approval: of WAIT for APPROVAL: what the row waits for, as it was asked for the first time.
        before: the state of the target now, where one was looked at.
        moves: of NO_OP: the key of the live action whose end moves to when this one's would be.
        limit: of the reason `limit`: the one that the action is over.
    """

    verdict: Verdict
    reason: Reason | None = None
    detail: str = ""
    waits_for: Waits | None = None
    until: Micros | None = None
    before: Any = None
    approval: Approval | None = None
    moves: str = ""
    limit: str = ""


class Case(msgspec.Struct):
    """An action before the guards.

    Attributes:
        mode: the weakest of those that apply.
        seen: what the look at the target found; None before it.
    """

    action: Action
    now: Micros
    mode: str
    seen: Seen | None = None

    @property
    def in_shadow(self) -> bool:
        """Whether its call is left out."""
        return self.mode == "shadow"

    @property
    def is_repeated(self) -> bool:
        """Whether its call may have been carried out before."""
        return self.action.called_at is not None

    @property
    def is_pending(self) -> bool:
        """Whether a human was asked and has not decided."""
        return self.action.approval is not None and self.action.approval.given is None

    @property
    def is_approved(self) -> bool:
        """Whether a human approved it, in time."""
        approval = self.action.approval
        if approval is None or not approval.given:
            return False
        return approval.at is None or approval.at <= approval.until


def refuse(reason: Reason, detail: str) -> Judgement:
    """Refuse an action for good."""
    return Judgement(Verdict.REFUSE, reason, detail)


def wait(reason: Reason, detail: str, waits_for: Waits, until: Micros) -> Judgement:
    """Judge an action again at `until`."""
    return Judgement(Verdict.WAIT, reason, detail, waits_for, until)


def repeat(case: Case, reason: Reason, text: str, answer: Answer) -> Judgement:
    """Judge it again when the answer to a look-up may be another one."""
    return wait(reason, text, Waits.RETRY, max(answer.again_at or 0, case.now + AGAIN))


def time_of(seconds: float) -> str:
    """Write a time as the configuration does: `2h`, `90s`."""
    units = {"d": 86400, "h": 3600, "m": 60}
    for unit, length in units.items():
        if seconds >= length and not seconds % length:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
