"""Makes the ECS document of an event about a reaction's action. These documents have a data stream of their own.

The document has no `okta.*` fields: Elastic's rules for Okta read `logs-okta*`, and must not treat it as an event of
Okta. `user.*` is the user that the action is about.
"""

from collections.abc import Mapping
from typing import Any

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event
from forwarder.ecs.alert_document import ALERT_MODULE
from forwarder.ecs.document import ECS_VERSION, DocumentOptions, decoded, iso, timestamp
from forwarder.ecs.fields import object_at
from forwarder.ecs.value_readers import clean, email, ip, outcome

ACTION_DATASET = "okta_forwarder.action"

_IAM = (("iam",), ("user", "change"))
_CLASSES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "suspend": _IAM,
    "expire_password": _IAM,
    "add_to_group": (("iam",), ("group", "change")),
    "user_risk": (("threat",), ("indicator",)),
    "risk_event": (("threat",), ("indicator",)),
    "revoke_sessions": (("session",), ("end",)),
    "universal_logout": (("session",), ("end",)),
    "block_ip": (("configuration",), ("change",)),
    "prompt": (("authentication",), ("info",)),
}
"""`event.category` and `event.type` of some actions. All other actions have `configuration` and `info`."""

_OWN = (
    *("id", "key", "code", "kind", "mode", "state", "change", "late", "answer", "waits_for", "approval", "detail"),
    *("attempts", "due", "planned_at", "called_at", "seen_at", "undo_due", "undone_at", "undone_by", "undone_why", "end"),
    *("request_id", "error_id", "parent", "target"),
)  # fmt: skip
"""Fields of the action. They are copied to `okta_forwarder.action` under the same names."""

_FREE = ("settings", "before", "after")
"""Objects of the action that are copied too. Their keys are chosen by Okta or by the configuration."""


def action_document(event: Event, options: DocumentOptions) -> dict[str, Any]:
    """Return the document of `event`, an event about an action. The document has no nulls and no empty objects.

    Raises:
        UnmappableError: the body is not a JSON object, or it is nested too deeply.
    """
    raw = decoded(event)
    try:
        return action_fields(raw, event, options)
    except RecursionError as error:
        raise UnmappableError("the event of the action is nested too deeply") from error


def action_fields(raw: dict[str, Any], event: Event, options: DocumentOptions) -> dict[str, Any]:
    """Return the document of `event`, an event about an action. `raw` is the decoded body of the event.

    Raises:
        RecursionError: the body is nested too deeply.
    """
    action, result = object_at(raw, "forwarder", "action"), object_at(raw, "outcome")
    name = str(action.get("action", ""))
    categories, types = _CLASSES.get(name, (("configuration",), ("info",)))
    target = object_at(action, "target")
    user = target.get("name") or None if target.get("kind") == "user" else None
    address = ip(target.get("id")) if target.get("kind") == "ip" else None
    made = {
        "@timestamp": timestamp(raw.get("published"), event.published),
        "ecs": {"version": ECS_VERSION},
        "data_stream": {"type": "logs", "dataset": ACTION_DATASET, "namespace": options.namespace},
        "event": {
            "kind": "event",
            "module": ALERT_MODULE,
            "dataset": ACTION_DATASET,
            "id": event.uuid,
            "action": name,
            "outcome": outcome(result.get("result")),
            "reason": result.get("reason"),
            "category": list(categories),
            "type": list(types),
            "created": iso(event.received_at),
        },
        "message": raw.get("displayMessage"),
        "tags": ["forwarded", "okta-forwarder-action", *options.tags],
        "rule": {"id": action.get("rule"), "name": action.get("title")},
        "user": {"name": user, "email": email(user)},
        "source": {"ip": address},
        "related": {"user": [user] if user else None, "ip": [address] if address else None},
        ALERT_MODULE: {
            "org": event.org,
            "alert": {"id": action.get("alert")},
            "events": action.get("events"),
            "action": _own(action),
        },
    }
    cleaned = clean(made)
    assert isinstance(cleaned, dict)
    return cleaned


def _own(action: dict[str, Any]) -> dict[str, Any]:
    own = {key: action.get(key) for key in _OWN}
    request = object_at(action, "request")
    own["request"] = request | {"body": _object(request.get("body"))}
    return own | {key: _object(action.get(key)) for key in _FREE}


def _object(value: Any) -> dict[str, Any] | None:
    """Return `value` if it is an object or None, else `{"value": value}`, because a `flattened` field needs an
    object."""
    return value if value is None or isinstance(value, dict) else {"value": value}
