"""Converts an action to text, to JSON (for lists and exports), and to an event. docs/mapping.md shows the event's JSON.

The forwarder stores each visible change of an action as an event in the format of Okta's events. The actor of the event
is the forwarder. The target is the user whom the action concerns, if there is one. The `eventType` is
`forwarder.action`, and the field `forwarder.action` has the action itself.
"""

from typing import Any
from uuid import UUID, uuid5

import msgspec

from forwarder.core import redaction
from forwarder.core.action import Action, ActionState, Approval, End, Outcome, Reason, Waits
from forwarder.core.alert import code_of
from forwarder.core.event import Event, Source
from forwarder.core.printable import printable_line
from forwarder.core.time import Micros, iso

EVENT_TYPE = "forwarder.action"
ACTOR = "okta-forwarder"

_NAMESPACE = UUID("3f0a8f0e-6f1e-5d5b-8f57-6f6b74612d67")
_MAX_BYTES = 32 * 1024
"""The maximum size in bytes of a request's body or of a target's state in an event. A network zone, for example, may
have thousands of entries. The action's row in the store always has the whole body and state."""

_NOT_SHOWN = {"name", "subject", "handle", "made_by", "trigger"}
"""Fields of an action that its JSON does not have under their own names. `name` is shown as `action`. `subject` (the
body of the alert) is in the alert's own event. `handle` is secret. `made_by` and `trigger` describe the event that
caused the alert, for example its API token."""

_TIMES = {"published", "due", "planned_at", "called_at", "seen_at", "undo_due", "undone_at"}
_RESULTS: dict[str, str] = {
    Outcome.DONE: "SUCCESS",
    Outcome.ACCEPTED: "SUCCESS",
    Outcome.NO_OP: "SUCCESS",
    Outcome.REFUSED: "FAILURE",
    Outcome.FAILED: "FAILURE",
    End.UNDONE: "SUCCESS",
    End.NOT_OURS: "FAILURE",
}
"""The event's `outcome.result` (one of Okta's values) for each change of an action. For a change that is not listed,
the result is UNKNOWN."""

_WARNING_CHANGES = {Outcome.FAILED, Outcome.UNKNOWN, End.NOT_OURS}
_TEXT_BY_CHANGE: dict[str, str] = {
    Waits.APPROVAL: "waits for approval",
    Waits.RETRY: "waits for another try",
    ActionState.CALLING: "being carried out",
    ActionState.PROMPTING: "the user is asked",
    Outcome.ACCEPTED: "accepted, but its effect is not known",
    Outcome.NO_OP: "nothing to do, it was already done",
    Outcome.UNKNOWN: "it is not known whether it was done",
}
"""The text for each change of an action. For a change that is not listed, the text is the name of the change.
`state_text` adds the reason in parentheses."""

_TEXT_BY_CHANGE_AND_REASON: dict[tuple[str, str], str] = {
    (Waits.CONFIRMATION, Reason.UNCONFIRMED): "waits until the System Log shows the event",
    (Outcome.SHADOW, Reason.SHADOW): "would be done (shadow)",
    (Outcome.SHADOW, Reason.APPROVAL): "would wait for approval (shadow)",
    (Outcome.SHADOW, Reason.LIMIT): "would wait for approval, because it is over a limit (shadow)",
    (Outcome.NO_OP, Reason.STATE): "nothing to do, it was already done",
    (Outcome.NO_OP, Reason.LIVE): "nothing to do, an earlier action does it (live)",
    (End.UNDONE, "time"): "undone, because its time was up",
    (End.UNDONE, "hand"): "undone by hand",
    (End.UNDONE, "protected"): "undone, because the target is protected now",
}
"""The complete text for some pairs of a change and a reason."""

_TEXT_BY_ANSWER = {
    "approved": "the user approved",
    "denied": "the user denied it",
    "timeout": "the user did not answer in time",
    "unreachable": "the user could not be asked",
    "unknown": "it is not known whether the user was asked",
}


def change_of(action: Action) -> str:
    """Return the last change of `action`: the first of `end`, `outcome`, `waits_for` and `state` that is not None."""
    return str(action.end or action.outcome or action.waits_for or action.state)


