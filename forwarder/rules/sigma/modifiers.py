"""Applies Sigma's modifiers, which change the values that a field is compared with, as in
`actor.alternateId|contains|all`."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.patterns import search
from forwarder.rules.conditions.sigma_values import (
    Bound,
    Exists,
    Expression,
    FieldReference,
    NetworkRange,
    Number,
    Placeholder,
    Text,
    Truth,
    Value,
    Wild,
    as_written,
    plain_value,
    text_value,
)
from forwarder.rules.suggestion import did_you_mean, known_names

_MAX_EXPANDED = 10_000
"""The maximum number of values that one `expand` may make from its lists."""

Lists = Mapping[str, Sequence[str]]
"""The operator's lists, by name. Their values replace `%name%` in a value with the modifier `expand`."""


def _around(value: Value, *, start: bool, end: bool) -> Value:
    """Return a copy of `value` that also matches with any text before it (if `start` is true), after it (if `end` is
    true), or both."""
    match value:
        case Text(parts, cased):
            before = (Wild.MANY,) if start and parts[:1] != (Wild.MANY,) else ()
            behind = (Wild.MANY,) if end and (before + parts)[-1:] != (Wild.MANY,) else ()
            return Text((*before, *parts, *behind), cased)
        case Expression():
            return msgspec.structs.replace(value, at_start=value.at_start or not start, at_end=value.at_end or not end)
        case FieldReference():
            return msgspec.structs.replace(value, starts=value.starts or end, ends=value.ends or start)
    raise RuleFileError("needs a string; put the value in quotes")


def _cased(value: Value) -> Value:
    if not isinstance(value, Text):
        raise RuleFileError("needs a string; put the value in quotes")
    return Text(value.parts, cased=True)


def _network(value: Value) -> Value:
    cidr = value.literal if isinstance(value, Text) else None
    if cidr is None:
        raise RuleFileError("needs a network, as in '192.0.2.0/24'")
    try:
        ipaddress.ip_network(cidr)
    except ValueError as error:
        raise RuleFileError(f"needs a network, as in '192.0.2.0/24', and {cidr!r} is not a network: {error}") from None
    return NetworkRange(cidr)


def _bound(operator: str) -> Callable[[Value], Value]:
    def change(value: Value) -> Value:
        if not isinstance(value, Number):
            raise RuleFileError("needs a number; write it without quotes")
        return Bound(operator, value.number)

    return change


def _exists(value: Value) -> Value:
    if not isinstance(value, Truth):
        raise RuleFileError("needs true or false, without quotes")
    return Exists(value.value)


def _reference(value: Value) -> Value:
    field = value.literal if isinstance(value, Text) else None
    if not field:
        raise RuleFileError("needs the name of a field, without wildcards")
    return FieldReference(field)


def _flag(flag: str) -> Callable[[Value], Value]:
    def change(value: Value) -> Value:
        if not isinstance(value, Expression):
            raise RuleFileError("is only allowed after the modifier `re`")
        return msgspec.structs.replace(value, flags="".join(sorted({*value.flags, flag})))

    return change


def _placeholders(value: Value) -> Value:
    if isinstance(value, Expression):
        return value  # `_expanded` replaces its placeholders
    if not isinstance(value, Text):
        raise RuleFileError("needs a string with a placeholder between percent signs, as in '%admins%'")
    parts: list[str | Wild | Placeholder] = []
    for part in value.parts:
        parts += _split(part) if isinstance(part, str) else [part]
    return Text(tuple(parts), value.cased)


def _split(text: str) -> list[str | Placeholder]:
    """Split `text` into its placeholders and the texts between them."""
    parts = re.split(r"%([^%\\]+)%", text)  # each second part is the name of a placeholder
    return [Placeholder(part) if place % 2 else part for place, part in enumerate(parts) if part]


_CHANGES: dict[str, Callable[[Value], Value]] = {
    "contains": lambda value: _around(value, start=True, end=True),
    "startswith": lambda value: _around(value, start=False, end=True),
    "endswith": lambda value: _around(value, start=True, end=False),
    "cased": _cased,
    "cidr": _network,
    "exists": _exists,
    "fieldref": _reference,
    "expand": _placeholders,
    **{name: _bound(name) for name in ("lt", "lte", "gt", "gte")},
    **{name: _flag(name[0]) for name in ("i", "ignorecase", "m", "multiline", "s")},
    "dotall": _flag("s"),
}
_JOINING = ("all", "neq")
_PARTIAL = {"contains", "startswith", "endswith", "re"}
_EMPTY = "is empty, so it matches every value"
_FIRST = ("re", "cidr", "exists")
MODIFIERS = (*_CHANGES, *_JOINING, "re")
_NOT_HERE = {
    "base64": "no value of an Okta event has this encoding", "base64offset": "no value of an Okta event has this encoding",
    "wide": "no value of an Okta event has this encoding", "utf16": "no value of an Okta event has this encoding",
    "utf16be": "no value of an Okta event has this encoding", "utf16le": "no value of an Okta event has this encoding",
    "windash": "it is for command lines", "minute": "parts of times are not read", "hour": "parts of times are not read",
    "day": "parts of times are not read", "week": "parts of times are not read", "month": "parts of times are not read",
    "year": "parts of times are not read",
}  # fmt: skip


