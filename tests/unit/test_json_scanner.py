"""The scanner finds the same elements as a parser, and goes on where a parser does not."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.errors import JsonStructureError
from forwarder.json_scanner import check_end, scan_list

_texts = st.text() | st.sampled_from(['"', "\\", ',{"', "]}", "a,{", '\\"'])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner) | st.dictionaries(_texts, inner),
    max_leaves=10,
)


def scan(text: bytes, most: int = 1000) -> tuple[list[bytes], int]:
    """The elements, and the number of steps."""
    elements: list[bytes | msgspec.Raw] = []
    steps = list(scan_list(text, 0, elements, most))
    return [bytes(element) for element in elements], len(steps)


@pytest.mark.long
@given(st.lists(_values, max_size=5), st.sampled_from([None, 0, 3]))
def test_what_the_scanner_splits_is_what_json_reads(values: list[object], indent: int | None) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=False).encode(errors="replace")
    elements, _ = scan(text)
    assert [json.loads(element) for element in elements] == json.loads(text)


@pytest.mark.long
@pytest.mark.parametrize("separator", [b",", b", ", b" ,\n"])
@pytest.mark.parametrize("odd", [b'{"x":NaN}', b"[" * 2000 + b"]" * 2000, b'{"x":"},{"}', b'{"x":"}, {"}', b"7"])
def test_a_long_list_is_split_as_a_short_one(separator: bytes, odd: bytes) -> None:
    inner = b'{"target":[{"id":"},{"},{"id":"}, {"}],"actor":{"id":"%d","detail":{"a":[{},{}]}}}'
    wanted = [inner % number for number in range(10_000)]
    for place in (0, 3_000, 9_999):
        wanted[place] = odd
    elements, steps = scan(b"[" + separator.join(wanted) + b"]", 10_000)
    assert elements == wanted
    assert steps > 6


@pytest.mark.long
@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:\\ a1', max_size=200).map(str.encode))
def test_any_bytes_are_split_or_refused(noise: bytes) -> None:
    try:
        elements, _ = scan(b"[" + noise)
    except JsonStructureError:
        return
    assert all(element in noise for element in elements)


@pytest.mark.parametrize(
    "text", [b"", b" ", b"{}", b"1", b"[", b"[1", b"[1,", b"[1,]", b"[,1]", b"[,]", b'["a', b"[[]", b"[{}}"]
)
def test_what_is_not_a_whole_list_is_refused(text: bytes) -> None:
    with pytest.raises(JsonStructureError):
        scan(text)


def test_a_list_of_too_many_elements_is_refused_before_all_of_it_is_split() -> None:
    assert len(scan(b"[1,1,1]", 3)[0]) == 3
    with pytest.raises(JsonStructureError, match="too short"):
        scan(b"[1,1,1,1,", 3)


def test_after_the_end_only_blanks_may_follow() -> None:
    check_end(b"[] \r\n\t", 2)
    with pytest.raises(JsonStructureError):
        check_end(b"[] x", 2)


MEGABYTES = [
    b"[" * 500_000 + b"]" * 500_000,
    b"[" * 500_000 + b"}" * 500_000,
    b"{" * 500_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'[1,{"a":' * 100_000,
    b"[" + b"{}," * 300_000 + b"1]",
    b'"' + b"x" * 1_000_000 + b'"',
    b'"\\"' * 200_000 + b'"',
    b'"a,{"' * 100_000,
    b"a " * 500_000,
]


@pytest.mark.long
@pytest.mark.parametrize("element", MEGABYTES, ids=lambda element: element[:9].decode())
def test_a_megabyte_of_anything_is_scanned_in_time_that_grows_with_its_length(element: bytes) -> None:
    try:
        elements, steps = scan(b"[1," + element + b",2]")
    except JsonStructureError:
        return
    assert elements[0] == b"1"
    assert steps < len(element) / 4  # a step looks at each byte once