def state_text(action: Action) -> str:
    """Return a text that describes the state of `action`, such as `refused (protected)`."""
    if action.answer:
        return _TEXT_BY_ANSWER.get(action.answer, action.answer)
    if action.end is End.NOT_OURS:
        return "not undone, because someone else has changed the same thing in Okta since the action"
    if action.state is ActionState.UNDOING:
        return "being undone"
    change, why = change_of(action), reason_of(action)
    if whole := _TEXT_BY_CHANGE_AND_REASON.get((change, why)):
        return whole
    words = _TEXT_BY_CHANGE.get(change, change)
    return f"{words} ({why})" if why and why not in words else words


def reason_of(action: Action) -> str:
    """Return what undid `action`, if the effect of `action` has ended; otherwise the reason why `action` was refused or
    waits. Return the empty string if nothing undid `action`, or if there is no such reason."""
    return action.undone_by.partition(":")[0] if action.end else str(action.reason or "")


def about(action: Action) -> str:
    """Return the name and the target of `action` in one line of text, such as `suspend of jane@corp.example`."""
    target = action.target
    name = printable_line(target.name or target.id)
    return action.name if target.kind == "alert" else f"{action.name} of {name}"


def as_json(action: Action) -> dict[str, Any]:
    """Return the fields of `action` as a JSON object, without empty fields and without fields that must not be shown.
    Times are texts in ISO 8601, and secrets are redacted."""
    fields: dict[str, Any] = {"id": action.id, "action": action.name, "code": code_of(action.alert)}
    for name in action.__struct_fields__:
        value = getattr(action, name)
        if name in _NOT_SHOWN or value in (None, "", (), [], {}):
            continue
        fields[name] = iso(value, "milliseconds") if name in _TIMES else value
    if action.approval:
        fields["approval"] = _approval(action.approval)
    shown: dict[str, Any] = redaction.redact_all(msgspec.to_builtins(fields))
    return shown


def _approval(approval: Approval) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(approval) | {"until": iso(approval.until, "milliseconds")}
    return found | ({"at": iso(approval.at, "milliseconds")} if approval.at is not None else {})


def to_event(action: Action, at: Micros) -> Event:
    """Return the event that describes the last change of `action`. `at` is the time of the change.

    The uuid of the event is computed from the action and its change. So if the forwarder stores the event again after a
    crash, both copies have one uuid, and the second copy counts as a duplicate.
    """
    change = change_of(action)
    until = action.approval.until if action.approval and change == Waits.APPROVAL else action.undo_due
    named = [action.key, change, action.answer, until]
    uuid = str(uuid5(_NAMESPACE, msgspec.json.encode(named).decode()))
    shown = as_json(action)
    target = [{"id": action.target.id, "type": "User", "alternateId": action.target.name}]
    is_warning = change in _WARNING_CHANGES or bool(action.waits_for)
    body = {
        "uuid": uuid,
        "eventType": EVENT_TYPE,
        "published": iso(at, "milliseconds"),
        "displayMessage": redaction.redact(f"{action.title}: {about(action)}: {state_text(action)}"),
        "severity": "WARN" if is_warning else "INFO",
        "actor": {"id": ACTOR, "type": "Forwarder", "alternateId": ACTOR, "displayName": ACTOR},
        "target": target if action.target.kind == "user" else [],
        "outcome": {"result": _RESULTS.get(change, "UNKNOWN"), "reason": reason_of(action) or None},
        "forwarder": {"action": _without_large_values(shown) | {"change": change}},
    }
    return Event(action.org, uuid, EVENT_TYPE, at, at, Source.ACTION, "", msgspec.json.encode(body))


def _without_large_values(shown: dict[str, Any]) -> dict[str, Any]:
    """Return `shown`, the JSON object of an action, without large values: the body of the request, the state `before`
    and the state `after` are each replaced by a note about the size if they are larger than _MAX_BYTES."""
    request = shown.get("request")
    if request and "body" in request:
        shown["request"] = request | {"body": _value_or_note(request["body"])}
    return shown | {key: _value_or_note(shown[key]) for key in ("before", "after") if key in shown}


def _value_or_note(value: Any) -> Any:
    size = len(msgspec.json.encode(value))
    return value if size <= _MAX_BYTES else {"left_out": f"{size} bytes; see: forwarder reactions show"}
