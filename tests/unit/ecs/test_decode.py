import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.ecs.decode import MAX_VALUES, decode, decode_object
from tests.unit.ecs.okta_events import free


@pytest.mark.long
@given(free())
def test_it_reads_what_the_standard_library_wrote(value: object) -> None:
    assert decode(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\ud800"', "\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'["\ude00\ud83d", {"\udbff": 1}]', ["\ufffd\ufffd", {"\ufffd": 1}]),
        (b"1e999", "1e999"),
        (b"[-1e999, 1.0, 7]", ["-1e999", 1.0, 7]),
        (b"9" * 5000, "9" * 5000),
        (b"NaN", "NaN"),
        (b"[-Infinity]", ["-Infinity"]),
    ],
)
def test_what_a_strict_reader_refuses_is_kept_as_text(text: bytes, value: object) -> None:
    assert decode(text) == value


@pytest.mark.parametrize("text", [b"", b"{", b"{}x", b"'a'", b'"\xff"', b"{1:2}", b"\xff\xfe"])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(text)


@pytest.mark.long
@given(st.text())
def test_any_text_is_read_or_a_value_error(text: str) -> None:
    try:
        decode(text.encode())
    except ValueError:
        with pytest.raises(ValueError, match=r".+"):
            json.loads(text)


def test_an_object_with_too_many_values_is_not_decoded_at_all() -> None:
    values = ",".join(["1"] * MAX_VALUES)
    assert decode_object(f'{{"a": [{values}]}}'.encode()) is not None
    assert decode_object(f'{{"a": [{values}, 1, 1]}}'.encode()) is None
