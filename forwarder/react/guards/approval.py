"""Decides whether a human must approve an action, and makes the judgement (the decision of a guard) that asks for the
approval."""

from forwarder.core.action import ASKS, Action, Approval, Reason, Waits
from forwarder.core.time import SECOND, Micros
from forwarder.react.guards.judgement import Case, Decision, Judgement


def asks(action: Action) -> bool:
    """Whether a human must approve `action`. If the entry of `reactions.on` sets `approve`, this setting decides; else
    the action's name decides."""
    wanted = action.settings.get("approve")
    return action.name in ASKS if wanted is None else wanted is not False


def ask(case: Case, approve_within: float, reason: Reason, why: str, text: str) -> Judgement:
    """Return the judgement (the decision of a guard) that lets an action wait for a human's approval. In shadow mode,
    return a judgement that says that mode `enforce` would ask a human.

    The human has `approve_within` seconds, unless the action's settings have another time. The other arguments say why
    a human must approve:

    - `reason` is LIMIT or APPROVAL.
    - `why` is the name of the limit that the action exceeds, or `asks` if it exceeds none.
    - `text` is the explanation for an operator.
    """
    action = case.action
    if case.in_shadow:
        return Judgement(Decision.SHADOW, reason, f"{text}; in mode enforce, the action would wait for approval")
    approval = action.approval or Approval(case.now + _time(action, approve_within), why)
    text = f"{text}; decide with: forwarder reactions approve {action.id}, or: forwarder reactions refuse {action.id}"
    return Judgement(Decision.WAIT, reason, text, Waits.APPROVAL, approval.until, approval=approval)


def _time(action: Action, approve_within: float) -> Micros:
    wanted = action.settings.get("approve")
    within = wanted.get("within") if isinstance(wanted, dict) else None
    return round((within or approve_within) * SECOND)
