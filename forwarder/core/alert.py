"""An alert: what a rule found, as an event of the store. docs/mapping.md shows its JSON.

It has the keys of the Okta event that completed it (`actor`, `client`, `target`, …), so that whatever reads events reads
alerts too; `eventType` is `forwarder.alert`, and what the rule found is below `forwarder.alert`.
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
"""Uuids of events that an alert lists, the last ones; `count` and `matched` count all."""

SEVERITIES = {"informational": 21, "low": 21, "medium": 47, "high": 73, "critical": 99}
"""Sigma's level to Elastic's number of severity."""

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
"""Keys of the event that an alert repeats: who, from where, to what. Debug data stays with the event."""

_CODE_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: none that is read as another one

_MOST_BYTES = 64 * 1024
"""Of those keys together; a sender chooses their length. Larger ones are left out, the largest first."""


class RuleInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """The rule of an alert.

    Attributes:
        kind: `event`, or the type of the correlation.
        references: URLs.
        ruleset: the name of the file that holds it.
        aliases: the fields that each alias in its group stands for.
    """

    id: str
    title: str
    level: str
    kind: str = "event"
    tags: Sequence[str] = ()
    references: Sequence[str] = ()
    ruleset: str = ""
    aliases: Mapping[str, Sequence[str]] = {}


class Window(msgspec.Struct, frozen=True):
    """From the first event to the last one, by Okta's clock; `seconds` is the rule's timespan, 0 if it has none."""

    start: Micros
    end: Micros
    seconds: int


class Alert(msgspec.Struct, frozen=True):
    """What a rule found.

    Attributes:
        group: the fields by which the rule tells users (or whatever it groups by) apart, and their values.
        first: the uuid of the first event in the window.
        events: uuids of the last events in the window, oldest first, at most `MOST_EVENTS`.
        count: what the rule's condition compares: events, values or rules in the window.
        matched: events that matched since the last alert of this rule and group, the window's included.
        held_back: alerts of this rule and group held back since their last alert, because that was too recent.
        late: the event was older than `rules.late` when it was received; no reaction acts on it.
    """

    org: str
    rule: RuleInfo
    group: Mapping[str, str]
    window: Window
    first: str
    events: Sequence[str]
    count: int
    matched: int
    held_back: int = 0
    late: bool = False

    @property
    def uuid(self) -> str:
        """The same for the same org, rule, group and first event."""
        named = [self.org, self.rule.id, sorted(self.group.items()), self.first]
        return str(uuid5(_NAMESPACE, msgspec.json.encode(named).decode()))


def to_event(alert: Alert, trigger: Mapping[str, Any], at: Micros, *, mode: str = "alert") -> Event:
    """Make the event of the store. `trigger` is the decoded Okta event that completed the alert, `at` the time now."""
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
    """Return the code of an alert, by its uuid. A prompt shows the same one on the user's phone."""
    drawn = int.from_bytes(sha256(b"code:" + uuid.encode()).digest())
    return "".join(_CODE_LETTERS[drawn >> 5 * place & 31] for place in range(4))


def rule_of(alert: Event) -> str:
    """Return the id of the rule of an alert that `to_event` made."""
    found: str = msgspec.json.decode(alert.body)["forwarder"]["alert"]["rule"]["id"]
    return found


def _taken_over(trigger: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    parts = {key: msgspec.json.encode(trigger[key]) for key in _TAKEN_OVER if trigger.get(key)}
    while sum(map(len, parts.values())) > _MOST_BYTES:
        del parts[max(parts, key=lambda key: len(parts[key]))]
    return {key: msgspec.Raw(part) for key, part in parts.items()}
