"""Actions of reactions, as the forwarder stores them."""

from typing import Any

from forwarder.core.action import KINDS, Action, ActionTarget, key_of
from tests.fakes.clock import NOON

ALERT = "8d1f2c3e-5b6a-5c7d-8e9f-0a1b2c3d4e5f"
TRIGGER = "dd0583fa-9d40-11f1-803d-5907b4615b10"
JANE = ActionTarget("user", "00u1", "jane@corp.example")


def action(name: str = "add_to_group", *, alert: str = ALERT, target: ActionTarget = JANE, **more: Any) -> Action:
    """An action that was just planned about an alert of the rule "Password spray"."""
    found: dict[str, Any] = {
        "key": key_of("acme", alert, name, target),
        "org": "acme",
        "rule": "5f8e3c0a-0000-4000-8000-000000000001",
        "title": "Password spray",
        "alert": alert,
        "events": [TRIGGER],  # a list, as it is read back
        "published": NOON,
        "kind": KINDS[name],
        "name": name,
        "target": target,
        "mode": "enforce",
        "planned_at": NOON,
    }
    return Action(**found | more)
