"""Time limits of actions. Without them, a failing action would be tried without end."""

from forwarder.core.action import EffectKind, Reason, Waits
from forwarder.core.time import SECOND, Micros
from forwarder.react.guards.judgement import Case, Judgement, refuse, time_of

LONGEST: Micros = 86_400 * SECOND
"""How long a quiet action is tried. After this time, its receiver might not recognise a repetition."""

_MOST_AHEAD: Micros = 60 * SECOND  # an event may be this far ahead of our clock

_IF_FORGED = "If the System Log is up to date, give the hook a new secret, because others may know the old secret"


def why_late(case: Case, fresh: float) -> Judgement | None:
    """Return the refusal of an action that is too late; None if the action is in time.

    An action that waits for an approval is late when the time to approve it has ended. Else an action of the
    kind `quiet` is late after a day, and any other action is late when more than `fresh` seconds have passed since its
    event, or since its approval if that came later.
    """
    action, now = case.action, case.now
    if (approval := action.approval) is not None and not case.is_approved:
        if approval.given is False:
            return refuse(Reason.APPROVAL, f"refused by {approval.by}")
        return refuse(Reason.APPROVAL, "no human approved the action in time") if now >= approval.until else None
    if action.kind is EffectKind.QUIET:
        return _of_quiet(case)
    if action.late:
        return refuse(Reason.LATE, "the event was older than rules.late when it was received")
    if action.published > now + _MOST_AHEAD:
        ahead = (action.published - now) // SECOND
        return refuse(Reason.LATE, f"the event is {ahead}s ahead of this machine's clock; correct the clock")
    since = max(action.published, approval.at or 0) if approval is not None else action.published
    if now - since <= round(fresh * SECOND):
        return None
    limit = f"reactions.fresh is {time_of(fresh)}"
    if action.waits_for is Waits.CONFIRMATION:
        text = f"the System Log did not show all events in time ({limit}); they may be forged"
        return refuse(Reason.UNCONFIRMED, f"{text}. {_IF_FORGED}")
    what = "the event is" if since == action.published else "the approval is"
    return refuse(Reason.LATE, f"{what} {time_of((now - since) // SECOND)} old, and {limit}")


def _of_quiet(case: Case) -> Judgement | None:
    """Refuse an action of the kind `quiet` if it was tried for more than a day; return None otherwise. The age of the
    event does not matter."""
    approval = case.action.approval
    since = max(case.action.planned_at, (approval.at or 0) if approval is not None else 0)
    if case.now - since <= LONGEST:
        return None
    if case.action.waits_for is Waits.CONFIRMATION:
        text = "the System Log did not show all events within 24h; they may be forged"
        return refuse(Reason.UNCONFIRMED, f"{text}. {_IF_FORGED}")
    return refuse(
        Reason.LATE,
        "the action failed for 24h and is given up: the receiver may no longer recognize a repeated request",
    )
