"""What a reaction did as a document and as a log record."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from forwarder.core.action import (
    Action,
    ActionRequest,
    ActionState,
    ActionTarget,
    Approval,
    End,
    Outcome,
    Reason,
    Waits,
)
from forwarder.core.action_event import to_event
from forwarder.core.event import Event, Source
from forwarder.ecs.action_document import action_document
from forwarder.ecs.attributes import log_view
from forwarder.ecs.document import DocumentOptions
from forwarder.react.approval_notifications import approval_notifications
from forwarder.setup.elasticsearch.data_streams import ACTIONS
from forwarder.sinks.redacted_fields import FieldRedactor
from tests.fakes.action import ALERT, TRIGGER, action
from tests.fakes.clock import NOON

SUSPENDED = action(
    "suspend",
    settings={"for": 3600},
    state=ActionState.LIVE,
    outcome=Outcome.DONE,
    request=ActionRequest("acme", "POST", "/api/v1/users/00u1/lifecycle/suspend", {"a": [1, {"b": None}]}),
    before={"status": "ACTIVE"},
    after={"status": "SUSPENDED"},
    approval=Approval(NOON, by="ops", at=NOON, given=True),
    called_at=NOON,
    undo_due=NOON + 3_600_000_000,
    request_id="req-1",
)
BLOCKED = action("block_ip", target=ActionTarget("ip", "203.0.113.9"), outcome=Outcome.DONE)


def document(one: Action, **options: Any) -> dict[str, Any]:
    return action_document(to_event(one, NOON), DocumentOptions(**options))


def test_it_is_an_event_of_the_forwarder_with_action_outcome_and_reason() -> None:
    made = document(SUSPENDED, namespace="prod", tags=("mine",))
    assert made["event"] == {
        "kind": "event",
        "module": "okta_forwarder",
        "dataset": "okta_forwarder.action",
        "id": to_event(SUSPENDED, NOON).uuid,
        "action": "suspend",
        "outcome": "success",
        "category": ["iam"],
        "type": ["user", "change"],
        "created": "2026-01-01T12:00:00.000Z",
    }
    assert made["data_stream"] == {"type": "logs", "dataset": "okta_forwarder.action", "namespace": "prod"}
    assert made["tags"] == ["forwarded", "okta-forwarder-action", "mine"]
    assert "okta" not in made
    refused = document(action(state=ActionState.ENDED, outcome=Outcome.REFUSED, reason=Reason.PROTECTED))
    assert (refused["event"]["outcome"], refused["event"]["reason"]) == ("failure", "protected")


def test_the_user_is_the_one_that_it_is_about() -> None:
    made = document(SUSPENDED)
    assert made["user"] == {"name": "jane@corp.example", "email": "jane@corp.example"}
    assert made["related"] == {"user": ["jane@corp.example"]}
    assert made["okta_forwarder"]["action"]["target"]["id"] == "00u1"
    blocked = document(BLOCKED)
    assert "user" not in blocked
    assert (blocked["source"], blocked["related"]) == ({"ip": "203.0.113.9"}, {"ip": ["203.0.113.9"]})


def test_it_is_linked_to_its_alert_and_its_rule() -> None:
    made = document(SUSPENDED)
    assert made["rule"] == {"id": SUSPENDED.rule, "name": "Password spray"}
    own = made["okta_forwarder"]
    assert (own["alert"], own["events"], own["org"]) == ({"id": ALERT}, [TRIGGER], "acme")


def test_it_has_request_states_approval_and_times() -> None:
    own = document(SUSPENDED)["okta_forwarder"]["action"]
    assert own["request"] == {
        "to": "acme",
        "method": "POST",
        "path": "/api/v1/users/00u1/lifecycle/suspend",
        "body": {"a": [1]},
    }
    assert (own["before"], own["after"]) == ({"status": "ACTIVE"}, {"status": "SUSPENDED"})
    assert (own["approval"]["by"], own["approval"]["given"]) == ("ops", True)
    assert (own["called_at"], own["undo_due"]) == ("2026-01-01T12:00:00.000Z", "2026-01-01T13:00:00.000Z")
    assert (own["settings"], own["request_id"]) == ({"for": 3600}, "req-1")
    text = document(replace(SUSPENDED, before="ACTIVE", after=[1]))["okta_forwarder"]["action"]
    assert (text["before"], text["after"]) == ({"value": "ACTIVE"}, {"value": [1]})


FREE = {f"okta_forwarder.action.{name}" for name in ("settings", "before", "after", "request.body")}


def names(value: dict[str, Any], path: str = "") -> set[str]:
    """The dotted names of all fields, down to those whose keys are Okta's."""
    found = set()
    for key, inner in value.items():
        name = f"{path}{key}"
        is_open = isinstance(inner, dict) and name not in FREE
        found |= names(inner, f"{name}.") if is_open else {name}
    return found


