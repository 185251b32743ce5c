"""An alert as a document and as a log record."""

from typing import Any

import msgspec
import pytest

from forwarder.core.alert import RuleInfo, to_event
from forwarder.core.event import Source, read_event
from forwarder.ecs.alert_document import alert_document
from forwarder.ecs.attributes import log_view
from forwarder.ecs.document import DocumentOptions
from forwarder.sinks.redacted_fields import FieldRedactor
from tests.fakes.alert import SPRAY, alert, alert_event, trigger
from tests.fakes.clock import NOON


def document(**more: Any) -> dict[str, Any]:
    return alert_document(alert_event(**more), DocumentOptions())


def test_elastics_external_alerts_finds_kind_name_and_severity() -> None:
    made = document()
    assert (made["event"]["kind"], made["message"], made["event"]["severity"]) == ("alert", "Password spray", 73)
    assert made["data_stream"] == {"type": "logs", "dataset": "okta_forwarder.alert", "namespace": "default"}
    assert made["rule"] == {
        "id": SPRAY.id,
        "name": "Password spray",
        "reference": "https://rules.example/spray",
        "ruleset": "spray.yml",
    }


def test_nothing_in_it_makes_elastics_rules_for_okta_take_it_for_an_event_of_okta() -> None:
    made = document()
    assert "okta" not in made
    assert (made["event"]["module"], made["event"]["dataset"]) == ("okta_forwarder", "okta_forwarder.alert")
    assert made["event"]["action"] == "rule-match"


def test_it_says_who_and_from_where() -> None:
    made = document()
    assert made["user"] == {"name": "jane@corp.example", "email": "jane@corp.example", "full_name": "Jane"}
    assert made["source"]["ip"] == "203.0.113.9"
    assert made["related"] == {"user": ["Jane", "jane@corp.example"], "ip": ["203.0.113.9"]}


def test_it_says_what_was_counted_in_which_window() -> None:
    own = document()["okta_forwarder"]
    assert own["window"] == {"start": "2026-01-01T11:55:00.000Z", "end": "2026-01-01T12:00:00.000Z", "seconds": 600}
    assert (own["count"], own["matched"], own["held_back"], own["mode"]) == (12, 40, 3, "alert")
    assert own["events"] == ["uuid-1", "uuid-2"]
    assert own["group"] == {"client.ipAddress": "203.0.113.9"}


def test_attacks_tags_become_threat_fields() -> None:
    threat = document()["threat"]
    assert threat["framework"] == "MITRE ATT&CK"
    assert threat["tactic"]["id"] == ["TA0006"]
    assert threat["technique"]["id"] == ["T1110"]
    assert threat["technique"]["subtechnique"]["id"] == ["T1110.003"]
    assert threat["technique"]["subtechnique"]["reference"] == ["https://attack.mitre.org/techniques/T1110/003/"]


@pytest.mark.parametrize(
    ("level", "number"), [("informational", 21), ("low", 21), ("medium", 47), ("high", 73), ("critical", 99)]
)
def test_every_level_has_elastics_number(level: str, number: int) -> None:
    rule = RuleInfo("id", "title", level)
    made = alert_document(to_event(alert(rule=rule), trigger(), NOON), DocumentOptions())
    assert made["event"]["severity"] == number


def test_the_same_rule_group_and_first_event_have_one_uuid() -> None:
    assert alert(count=13, late=True).uuid == alert().uuid
    others = [alert(org="b"), alert(first="x"), alert(group={"actor.id": "1"})]
    assert len({one.uuid for one in [alert(), *others]}) == 4


def test_its_json_is_an_event_that_the_forwarder_reads() -> None:
    made = alert_event()
    again = read_event(made.body, org="acme", source=Source.ALERT, received_at=made.received_at)
    assert again == made


def test_an_event_of_a_megabyte_makes_no_alert_of_a_megabyte() -> None:
    made = to_event(alert(), trigger(target=[{"id": "x" * 1_000_000}]), NOON)
    assert len(made.body) < 10_000
    assert msgspec.json.decode(made.body)["actor"]["id"] == "00u1"


def test_the_log_record_carries_the_same() -> None:
    view = log_view(alert_event())
    assert (view.body, view.severity_text, view.severity_number) == ("Password spray", "high", 17)
    attributes = view.attributes
    assert attributes["user.id"] == "00u1"
    assert attributes["event.kind"] == "alert"
    assert attributes["event.severity"] == 73
    assert attributes["rule.name"] == "Password spray"
    assert attributes["okta_forwarder.count"] == 12
    assert attributes["okta_forwarder.events"] == ["uuid-1", "uuid-2"]
    assert attributes["threat.technique.id"] == ["T1110"]


def test_a_redacted_field_is_redacted_in_the_group_as_well() -> None:
    event = to_event(alert(group={"actor.alternateId": "jane@corp.example"}), trigger(), NOON)
    body = FieldRedactor(["actor.alternateId"]).redact(event).body
    assert b"jane@corp.example" not in body


@pytest.mark.parametrize("junk", [5, True, "x", {"a": 1}, None])
def test_references_and_tags_of_an_odd_type_raise_no_error(junk: object) -> None:
    whole = alert_event()
    raw = msgspec.json.decode(whole.body)
    raw["forwarder"]["alert"]["rule"] |= {"references": junk, "tags": junk}
    made = alert_document(msgspec.structs.replace(whole, body=msgspec.json.encode(raw)), DocumentOptions())
    assert "threat" not in made
    assert "reference" not in made["rule"]
