"""Actions as a plan makes them, for tests of what becomes of them."""

from typing import Any

from forwarder.core.action import KINDS, Action, ActionTarget, key_of
from forwarder.core.time import SECOND, Micros
from tests.fakes.clock import NOON

HOUR: Micros = 3600 * SECOND

USER = ActionTarget("user", "00uvictim000000000p1", "jane@corp.example")
ADDRESS = ActionTarget("ip", "93.184.216.34")


def action(name: str = "suspend", number: int = 0, **more: Any) -> Action:
    """The action `name` about the alert with this number."""
    target = ADDRESS if name == "block_ip" else ActionTarget("alert", f"alert-{number}") if name == "notify" else USER
    fields: dict[str, Any] = {
        "org": "acme",
        "rule": "push_fatigue",
        "title": "Push fatigue",
        "alert": f"alert-{number}",
        "events": (f"event-{number}",),
        "published": NOON,
        "kind": KINDS[name],
        "name": name,
        "target": target,
        "mode": "enforce",
        "planned_at": NOON,
        "due": NOON,
        **more,
    }
    path = [str(fields.get("settings", {}).get("group", ""))]
    return Action(key=key_of(fields["org"], fields["alert"], name, fields["target"], path), **fields)