def test_every_field_of_it_has_a_type_in_elasticsearch() -> None:
    whole = replace(
        SUSPENDED,
        parent="p",
        answer="denied",
        detail="d",
        error_id="e",
        waits_for=Waits.APPROVAL,
        due=NOON,
        attempts=1,
        seen_at=NOON,
        undone_at=NOON,
        end=End.UNDONE,
        undone_by="time",
        late=True,
    )
    found = names(document(whole)) | names(document(BLOCKED))
    assert found <= set(ACTIONS.types)
    assert set(ACTIONS.types) >= FREE


def test_a_log_record_has_the_same_under_the_names_of_opentelemetry() -> None:
    view = log_view(to_event(SUSPENDED, NOON))
    assert view.body == "Password spray: suspend of jane@corp.example: done"
    assert (view.severity_text, view.severity_number) == ("INFO", 9)
    found = view.attributes
    assert (found["event.kind"], found["event.action"], found["event.outcome"]) == ("event", "suspend", "success")
    assert (found["user.name"], found["rule.id"]) == ("jane@corp.example", SUSPENDED.rule)
    assert found["okta_forwarder.alert.id"] == ALERT
    assert found["okta_forwarder.action.after"] == '{"status":"SUSPENDED"}'
    assert found["okta_forwarder.action.request.path"] == "/api/v1/users/00u1/lifecycle/suspend"
    assert log_view(to_event(BLOCKED, NOON)).attributes["source.address"] == "203.0.113.9"
    assert all(isinstance(value, str | bool | int | float | list) for value in found.values())


def test_an_event_that_is_no_action_after_all_costs_nothing_but_itself() -> None:
    empty = Event("acme", "u", "forwarder.action", NOON, NOON, Source.ACTION, "", b"{}")
    assert action_document(empty, DocumentOptions())["event"]["outcome"] == "unknown"
    assert log_view(empty).severity_number == 0


@pytest.mark.parametrize("field", ["actor.alternateId", "target.alternateId", "actor", "target"])
def test_a_login_that_a_sink_may_not_have_is_nowhere_in_it(field: str) -> None:
    one = replace(SUSPENDED, detail="jane@corp.example has the role", before={"login": "jane@corp.example"})
    redacted = FieldRedactor([field]).redact(to_event(one, NOON))
    assert b"jane@corp.example" not in redacted.body
    assert (b"00u1" in redacted.body) == ("." in field)


@pytest.mark.parametrize("field", ["actor.alternateId", "target.alternateId", "actor", "target"])
def test_a_login_that_a_sink_may_not_have_is_not_in_a_notification_about_the_action_either(field: str) -> None:
    (one,) = approval_notifications(SUSPENDED, ["soc"], lambda each: f"https://soc.example/{each.id}", NOON)
    one = replace(one, request=ActionRequest("soc", "POST", body=one.settings["about"]))
    event = to_event(one, NOON)
    assert b"jane@corp.example" in event.body
    assert b"jane@corp.example" not in FieldRedactor([field]).redact(event).body


def test_an_id_or_an_address_that_a_sink_may_not_have_is_not_in_the_request_either() -> None:
    redacted = FieldRedactor(["actor.id"]).redact(to_event(SUSPENDED, NOON))
    assert b"00u1" not in redacted.body
    assert b"jane@corp.example" in redacted.body
    one = replace(BLOCKED, request=ActionRequest("acme", "PUT", "/zones/z", {"gateways": ["203.0.113.9/32"]}))
    assert b"203.0.113.9" not in FieldRedactor(["client.ipAddress"]).redact(to_event(one, NOON)).body
    untouched = to_event(SUSPENDED, NOON)
    assert FieldRedactor(["client.ipAddress"]).redact(untouched) == untouched
    assert msgspec.json.decode(untouched.body)
