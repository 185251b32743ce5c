"""An event as an OTLP record: it can always be encoded whole, or says why not."""

import json
from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event, Source
from forwarder.core.time import to_micros
from forwarder.ecs.attributes import log_view
from forwarder.sinks.otlp.record import UID, record, request
from tests.fakes.otlp import attributes

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner), max_leaves=20)
PLACES = ["actor", "client", "target", "debugContext", "outcome", "securityContext", "severity", "displayMessage"]


def event(body: bytes, uuid: str = "u-1", published: int = 1_767_268_800_000_000) -> Event:
    return Event("acme", uuid, "user.session.start", published, published + 1, Source.HOOK, "", body)


def made(from_event: Event) -> LogRecord:
    return LogRecord.FromString(record(from_event).data)


@pytest.mark.parametrize(
    ("severity", "number", "text"),
    [
        ("DEBUG", 5, "DEBUG"),
        ("INFO", 9, "INFO"),
        ("WARN", 13, "WARN"),
        ("ERROR", 17, "ERROR"),
        ("FATAL", 0, "FATAL"),
        (7, 0, None),
        (None, 0, ""),
    ],
)
def test_the_severity_comes_from_okta(severity: object, number: int, text: str | None) -> None:
    record = made(event(msgspec.json.encode({"severity": severity})))
    assert record.severity_number == number
    assert text is None or record.severity_text == text


@pytest.mark.parametrize("message", [None, "", 7])
def test_the_event_type_replaces_a_missing_message(message: object) -> None:
    record = made(event(msgspec.json.encode({"displayMessage": message})))
    assert record.body.string_value in ("user.session.start", "7")


def test_the_uid_comes_from_the_event_not_from_its_body() -> None:
    assert attributes(made(event(b'{"uuid": "another"}', uuid="u-7")))[UID] == "u-7"


# How deep is too deep depends on the version of Python; the last one is for all.
@pytest.mark.parametrize(
    "body",
    [b"[]", b'"text"', b"null", b"{", b'{"a":' * 100_000 + b"1" + b"}" * 100_000],
    ids=["list", "text", "null", "torn", "deep"],
)
def test_a_body_that_is_not_a_flat_object_is_unmappable(body: bytes) -> None:
    with pytest.raises(UnmappableError):
        record(event(body))


def test_a_uuid_that_is_not_text_is_unmappable() -> None:
    with pytest.raises(UnmappableError, match="surrogate"):
        record(event(b"{}", uuid="u-\ud800"))


@pytest.mark.long
@given(values=st.dictionaries(st.sampled_from(PLACES), JSON), published=st.datetimes())
def test_every_value_of_okta_can_be_encoded(values: dict[str, object], published: datetime) -> None:
    original = event(json.dumps(values).encode(), published=to_micros(published))
    carried = attributes(made(original))
    wanted = log_view(original).attributes
    assert carried.keys() == wanted.keys() | {UID}
    assert carried[UID] == "u-1"
    for name, value in wanted.items():
        assert name == UID or carried[name] == value


@pytest.mark.parametrize("size", [1, 100, 127, 128, 129, 16_383, 16_384, 70_000])
def test_a_text_of_any_size_arrives_whole(size: int) -> None:
    values = {"debugContext": {"debugData": {"long": "é" + "x" * size}}, "target": [{"id": "y" * size}]}
    carried = attributes(made(event(json.dumps(values).encode())))
    assert carried["okta.debug_context.debug_data.long"] == "é" + "x" * size
    assert carried["okta.target.id"] == ["y" * size]


@pytest.mark.parametrize("number", [0, 1, -1, 127, 128, 2**63 - 1, -(2**63), 0.0, -1.5, 1e300, True, False])
def test_a_number_arrives_as_it_was(number: float) -> None:
    values = {"debugContext": {"debugData": {"one": number, "list": [number, number]}}}
    carried = attributes(made(event(json.dumps(values).encode())))
    assert carried["okta.debug_context.debug_data.one"] == number
    assert carried["okta.debug_context.debug_data.list"] == [number, number]


def test_a_request_has_one_resource_for_each_org_and_keeps_the_order() -> None:
    made = [
        record(msgspec.structs.replace(event(b"{}", uuid=f"u-{number}"), org=org))
        for number, org in enumerate(["acme", "other", "acme", "acme"])
    ]
    message = ExportLogsServiceRequest.FromString(request(made * 100))
    found = {
        resource.resource.attributes[1].value.string_value: [
            attributes(each)[UID] for each in resource.scope_logs[0].log_records
        ]
        for resource in message.resource_logs
    }
    assert found == {"acme": ["u-0", "u-2", "u-3"] * 100, "other": ["u-1"] * 100}
