"""Decodes JSON to Python values, including JSON from Okta that a strict decoder refuses."""

import json
import math
import re
from typing import Any

import msgspec

MAX_VALUES = 100_000
"""The maximum number of commas in an event. No other thread runs while an event is decoded: 10 MB with 600,000 keys took
0.3 s, in which no POST was answered, and 100 MB of memory for each sink."""

INT64 = range(-(2**63), 2**63)
"""The integers that fit into a field of a search index and into an OTLP attribute."""

_decode = msgspec.json.Decoder().decode
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(text: bytes | str) -> Any:
    """Decode a JSON text.

    Half of a surrogate pair becomes U+FFFD. A number that is too large for a double or a 64-bit integer becomes a
    string of its digits.

    Raises:
        ValueError: the text is not JSON. `msgspec.MsgspecError` and `json.JSONDecodeError` are ValueErrors.
        RecursionError: the JSON is nested too deeply.
    """
    try:
        return _decode(text)
    except msgspec.MsgspecError:
        lenient = json.loads(text, parse_int=_integer, parse_float=_double, parse_constant=str)
        whole = _LONE_SURROGATE.sub("\ufffd", json.dumps(lenient, ensure_ascii=False))
        return _decode(whole)


def has_too_many_values(body: bytes) -> bool:
    """Whether the body of an event has so many values that it must not be decoded."""
    return len(body) > MAX_VALUES and body.count(b",") > MAX_VALUES


def decode_object(body: bytes) -> dict[str, Any] | None:
    """Decode the body of an event with the function `decode`. Return None if the body is not a JSON object, or has too
    many values."""
    if has_too_many_values(body):
        return None
    try:
        value = decode(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def encode(value: Any) -> str:
    """Encode `value` as compact JSON text."""
    return msgspec.json.encode(value).decode()


def _integer(digits: str) -> int | str:
    # Every 64-bit integer has at most 20 characters; Python refuses to read thousands of digits.
    return int(digits) if len(digits) <= 20 else digits


def _double(digits: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else digits
