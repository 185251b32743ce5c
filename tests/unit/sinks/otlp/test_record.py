"""An event as an OTLP record: it can always be encoded whole, or says why not."""

import json
from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs

from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event, Source
from forwarder.core.time import to_micros
from forwarder.sinks.otlp.record import UID, record
from tests.fakes.otlp import attributes

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner), max_leaves=20
)
PLACES = [
    "actor",
    "client",
    "target",
    "debugContext",
    "outcome",
    "securityContext",
    "severity",
    "displayMessage",
]


def event(body: bytes, uuid: str = "u-1", published: int = 1_767_268_800_000_000) -> Event:
    return Event("acme", uuid, "user.session.start", published, published + 1, Source.HOOK, "", body)


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
    made = record(event(msgspec.json.encode({"severity": severity}))).log_record
    assert made.severity_number is not None
    assert made.severity_number.value == number
    assert text is None or made.severity_text == text


@pytest.mark.parametrize("message", [None, "", 7])
def test_the_event_type_replaces_a_missing_message(message: object) -> None:
    made = record(event(msgspec.json.encode({"displayMessage": message}))).log_record
    assert made.body in ("user.session.start", "7")


def test_the_uid_comes_from_the_event_not_from_its_body() -> None:
    made = record(event(b'{"uuid": "another"}', uuid="u-7")).log_record
    assert made.attributes is not None
    assert made.attributes[UID] == "u-7"


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


@given(values=st.dictionaries(st.sampled_from(PLACES), JSON), published=st.datetimes())
def test_every_value_of_okta_can_be_encoded(values: dict[str, object], published: datetime) -> None:
    made = record(event(json.dumps(values).encode(), published=to_micros(published)))
    encoded = encode_logs([made]).resource_logs[0].scope_logs[0].log_records[0]
    assert made.log_record.attributes is not None
    assert set(attributes(encoded)) == set(made.log_record.attributes)
    assert attributes(encoded)[UID] == "u-1"
