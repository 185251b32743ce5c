"""An alert: the finding of a rule, stored as an event. docs/mapping.md shows its JSON.

An alert has some keys of the Okta event that completed it (`actor`, `client`, `target`, …), so that code for events can
also read alerts. Its `eventType` is `forwarder.alert`, and the finding itself is under `forwarder.alert`.
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
"""The maximum number of event uuids in an alert. The alert has the uuids of the last events; `count` and `matched`
count all events."""

SEVERITIES = {"informational": 21, "low": 21, "medium": 47, "high": 73, "critical": 99}
"""Elastic's severity number for each level of Sigma."""

_OKTA = {"informational": "INFO", "low": "INFO", "medium": "WARN"}
_NAMESPACE = UUID("5d6a6a9e-3f0c-5b8e-9c1f-6f6b74612d66")
_TAKEN_OVER = (
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

_CODE_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32: no two look alike

_MOST_BYTES = 64 * 1024
"""The maximum size in bytes of all copied values together. A sender may send values of any size, so the largest values
are left out until the rest fits."""


class RuleInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rule of an alert.

    Attributes:
        kind: `event`, or the type of the correlation.
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
    """The time from the first event of an alert to the last, by Okta's clock.

    `seconds` is the timespan of the rule; 0 if the rule has none.
    """

    start: Micros
    end: Micros
    seconds: int


class Alert(msgspec.Struct, frozen=True):
    """The finding of a rule.

    Attributes:
        group: the fields that the rule groups events by, such as the user, and their values in this alert.
        first: the uuid of the first event in the window.
        events: the uuids of the last events in the window, oldest first, at most `MOST_EVENTS`.
        count: the number that the rule's condition compares: how many events, values or rules are in the window.
        matched: the number of events that matched since the last alert of this rule and group, including the window.
        held_back: the number of alerts of this rule and group that were held back, because the last alert was too
            recent.
        late: whether the event was older than `rules.late` when it was received. Reactions ignore such an alert.
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
        """The uuid of the alert. It is the same for the same org, rule, group and first event."""
        named = [self.org, self.rule.id, sorted(self.group.items()), self.first]
        return str(uuid5(_NAMESPACE, msgspec.json.encode(named).decode()))


def to_event(alert: Alert, trigger: Mapping[str, Any], at: Micros, *, mode: str = "alert") -> Event:
    """Return `alert` as an event to store.

    `trigger` is the decoded Okta event that completed the alert; `at` is the current time.
    """
    body = msgspec.json.encode(
        {
            "uuid": alert.uuid,
            "eventType": EVENT_TYPE,
            "published": iso(alert.window.end, "milliseconds"),
            "displayMessage": alert.rule.title,
            "severity": _OKTA.get(alert.rule.level, "ERROR"),
            **_taken_over(trigger),
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
    """Return the 4-character code of the alert with this uuid. A prompt shows the same code on the user's phone."""
    drawn = int.from_bytes(sha256(b"code:" + uuid.encode()).digest())
    return "".join(_CODE_LETTERS[drawn >> 5 * place & 31] for place in range(4))


def rule_of(alert: Event) -> str:
    """Return the ID of the rule that raised `alert`, an event that `to_event` made."""
    found: str = msgspec.json.decode(alert.body)["forwarder"]["alert"]["rule"]["id"]
    return found


def _taken_over(trigger: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    parts = {key: msgspec.json.encode(trigger[key]) for key in _TAKEN_OVER if trigger.get(key)}
    while sum(map(len, parts.values())) > _MOST_BYTES:
        del parts[max(parts, key=lambda key: len(parts[key]))]
    return {key: msgspec.Raw(part) for key, part in parts.items()}
