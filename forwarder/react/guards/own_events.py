"""Decides whether the forwarder itself caused the event of an alert.

The forwarder counts as the cause in three cases:

- The event names the forwarder's credential.
- The event belongs to one of the forwarder's calls.
- The event may be an echo: an event about a user's risk that Okta writes because the forwarder reported this risk.

If a reaction to an echo reported the risk again, this report would cause the next echo, and so on without end. The
actor of an echo is Okta, and the event does not say what caused it. So for 10 minutes after a report about a user,
every event about this user's risk counts as an echo. But Okta may also have found the risk by itself. So an echo stops
only the actions that report a risk.
"""

from forwarder.core.action import Action
from forwarder.core.time import SECOND, Micros
from forwarder.react.action_rows.in_memory import REPORTS, ActionsInMemory

ECHO: Micros = 600 * SECOND
"""How long after a report an event about the same user's risk counts as an echo of the report."""

_SKEW: Micros = 60 * SECOND  # Okta's clock may be this far behind ours
_ECHOES = ("user.risk.", "policy.entity_risk.", "security.events.provider.")


def why_own(action: Action, own: frozenset[str], memory: ActionsInMemory) -> str:
    """Return a text for an operator that says why the forwarder itself counts as the cause of the event of `action`;
    empty if the forwarder is not the cause. `own` has the ids of the forwarder's credential."""
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
