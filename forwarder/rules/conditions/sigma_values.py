"""The values that Sigma compares a field with.

A value is read as pySigma reads it. `*` and `?` are wildcards. If a backslash comes before a wildcard or another
backslash, the second of the two characters is literal. Before any other character, the backslash is an ordinary
character.
"""

import re
from collections.abc import Iterable
from enum import Enum
from itertools import groupby
from math import inf
from typing import Any

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.condition import Unknown
from forwarder.rules.documents import Plain

_MAX_TEXT = 100_000
_PIECE = re.compile(r"\\[*?\\]|[*?]|[^\\*?]+|\\")
"""Matches an escaped character, a wildcard, or ordinary characters."""


class Wild(Enum):
    """A wildcard in a text. MANY stands for any characters, ONE for a single character."""

    MANY = "*"
    ONE = "?"


class Placeholder(msgspec.Struct, frozen=True):
    """`%name%` in a value with the modifier `expand`. The values of the list `name` replace the placeholder."""

    name: str


class Text(msgspec.Struct, frozen=True):
    """A text that may have wildcards. In `parts`, adjacent strings are already joined."""

    parts: "tuple[str | Wild | Placeholder, ...]"
    cased: bool = False

    @property
    def literal(self) -> str | None:
        """The only string that the text matches; None if the text has a wildcard or a placeholder."""
        if not self.parts:
            return ""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], str) else None


def as_written(parts: "Iterable[str | Wild | Placeholder]") -> str:
    """Return the parts of a text as a rule writes them."""
    return "".join(part.value if isinstance(part, Wild) else str(part) for part in parts)


class Expression(msgspec.Struct, frozen=True):
    """A regular expression in RE2's syntax. With `at_start`, the match must begin at the start of the value; with
    `at_end`, it must end at the end of the value."""

    source: str
    flags: str = ""
    at_start: bool = False
    at_end: bool = False


class NetworkRange(msgspec.Struct, frozen=True):
    """A range of IP addresses."""

    cidr: str


class Bound(msgspec.Struct, frozen=True):
    """A comparison with a number. `operator` is lt, lte, gt or gte."""

    operator: str
    number: float


class Number(msgspec.Struct, frozen=True):
    number: float


class Truth(msgspec.Struct, frozen=True):
    value: bool


class Null(msgspec.Struct, frozen=True):
    """The test that a field is missing or null."""


class Exists(msgspec.Struct, frozen=True):
    """The test that a field exists (`value` is true) or does not exist (`value` is false)."""

    value: bool


class FieldReference(msgspec.Struct, frozen=True):
    """The value of another field, which the tested value must equal.

    With `starts`, the tested value must instead start with the other field's value; with `ends`, end with that value;
    with both, contain that value.
    """

    field: str
    starts: bool = False
    ends: bool = False


Value = Text | Expression | NetworkRange | Bound | Number | Truth | Null | Exists | FieldReference

KEYWORDS = (Text, Expression, Number, Truth)
"""The kinds of values that a rule can search for in all fields, without naming a field."""


class FieldTest(Unknown, frozen=True, kw_only=True):
    """The condition that `field` matches `value`. If `field` is None, the condition is that any value of the event
    contains `value`."""

    field: str | None
    value: Value


def text_value(written: str) -> Text:
    """Read `written` as a text in which `*` and `?` are wildcards.

    Raises:
        RuleFileError: `written` is too long.
    """
    if len(written) > _MAX_TEXT:
        raise RuleFileError(f"a value has more than {_MAX_TEXT:,} characters; shorten it")
    parts: list[str | Wild] = []
    for is_wildcard, pieces in groupby(_PIECE.findall(written), key=lambda piece: piece in ("*", "?")):
        if is_wildcard:
            parts += map(Wild, pieces)
        else:
            parts.append("".join(piece[-1] if piece[0] == "\\" else piece for piece in pieces))
    return Text(tuple(parts))


def plain_value(written: Any) -> Value:
    """Return `written` as a Value. The type of `written` in YAML decides which kind of Value it becomes.

    Raises:
        RuleFileError: `written` is a list, a mapping or an impossible number.
    """
    if written is None:
        return Null()
    if isinstance(written, bool):
        return Truth(written)
    if isinstance(written, Plain):
        return _typed(written)
    if isinstance(written, str):
        return text_value(written)
    if isinstance(written, int | float):
        return Number(written)
    raise RuleFileError("a value must be a string, a number, a boolean or null; write one of these")


def _typed(written: Plain) -> Value:
    if written.tag == "bool":
        if written.lower() not in ("true", "false"):  # such as NO, the code of Norway
            raise RuleFileError(
                f"YAML reads {str(written)!r} as a boolean; for a string, put the value in quotes; for a "
                "boolean, write true or false"
            )
        return Truth(written.lower() == "true")
    digits = written.replace("_", "").lower()
    try:
        number = float(digits) if written.tag == "float" else _integer(digits)
        is_finite = abs(float(number)) != inf
    except (ValueError, OverflowError):
        is_finite = False
    if not is_finite:
        raise RuleFileError(
            f"{written[:50]!r} is not a valid number; to compare the value as a string, put it in quotes"
        )
    return Number(number)


def _integer(digits: str) -> int:
    if digits.lstrip("+-").startswith("0") and digits.lstrip("+-0").isdecimal() and "x" not in digits:
        return int(digits, 8) if not set(digits) & {"8", "9"} else int(digits)
    return int(digits, 0)
