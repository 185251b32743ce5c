import ipaddress
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.ecs import value_readers
from tests.unit.ecs.okta_events import free


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), ("", None), (None, None), (True, "true"), (7, "7"), (1.5, "1.5"), ({}, None), ([None], None)],
)
def test_text_keeps_strings_and_writes_the_rest(value: object, text: str | None) -> None:
    assert value_readers.text(value) == text


def test_text_writes_an_object_without_its_empty_parts() -> None:
    assert value_readers.text({"a": [1, None], "b": ""}) == '{"a":[1]}'


@pytest.mark.parametrize(("value", "flag"), [(True, True), ("false", False), ("FALSE", None), (1, None), (None, None)])
def test_a_flag_is_a_boolean_or_its_name(value: object, flag: object) -> None:
    assert value_readers.flag(value) is flag


@pytest.mark.parametrize(
    ("value", "number"),
    [(7, 7), ("7", 7), (True, None), (2**63, None), ("9" * 30, None), (1.5, None), ("²", None), ("", None)],
)
def test_an_integer_has_64_bits(value: object, number: int | None) -> None:
    assert value_readers.integer(value) == number


@pytest.mark.long
@given(st.ip_addresses().map(str) | st.from_regex(r"[0-9.]{1,16}", fullmatch=True) | st.text())
def test_an_ip_is_what_the_library_says(value: str) -> None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        assert value_readers.ip(value) is None
    else:
        assert value_readers.ip(value) == (None if "%" in value else value)


@pytest.mark.parametrize(
    "place",
    [
        None,
        "x",
        {},
        {"lat": 1},
        {"lat": None, "lon": 1},
        {"lat": "1", "lon": 1},
        {"lat": 91, "lon": 0},
        {"lat": True, "lon": 0},
    ],
)
def test_half_a_location_is_none(place: object) -> None:
    assert value_readers.location(place) is None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('{"WSC":{},"CROWDSTRIKE":{}}', {"WSC": {}, "CROWDSTRIKE": {}}),
        ('[{"a":1}]', [{"a": 1}]),
        ({"a": 1}, {"a": 1}),
        ("no JSON", {"raw": "no JSON"}),
        ("{", {"raw": "{"}),
        ("[1]", {"raw": "[1]"}),
        ("[]", {"raw": "[]"}),
        (7, {"raw": "7"}),
        ("", None),
        ({}, None),
        (None, None),
    ],
)
def test_an_object_written_as_a_string_is_read_or_kept_raw(value: object, found: object) -> None:
    assert value_readers.json_object(value) == found


def test_clean_drops_what_is_empty_at_any_depth() -> None:
    value: dict[str, Any] = {"a": None, "b": "", "c": [[], {}, [None]], "d": {"e": {"f": []}}, "g": [0, False, "", "x"]}
    assert value_readers.clean(value) == {"g": [0, False, "x"]}


def test_what_lies_too_deep_becomes_its_json_text() -> None:
    nest: Any = 1
    for _ in range(40):
        nest = {"a": nest}
    value: Any = value_readers.clean(nest)
    for _ in range(value_readers.MAX_DEPTH):
        value = value["a"]
    assert value == '{"a":' * 24 + "1" + "}" * 24


@pytest.mark.long
@given(free())
def test_clean_leaves_nothing_empty_and_changes_nothing_twice(value: Any) -> None:
    once = value_readers.clean(value)
    assert value_readers.clean(once) == once


@pytest.mark.long
@pytest.mark.parametrize("width", [1_000_000])
def test_cleaning_is_linear(width: int) -> None:
    began = time.process_time()
    value_readers.clean({"a": [None] * width})
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("key", "name"), [("a.b", "a.b"), ("", "_"), (".", "_"), ("a..b", "a__b"), (" ", "_"), (".a", "_a"), ("a b", "a b")]
)
def test_a_field_name_has_no_blank_part(key: str, name: str) -> None:
    assert value_readers.field_name(key) == name
