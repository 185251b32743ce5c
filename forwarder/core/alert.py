"""The type of an alert (the finding of a rule), and its conversion to an event. docs/mapping.md shows the event's JSON.

The event of an alert has some keys of the Okta event that completed the alert (`actor`, `client`, `target`, …), so that
code for Okta's events can also read alerts. The `eventType` is `forwarder.alert`, and the field `forwarder.alert` has
the finding itself.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import msgspec

from forwarder.core.event import Event, Source
from forwarder.core.time import Micros, iso

EVENT_TYPE = "forwarder.alert"

MOST_EVENTS = 100
"""The maximum number of event uuids in an alert. If a finding has more events, the alert has the uuids of the last
events, and `count` and `matched` still count all events."""

SEVERITIES = {"informational": 21, "low": 21, "medium": 47, "high": 73, "critical": 99}
"""Elastic's severity number for each level of Sigma."""

_OKTA_SEVERITIES = {"informational": "INFO", "low": "INFO", "medium": "WARN"}
_NAMESPACE = UUID("5d6a6a9e-3f0c-5b8e-9c1f-6f6b74612d66")
_COPIED_KEYS = (
    "actor",
    "client",
    "device",
    "target",
    "outcome",
    "transaction",
    "securityContext",
    "authenticationContext",
)
"""Keys that an alert copies from the Okta event that completed it. Debug data is not copied."""

_CODE_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32, in which no two characters look alike

_MAX_COPIED_BYTES = 64 * 1024
"""The maximum size in bytes of all copied values together. A sender may send values of any size. The largest values are
left out until the others fit."""


class RuleInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rule of an alert.

    Attributes:
        level: the severity of the rule, a level of Sigma (a key of `SEVERITIES`).
        kind: `event` for a rule about single events; for a correlation rule, the type of the correlation.
        references: URLs of pages about the rule.
        ruleset: the name of the file that contains the rule.
        aliases: for each alias in the group of the alert, the fields that the alias stands for.
    """

    id: str
    title: str
    level: str
    kind: str = "event"
    tags: Sequence[str] = ()
    references: Sequence[str] = ()
    ruleset: str = ""
    aliases: Mapping[str, Sequence[str]] = {}


class AlertWindow(msgspec.Struct, frozen=True):
    """The time from the first event of an alert (`start`) to the last event (`end`), by Okta's clock.

    `seconds` is the timespan of the rule; 0 if the rule has no timespan.
    """

    start: Micros
    end: Micros
    seconds: int


class Alert(msgspec.Struct, frozen=True):
    """The finding of a rule.

    Attributes:
        group: the value of each field by which the rule groups events, such as the user; by name of the field.
        first: the uuid of the first event in the window.
        events: the uuids of the last events in the window, oldest first, at most `MOST_EVENTS`.
        count: the number that the rule's condition compares: the number of events, of values or of rules in the window.
        matched: the number of events that matched since the last alert of this rule and group, including the events in
            the window.
        held_back: the number of alerts of this rule and group that were not stored, because they came too soon after
            the last alert.
        late: whether the last event was older than `rules.late` when the forwarder received it. Reactions ignore a late
            alert.
    """

    org: str
    rule: RuleInfo
    group: Mapping[str, str]
    window: AlertWindow
    first: str
    events: Sequence[str]
    count: int
    matched: int
    held_back: int = 0
    late: bool = False

    @property
    def uuid(self) -> str:
        """The uuid of the alert. Two alerts with the same org, rule, group and first event have the same uuid."""
        named = [self.org, self.rule.id, sorted(self.group.items()), self.first]
        return str(uuid5(_NAMESPACE, msgspec.json.encode(named).decode()))


def to_event(alert: Alert, trigger: Mapping[str, Any], at: Micros, *, mode: str = "alert") -> Event:
    """Return `alert` as an event to store.

    `trigger` is the decoded Okta event that completed the alert. `at` is the current time. `mode` is the value for the
    field `forwarder.alert.mode` of the returned event.
    """
    body = msgspec.json.encode(
        {
            "uuid": alert.uuid,
            "eventType": EVENT_TYPE,
            "published": iso(alert.window.end, "milliseconds"),
            "displayMessage": alert.rule.title,
            "severity": _OKTA_SEVERITIES.get(alert.rule.level, "ERROR"),
            **_copied_values(trigger),
            "forwarder": {
                "alert": {
                    "rule": alert.rule,
                    "group": alert.group,
                    "window": {
                        "start": iso(alert.window.start, "milliseconds"),
                        "end": iso(alert.window.end, "milliseconds"),
                        "seconds": alert.window.seconds,
                    },
                    "events": alert.events,
                    "code": code_of(alert.uuid),
                    "count": alert.count,
                    "matched": alert.matched,
                    "heldBack": alert.held_back,
                    "late": alert.late,
                    "mode": mode,
                    "trigger": {"uuid": trigger.get("uuid"), "eventType": trigger.get("eventType")},
                }
            },
        }
    )
    return Event(alert.org, alert.uuid, EVENT_TYPE, alert.window.end, at, Source.ALERT, "", body)


def code_of(uuid: str) -> str:
    """Return the 4-character code of the alert with the uuid `uuid`. If the user is asked about the alert, the user's
    phone shows this code."""
    drawn = int.from_bytes(sha256(b"code:" + uuid.encode()).digest())
    return "".join(_CODE_LETTERS[drawn >> 5 * position & 31] for position in range(4))


def rule_of(alert: Event) -> str:
    """Return the ID of the rule that raised `alert`, an event that `to_event` made."""
    found: str = msgspec.json.decode(alert.body)["forwarder"]["alert"]["rule"]["id"]
    return found


def _copied_values(trigger: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    parts = {key: msgspec.json.encode(trigger[key]) for key in _COPIED_KEYS if trigger.get(key)}
    while sum(map(len, parts.values())) > _MAX_COPIED_BYTES:
        del parts[max(parts, key=lambda key: len(parts[key]))]
    return {key: msgspec.Raw(part) for key, part in parts.items()}
