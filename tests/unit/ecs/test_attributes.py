import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event, Source
from forwarder.ecs.attributes import log_view
from tests.examples import examples
from tests.unit.ecs.okta_events import RECEIVED, Json, bare, event_of, log_events, sign_in
from tests.unit.ecs.test_document import damaged_events


def attributes(raw: Json) -> dict[str, Any]:
    return dict(log_view(event_of(raw)).attributes)


def test_facts_have_opentelemetrys_names_where_it_has_names() -> None:
    found = attributes(sign_in())
    named = {
        "log.record.uid": "dd0583fa-9d40-11f1-803d-5907b4615b10",
        "client.address": "203.0.113.10",
        "source.address": "203.0.113.10",
        "user.id": "00u1",
        "user.name": "jane.doe@example.com",
        "user.email": "jane.doe@example.com",
        "user.full_name": "Jane Doe",
        "user_agent.original": "Mozilla/5.0 (X11)",
        "geo.locality.name": "Toronto",
        "geo.location.lat": 43.6567,
        "session.id": "idx1",
        "device.id": "guo1",
    }
    assert {name: found.get(name) for name in named} == named


def test_the_rest_stands_under_okta_and_nothing_stands_twice() -> None:
    found = attributes(sign_in())
    assert found["okta.event_type"] == "user.session.start"
    assert found["okta.event.category"] == ["authentication", "session"]
    assert found["okta.outcome.result"] == "SUCCESS"
    assert found["okta.event.outcome"] == "success"
    assert found["okta.target.id"] == ["lae1", "0oa1"]
    assert found["okta.security_context.is_proxy"] is False
    assert found["okta.debug_context.debug_data.risk_level"] == "HIGH"
    assert found["okta.debug_context.debug_data.behaviors.New_Geo_Location"] == "NEGATIVE"
    assert "okta.actor.id" not in found
    assert "okta.uuid" not in found
    assert not [name for name in found if "flattened" in name]


def test_lists_of_objects_stay_in_step() -> None:
    targets = [{"id": "a", "type": "User"}, {"id": "b"}, {"type": "UserGroup", "detailEntry": {"methodTypeUsed": "x"}}]
    found = attributes(bare(target=targets))
    assert found["okta.target.id"] == ["a", "b", ""]
    assert found["okta.target.type"] == ["User", "", "UserGroup"]
    assert found["okta.target.detailEntry.methodTypeUsed"] == ["", "", "x"]


@pytest.mark.parametrize(
    ("severity", "number", "text"),
    [
        ("DEBUG", 5, "DEBUG"),
        ("INFO", 9, "INFO"),
        ("WARN", 13, "WARN"),
        ("ERROR", 17, "ERROR"),
        ("odd", 0, "odd"),
        (None, 0, ""),
    ],
)
def test_severity_has_opentelemetrys_number_and_oktas_word(severity: str | None, number: int, text: str) -> None:
    view = log_view(event_of(bare(severity=severity)))
    assert (view.severity_number, view.severity_text) == (number, text)


def test_the_body_is_oktas_sentence_or_else_the_type() -> None:
    assert log_view(event_of(sign_in())).body == "User login to Okta"
    assert log_view(event_of(bare(displayMessage=" "))).body == " "
    assert log_view(event_of(bare(displayMessage=None))).body == "user.session.start"


def _may_be_an_attribute(value: Any) -> bool:
    if isinstance(value, list):
        kinds = {type(item) for item in value}
        return (
            bool(value)
            and len(kinds) == 1
            and kinds <= {str, bool, int, float}
            and all(map(_may_be_an_attribute, value))
        )
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return type(value) in (bool, float) or (type(value) is str and value.encode().decode() == value)


@pytest.mark.long
@given(damaged_events() | log_events())
@examples(50)
def test_whatever_okta_sends_every_attribute_has_a_name_and_a_value_that_otlp_can_carry(raw: Json) -> None:
    view = log_view(event_of(raw))
    assert [name for name, value in view.attributes.items() if not name or not _may_be_an_attribute(value)] == []
    assert view.body


def test_numbers_and_characters_that_otlp_cannot_carry_become_text() -> None:
    raw = json.dumps(bare(debugContext={"debugData": {"big": 2**63, "mixed": [1, "a", [2]], "half": "\ud800"}}))
    found = log_view(event_of(raw.encode())).attributes
    debug = "okta.debug_context.debug_data."
    assert found[debug + "big"] == "9223372036854775808"
    assert found[debug + "mixed"] == ["1", "a", "[2]"]
    assert found[debug + "half"] == "\ufffd"


@pytest.mark.parametrize("place", ["debug", "chain", "device"])
def test_lists_within_lists_are_escaped_once(place: str) -> None:
    value: Any = ["a"] * 100
    for _ in range(6):
        value = [{"n": value}]
    raw = {
        "debug": bare(debugContext={"debugData": {"x": value}}),
        "chain": bare(client={"ipChain": [{"x": value}]}),
        "device": bare(device={"x": value}),
    }[place]
    ((text,),) = [found for name, found in attributes(raw).items() if name.endswith(".x" + ".n" * 6)]
    assert (text.count('"'), text.count("\\")) == (200, 0)


@pytest.mark.long
def test_many_objects_without_a_name_in_common_stay_one_text() -> None:
    chain = [{f"name{n}": n} for n in range(2000)]
    found = attributes(bare(request={"ipChain": chain}))
    assert json.loads(found["okta.request.ip_chain"]) == chain


@pytest.mark.parametrize("body", [b"[]", b'{"a":' * 100_000, b"{"])
def test_what_fits_no_document_fits_no_record(body: bytes) -> None:
    with pytest.raises(UnmappableError):
        log_view(Event("acme", "u1", "a.b", 0, RECEIVED, Source.HOOK, "", body))


def test_the_view_can_be_written() -> None:
    assert json.loads(msgspec.json.encode(log_view(event_of(sign_in()))))["body"] == "User login to Okta"
