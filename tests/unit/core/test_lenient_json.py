"""Halves of surrogate pairs."""

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.lenient_json import replace_lone_surrogates, replace_lone_surrogates_in_steps

LONE = [r"\ud800", r"\uDFFF", r"\ud83dx", r"\ud83d\ud83d", r"\\\ud800", r"\ud83d\\udc00", r"\\ud83d\udc00"]
WHOLE = [
    "",
    "plain",
    r"\ud83d\ude00",
    r"\\ud800",
    r"\\\\ud800",
    r"\u0041",
    r"\ue000",
    r"\uD83D\uDE00",
    r"\\ud83d\\udc00",
]


@pytest.mark.parametrize("text", LONE)
def test_a_lone_half_is_replaced_and_nothing_else_moves(text: str) -> None:
    repaired = replace_lone_surrogates(text.encode())
    assert repaired is not None
    assert len(repaired) == len(text)
    json.loads(b'"' + repaired + b'"').encode()  # would raise for a lone half


@pytest.mark.parametrize("text", WHOLE)
def test_text_without_a_lone_half_is_left_alone(text: str) -> None:
    assert replace_lone_surrogates(text.encode()) is None


@pytest.mark.long
@pytest.mark.parametrize("part", [rb"\ud800", rb"\udc00a", rb"\\\ud800"])
def test_halves_are_replaced_without_a_step_of_python_for_each(part: bytes) -> None:
    text = part * (10_000_000 // len(part))
    times = [_seconds(json.loads, b'"' + text + b'"'), _seconds(replace_lone_surrogates, text)]
    assert times[1] < 20 * times[0]  # with a step for each half, it was 40 times


def _seconds(function: Callable[[bytes], object], text: bytes) -> float:
    began = time.process_time()
    function(text)
    return time.process_time() - began


def test_text_that_is_not_utf8_is_left_alone() -> None:
    assert replace_lone_surrogates(b"\\ud800\xff") is None


@pytest.mark.long
@pytest.mark.parametrize("shift", range(12))
def test_no_escape_is_missed_where_one_step_ends(shift: int) -> None:
    text = b"x" * shift + rb"\\\n\ud83d\ude00\ud800\\ud800\u00e4" * 10_000
    repaired = replace_lone_surrogates(text)
    assert repaired == text.replace(rb"\ud800\\", rb"\ufffd\\")
    assert len(list(replace_lone_surrogates_in_steps(text))) > 3


def test_a_broken_escape_is_passed_over() -> None:
    assert replace_lone_surrogates(rb"\ud8zz\u\ud800" + b"\\") == rb"\ud8zz\u\ufffd" + b"\\"


@pytest.mark.long
@given(st.lists(st.sampled_from(["\\\\", '\\"', "\\ud83d", "\\ude00", "\\ud800", "x", "ud800", "\\u00e4"])))
def test_repaired_text_reads_as_python_reads_it_with_its_halves_replaced(parts: list[str]) -> None:
    text = "".join(parts)
    repaired = replace_lone_surrogates(text.encode()) or text.encode()
    expected = "".join("\ufffd" if 0xD800 <= ord(c) <= 0xDFFF else c for c in json.loads(f'"{text}"'))
    assert json.loads(b'"' + repaired + b'"') == expected
