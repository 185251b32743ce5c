"""Turns a condition into a function that finds out whether an event matches. The function is made once, when the rules
are loaded.

A field with several values matches if one of the values matches. A comparison in a Sigma rule ignores case, unless it
has the modifier `cased`. A System Log filter never ignores case.
"""

import ipaddress
import operator
import re
from collections.abc import Callable
from typing import Any

from forwarder.core.errors import RuleFileError
from forwarder.core.ip_networks import unmapped
from forwarder.rules.conditions import event_fields
from forwarder.rules.conditions.condition import And, Condition, Known, Not, Or
from forwarder.rules.conditions.event_fields import FieldReader, Reading
from forwarder.rules.conditions.okta_filter import Comparison, ValueSet
from forwarder.rules.conditions.patterns import escape, full_match, search
from forwarder.rules.conditions.sigma_values import (
    Bound,
    Exists,
    Expression,
    FieldReference,
    FieldTest,
    NetworkRange,
    Null,
    Number,
    Text,
    Truth,
    Value,
    Wild,
)
from forwarder.rules.evaluation.countries import CODES, COUNTRY_FIELD, not_a_code

Test = Callable[[Reading], bool]
"""Returns whether an event matches."""

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "in": operator.eq, "ne": operator.ne, "co": operator.contains, "sw": str.startswith,
    "ew": str.endswith, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
    "gte": operator.ge, "lte": operator.le,
}  # fmt: skip


_REFERENCES: dict[tuple[bool, bool], Callable[[Any, Any], bool]] = {
    (False, False): operator.eq, (True, False): str.startswith, (False, True): str.endswith, (True, True): operator.contains,
}  # fmt: skip
"""(`starts`, `ends`) of a FieldReference → the function that compares a value with the value of the other field."""


def compiled(condition: Condition) -> Test:
    """Return a function that finds out whether an event matches `condition`.

    Raises:
        RuleFileError: the condition has a part that cannot be evaluated.
    """
    match condition:
        case And(parts):
            return _all([compiled(part) for part in parts])
        case Or(parts):
            return _any([*_together(parts)])
        case Not(part):
            inner = compiled(part)
            return lambda reading: not inner(reading)
        case Known(always):
            return lambda _: always
        case FieldTest(field=None, value=value):
            return _keyword(value)
        case FieldTest(field=str(field), value=value):
            return _field(field, value)
        case ValueSet(any_of=parts):
            alike = all(part.operator == "ne" for part in parts)
            return (_all if alike else _any)([_compared(part) for part in parts])
        case Comparison():
            return _compared(condition)
    raise RuleFileError(
        "a part of the filter cannot be evaluated; in that part, compare fields with values, as in eventType eq "
        '"user.session.start"'
    )


