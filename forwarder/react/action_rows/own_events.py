"""Whether the forwarder itself caused the event of an alert: by its credential, by a call of its own, or as an echo.

A risk that the forwarder reports comes back as an event whose actor is Okta. To report that event again would begin a loop
without end. Nothing in such an event says what caused it, so for a while after each report, events about that user's risk
count as an echo. Because Okta may have found one of these risks itself, an echo stops only further reports, not other actions.
"""

from typing import Protocol

from forwarder.core.action import Action
from forwarder.core.time import SECOND, Micros

REPORTS = frozenset({"risk_event", "user_risk"})
"""Actions that report a risk of a user. After such a report, Okta itself sends events about that user's risk."""

ECHO: Micros = 600 * SECOND
"""How long after a report an event about that user's risk may be its echo."""

_SKEW: Micros = 60 * SECOND  # Okta's clock may be this far behind ours
_ECHOES = ("user.risk.", "policy.entity_risk.", "security.events.provider.")


class OwnCallMemory(Protocol):
    """The memory of our own calls."""

    def made(self, request_id: str) -> bool:
        """Whether `request_id` is Okta's id of one of our own calls."""

    def reported(self, action: Action) -> Action | None:
        """Return the last report of a risk of the user of `action`; None if there is none."""


def why_own(action: Action, own: frozenset[str], calls: OwnCallMemory) -> str:
    """Return what shows that the forwarder itself caused the event of `action`, as a text for a person; empty if
    nothing shows it. `own` has the ids of our credential."""
    if any(by in own or calls.made(by) for by in action.made_by):
        return "the forwarder itself caused the event; exclude the forwarder's changes in the rule"
    if action.name not in REPORTS or not action.trigger.startswith(_ECHOES):
        return ""
    report = calls.reported(action)
    if report is None or not -_SKEW <= action.published - (report.called_at or 0) <= ECHO:
        return ""
    return (
        f"the forwarder itself reported a risk of the user ({report.id}, {report.name}), and Okta's {action.trigger} "
        "may be the echo of that report; remove risk_event and user_risk from the reactions to rules about risk"
    )
