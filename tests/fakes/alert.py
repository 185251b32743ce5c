"""Alerts of rules, as the forwarder stores them."""

from typing import Any

from forwarder.core.alert import Alert, AlertWindow, RuleInfo, to_event
from forwarder.core.event import Event
from forwarder.core.time import SECOND
from tests.fakes.clock import NOON

SPRAY = RuleInfo(
    id="5f8e3c0a-0000-4000-8000-000000000001",
    title="Password spray",
    level="high",
    kind="value_count",
    tags=("attack.credential-access", "attack.t1110.003"),
    references=("https://rules.example/spray", "https://rules.example/more"),
    ruleset="spray.yml",
)


def trigger(**more: Any) -> dict[str, Any]:
    """The Okta event that completed the alert."""
    return {
        "uuid": "dd0583fa-9d40-11f1-803d-5907b4615b10",
        "eventType": "user.session.start",
        "published": "2026-01-01T12:00:00.000Z",
        "actor": {"id": "00u1", "type": "User", "alternateId": "jane@corp.example", "displayName": "Jane"},
        "client": {"ipAddress": "203.0.113.9", "userAgent": {"rawUserAgent": "curl/8"}},
        "outcome": {"result": "FAILURE"},
        "debugContext": {"debugData": {"requestUri": "/api"}},
        **more,
    }


def alert(**more: Any) -> Alert:
    """An alert of the rule `SPRAY`."""
    found: dict[str, Any] = {
        "org": "acme",
        "rule": SPRAY,
        "group": {"client.ipAddress": "203.0.113.9"},
        "window": AlertWindow(NOON - 300 * SECOND, NOON, 600),
        "first": "uuid-1",
        "events": ("uuid-1", "uuid-2"),
        "count": 12,
        "matched": 40,
        "held_back": 3,
    }
    return Alert(**found | more)


def alert_event(at: int = NOON + 2 * SECOND, **more: Any) -> Event:
    """The same as an event of the store."""
    return to_event(alert(**more), trigger(), at)