def _all(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def test(reading: Reading) -> bool:
        for each in tests:  # noqa: SIM110  # takes half the time of all() with a generator
            if not each(reading):
                return False
        return True

    return test


def _any(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def test(reading: Reading) -> bool:
        for each in tests:  # noqa: SIM110
            if each(reading):
                return True
        return False

    return test


def _together(parts: tuple[Condition, ...]) -> list[Test]:
    """Compile `parts`, one of which must match. All comparisons of one field with exact texts become one look-up in a
    set."""
    sets: dict[FieldReader, set[str]] = {}
    tests: list[Test] = []
    for part in parts:
        match part:
            case FieldTest(field=str(field), value=Text() as text) if text.literal is not None:
                sets.setdefault(_texts(field, text), set()).add(_folded(text.literal, text))
            case _:
                tests.append(compiled(part))
    return [*(_in(reader, frozenset(found)) for reader, found in sets.items()), *tests]


def _in(reader: FieldReader, found: frozenset[str]) -> Test:
    if len(found) == 1:
        (only,) = found
        return lambda reading: only in reading[reader]
    return lambda reading: not found.isdisjoint(reading[reader])


def _texts(field: str | None, text: Text) -> FieldReader:
    if field is None:
        return event_fields.ALL_TEXTS if text.cased else event_fields.ALL_LOWER_TEXTS
    return event_fields.texts(field) if text.cased else event_fields.lower_texts(field)


def _folded(written: str, text: Text) -> str:
    return written if text.cased else written.lower()


def _over(reader: FieldReader, matches: Callable[[Any], bool]) -> Test:
    """Return a test that passes if `matches` returns True for at least one of the values that `reader` finds."""

    def test(reading: Reading) -> bool:
        for value in reading[reader]:  # noqa: SIM110
            if matches(value):
                return True
        return False

    return test


def _field(field: str, value: Value) -> Test:
    match value:
        case Text():
            only = value.literal
            if only is None:
                return _over(_texts(field, value), text_matcher(value))
            return _in(_texts(field, value), frozenset({_folded(only, value)}))
        case Expression():
            return _over(event_fields.encoded_texts(field), _expression(value))
        case NetworkRange(cidr):
            return _over(event_fields.addresses(field), _within(cidr))
        case Bound(name, number):
            compare = _COMPARE[name]
            return _over(event_fields.numbers(field), lambda found: compare(found, number))
        case Number(number):
            return _number(field, number)
        case Truth(truth):
            return _in(event_fields.lower_texts(field), frozenset({event_fields.text_of(truth)}))
        case Null() | Exists():
            return _presence(field, value)
        case FieldReference():
            return _reference(event_fields.lower_texts(field), value)


def _within(cidr: str) -> Callable[[bytes], bool]:
    network = unmapped(ipaddress.ip_network(cidr))
    size, mask = network.network_address.max_prefixlen // 8, int(network.netmask)
    start = int(network.network_address)
    return lambda address: len(address) == size and int.from_bytes(address) & mask == start


def _presence(field: str, value: Null | Exists) -> Test:
    if isinstance(value, Null):
        values = event_fields.values(field)
        return lambda reading: all(found is None for found in reading[values])
    presence, wanted = event_fields.presence(field), value.value
    return lambda reading: reading[presence] is wanted


def _number(field: str, number: float) -> Test:
    """Return a test that passes if a value of `field` is a float that equals `number`, or has the same text as
    `number`. So the text "007" does not equal 7."""
    written = event_fields.text_of(int(number) if number == int(number) else number)
    texts, values = event_fields.texts(field), event_fields.values(field)
    return lambda reading: (
        written in reading[texts] or any(type(each) is float and each == number for each in reading[values])
    )


def _reference(reader: FieldReader, value: FieldReference) -> Test:
    other = event_fields.lower_texts(value.field)
    compare = _REFERENCES[value.starts, value.ends]
    return lambda reading: any(compare(found, wanted) for found in reading[reader] for wanted in reading[other])


def _keyword(value: Value) -> Test:
    """Return a test that passes if any value of the event contains the keyword `value`."""
    match value:
        case Text(parts, cased):
            inner = Text((Wild.MANY, *parts, Wild.MANY), cased)
            return _over(_texts(None, value), text_matcher(inner))
        case Expression():
            return _over(event_fields.ALL_ENCODED_TEXTS, _expression(value))
        case Number() | Truth():
            written = value.number if isinstance(value, Number) else value.value
            return _over(event_fields.ALL_LOWER_TEXTS, lambda text: event_fields.text_of(written) in text)
    raise RuleFileError("this kind of comparison needs a field; name the field")


def _expression(value: Expression) -> Callable[[bytes], bool]:
    source = f"(?:{value.source})"
    source = (r"\A" if value.at_start else "") + source + (r"\z" if value.at_end else "")
    return search(source if value.at_start or value.at_end else value.source, flags=value.flags)


def text_matcher(text: Text) -> Callable[[str], bool]:
    """Return a function that finds out whether a string matches `text`, which may have wildcards.

    If `text` is not `cased`, the caller must pass the string in lower case.
    """
    parts = [part.lower() if isinstance(part, str) and not text.cased else part for part in text.parts]
    match parts:
        case []:
            return lambda found: not found
        case [str(only)]:
            return lambda found: found == only
        case [Wild.MANY, str(inner), Wild.MANY]:
            return lambda found: inner in found
        case [Wild.MANY, str(tail)]:
            return lambda found: found.endswith(tail)
        case [str(head), Wild.MANY]:
            return lambda found: found.startswith(head)
    if all(part is Wild.MANY for part in parts):
        return lambda _: True
    return full_match("".join(_AS_EXPRESSION[part] if isinstance(part, Wild) else escape(str(part)) for part in parts))


_AS_EXPRESSION = {Wild.MANY: ".*", Wild.ONE: "."}


def _compared(comparison: Comparison) -> Test:
    """Compile a comparison of a System Log filter.

    `ne` matches if no value of the field equals the value in the filter. Nulls in the event are ignored, because the
    System Log writes null where a hook delivery leaves out the key. Only a comparison with null sees the nulls.
    """
    reader = event_fields.values(_FILTER_NAMES.get(comparison.attribute, comparison.attribute))
    if comparison.operator == "pr":
        return _over(reader, _has_content)
    if not comparison.quoted and not _LITERAL.fullmatch(comparison.value):
        raise RuleFileError(f"Expected a value in quotes instead of '{comparison.value}'")
    compare, wanted = _COMPARE[comparison.operator], comparison.value
    if comparison.attribute == COUNTRY_FIELD and compare in _EQUALITY and wanted not in CODES:
        raise not_a_code(wanted)
    if compare in _EQUALITY and wanted == "null" and not comparison.quoted:
        is_null = compare is operator.eq
        return lambda reading: all(value is None for value in reading[reader]) is is_null
    quantifier = all if comparison.operator == "ne" else any
    matches = _value_matcher(compare, wanted, quoted=comparison.quoted)
    return lambda reading: quantifier(matches(value) for value in reading[reader] if value is not None)


def _value_matcher(compare: Callable[[Any, Any], bool], wanted: str, *, quoted: bool) -> Callable[[object], bool]:
    """Return a function that compares a value of an event with `wanted`, as numbers if both are numbers, else as text.

    A string in the event may look like a number. The operator decides how the string is compared:

    - `eq` and `ne` compare the string as text. So the string "80.0" does not equal 80, but the number 80.0 does.
    - `gt`, `ge`, `lt` and `le` compare the string as a number, unless `wanted` is in quotes, because Okta writes the
      numbers in `debugData` as strings.
    """
    number = event_fields.number_of(wanted)
    if number is None or compare not in (_ORDER if quoted else _ORDER | _EQUALITY):
        return lambda value: compare(event_fields.text_of(value), wanted)
    text_stays_text = quoted or compare in _EQUALITY

    def matches(value: object) -> bool:
        found = None if text_stays_text and isinstance(value, str) else event_fields.number_of(value)
        return compare(event_fields.text_of(value), wanted) if found is None else compare(found, number)

    return matches


_EQUALITY = {operator.eq, operator.ne}
_ORDER = {operator.gt, operator.ge, operator.lt, operator.le}


def _has_content(value: object) -> bool:
    """Whether a value has content. Null and "" have no content. An object or a list has content if at least one of its
    values has content."""
    if isinstance(value, dict):
        return any(map(_has_content, value.values()))
    if isinstance(value, list):
        return any(map(_has_content, value))
    return value is not None and value != ""


_LITERAL = re.compile(r"true|false|null|-?\d+(\.\d+)?")
_FILTER_NAMES = {"result": "outcome.result", "reason": "outcome.reason"}
"""Short names that Okta's console accepts, and the fields that they stand for."""
