"""Whether the forwarder itself caused the event of an alert: by its credential, by a call of its own, or as an echo.

A risk that the forwarder reports comes back as an event whose actor is Okta. To report that event again would begin a loop
without end. Nothing in such an event says what caused it, so for a while after each report, events about that user's risk
count as an echo. Because Okta may have found one of these risks itself, an echo stops only further reports, not other actions.
"""

from forwarder.core.action import Action
from forwarder.core.time import SECOND, Micros
from forwarder.react.action_rows.in_memory import REPORTS, ActionsInMemory

ECHO: Micros = 600 * SECOND
"""How long after a report an event about that user's risk may be its echo."""

_SKEW: Micros = 60 * SECOND  # Okta's clock may be this far behind ours
_ECHOES = ("user.risk.", "policy.entity_risk.", "security.events.provider.")


def why_own(action: Action, own: frozenset[str], memory: ActionsInMemory) -> str:
    """Return what shows that the forwarder itself caused the event of `action`, as a text for a person; empty if
    nothing shows it. `own` has the ids of our credential."""
    if any(by in own or memory.made(by) for by in action.made_by):
        return "the forwarder itself caused the event; exclude the forwarder's changes in the rule"
    if action.name not in REPORTS or not action.trigger.startswith(_ECHOES):
        return ""
    report = memory.reported(action)
    if report is None or not -_SKEW <= action.published - (report.called_at or 0) <= ECHO:
        return ""
    return (
        f"the forwarder itself reported a risk of the user ({report.id}, {report.name}), and Okta's {action.trigger} "
        "may be the echo of that report; remove risk_event and user_risk from the reactions to rules about risk"
    )
