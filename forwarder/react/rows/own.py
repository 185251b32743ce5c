"""Whether the forwarder itself caused the event of an alert: by its credential, by a call of its own, or as an echo.

A risk that the forwarder reports comes back as an event whose actor is Okta. Reporting that again would go round for as long
as both sides run. Nothing in such an event says what caused it, so it counts as an echo for a while after each report about
that user; only reports are refused for it, because a risk of Okta's own may be among them.
"""

from typing import Protocol

from forwarder.core.action import Action
from forwarder.core.time import SECOND, Micros

REPORTS = frozenset({"risk_event", "user_risk"})
"""Actions that report a risk of a user, after which Okta changes its own."""

ECHO: Micros = 600 * SECOND
"""How long after a report an event about the risk of its user may come from it."""

_SKEW: Micros = 60 * SECOND  # of Okta's clock before ours
_ECHOES = ("user.risk.", "policy.entity_risk.", "security.events.provider.")


class Calls(Protocol):
    """The memory of our own calls."""

    def made(self, request_id: str) -> bool:
        """Whether `request_id` is Okta's id of one of our own calls."""

    def reported(self, action: Action) -> Action | None:
        """Return the last report of a risk of the user of `action`; None if there is none."""


def why_own(action: Action, own: frozenset[str], calls: Calls) -> str:
    """Return why the forwarder itself caused the event of `action`, as a text for a person; empty if it did
    not. `own`: ids of our credential."""
    if any(by in own or calls.made(by) for by in action.made_by):
        return "the forwarder itself caused the event; take its changes out of the rule"
    if action.name not in REPORTS or not action.trigger.startswith(_ECHOES):
        return ""
    report = calls.reported(action)
    if report is None or not -_SKEW <= action.published - (report.called_at or 0) <= ECHO:
        return ""
    return (
        f"the forwarder reported a risk of the user itself ({report.id}, {report.name}), and Okta's {action.trigger} "
        "may be its echo; take risk_event and user_risk out of rules about risk"
    )