def check_modifiers(field: str, modifiers: Sequence[str]) -> None:
    """Check that the `modifiers` of `field` can be evaluated.

    Raises:
        RuleFileError: a modifier is unknown, not supported here, or in the wrong position.
    """
    for place, name in enumerate(modifiers):
        if name in _NOT_HERE:
            raise RuleFileError(f"the modifier {name!r} is not supported: {_NOT_HERE[name]}")
        if name not in MODIFIERS:
            hint = did_you_mean(name, MODIFIERS, known_names(MODIFIERS))
            raise RuleFileError(f"unknown modifier {name!r}{hint}")
        if name in _FIRST and any(each not in _JOINING for each in modifiers[:place]):
            raise RuleFileError(f"the modifier {name!r} must come first")
        if name == "exists" and not field:
            raise RuleFileError("the modifier 'exists' needs a field")


def modified(written: Any, modifiers: Sequence[str], lists: Lists) -> list[Value]:
    """Apply `modifiers` to the value `written`. Return the resulting values: any number with the modifier `expand`,
    else one.

    Raises:
        RuleFileError: a modifier does not fit the value, or a list is missing.
    """
    if written == "" and not _PARTIAL.isdisjoint(modifiers):
        raise RuleFileError(f"the value {_EMPTY}; write a text")
    if "re" in modifiers:
        if not isinstance(written, str):
            raise RuleFileError("the modifier 're' needs a regular expression; write it in quotes")
        value: Value = Expression(str(written))
    else:
        value = plain_value(written)
    values = [value]
    of_lists = "cidr" in modifiers and "expand" in modifiers  # the values of the lists are networks
    for name in modifiers:
        if name in _CHANGES and not (of_lists and name == "cidr"):
            values = _changed(name, values)
    if "expand" in modifiers:
        values = [found for each in values for found in _expanded(each, lists)]
    if of_lists:
        values = _changed("cidr", values)
    for each in values:
        if isinstance(each, Expression):
            search(each.source, flags=each.flags)  # raises if RE2 cannot read it
    return values


def _changed(name: str, values: Sequence[Value]) -> list[Value]:
    try:
        return [_CHANGES[name](each) for each in values]
    except RuleFileError as error:
        raise RuleFileError(f"the modifier {name!r} {error}") from None


def _expanded(value: Value, lists: Lists) -> list[Value]:
    """Return `value` once for each combination of the values that can replace its placeholders; the values of a
    placeholder are those of its list. In a regular expression, the values become parts of the expression."""
    if isinstance(value, Expression):
        ways = _combined(_split(value.source), lists)
        blank = () in ways
        values: list[Value] = [msgspec.structs.replace(value, source=as_written(way)) for way in ways]
    elif isinstance(value, Text):
        ways = _combined(value.parts, lists)
        stars = tuple(part for part in value.parts if part is Wild.MANY)
        blank = bool(stars) and stars in ways
        values = [Text(way, value.cased) for way in ways]
    else:
        return [value]
    if blank:
        raise RuleFileError(f"a value in `rules.lists` {_EMPTY}; remove the value from its list")
    return values


def _combined(parts: Sequence[str | Wild | Placeholder], lists: Lists) -> list[tuple[str | Wild | Placeholder, ...]]:
    choices: list[Sequence[tuple[str | Wild | Placeholder, ...]]] = []
    count = 1
    for part in parts:
        if isinstance(part, Placeholder):
            choices.append([text_value(value).parts for value in _listed(part.name, lists)])
            count *= len(choices[-1])
        else:
            choices.append([(part,)])
    if count > _MAX_EXPANDED:
        raise RuleFileError(
            f"the placeholders expand to more than {_MAX_EXPANDED:,} values; use shorter lists in `rules.lists`"
        )
    return [_joined([part for parts in way for part in parts]) for way in product(*choices)]


def _listed(name: str, lists: Lists) -> Sequence[str]:
    if name not in lists:
        hint = did_you_mean(name, lists, f"define the list, as in rules: {{lists: {{{name}: [example.com]}}}}")
        raise RuleFileError(f"unknown list {name!r}: `rules.lists` does not define this list{hint}")
    return lists[name]


def _joined(parts: Sequence[str | Wild | Placeholder]) -> tuple[str | Wild | Placeholder, ...]:
    found: list[str | Wild | Placeholder] = []
    for part in parts:
        if found and isinstance(part, str) and isinstance(found[-1], str):
            found[-1] = f"{found[-1]}{part}"
        else:
            found.append(part)
    return tuple(found)
