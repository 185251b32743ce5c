"""Explains why an event matches or does not match a condition: names the first field whose test decides."""

from collections.abc import Sequence

from forwarder.rules.conditions import event_fields
from forwarder.rules.conditions.compiler import compiled
from forwarder.rules.conditions.condition import And, Condition, Not, Or
from forwarder.rules.conditions.event_fields import Reading
from forwarder.rules.conditions.okta_filter import Comparison, ValueSet
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
    as_written,
)

_MAX_VALUES = 5
_MAX_TEXT = 200
_VERBS = {(True, False): "wants", (False, False): "matches", (False, True): "excludes", (True, True): "excludes only"}
"""The verb for what a rule does with a value. The key: the result that the test should have had, and whether the test is
inside a `not`."""

_REFERENCES = {
    (False, False): "the value",
    (True, False): "a value that starts with the value",
    (False, True): "a value that ends with the value",
    (True, True): "a value that contains the value",
}
"""(`starts`, `ends`) of a FieldReference → the text for what the tested field must have."""


def explanation(condition: Condition, reading: Reading, *, wanted: bool, negated: bool = False) -> str:
    """Describe the first test in `condition` whose result differs from `wanted`, and the value of the tested field in
    the event."""
    verb = _VERBS[wanted, negated]
    match condition:
        case Not(part):
            return explanation(part, reading, wanted=not wanted, negated=not negated)
        case And(parts) | Or(parts):
            if (tests := _of_one_field(parts)) and isinstance(condition, Or):
                return _field(tests, reading, verb)
            for part in parts:
                if compiled(part)(reading) is not wanted:
                    return explanation(part, reading, wanted=wanted, negated=negated)
            return "a list of `rules.lists` is empty"
        case FieldTest():
            return _field([condition], reading, verb)
        case ValueSet(any_of=parts):
            return _comparison(parts, reading, verb)
        case Comparison():
            return _comparison([condition], reading, verb)
    return "the condition cannot be evaluated"


def _of_one_field(parts: Sequence[Condition]) -> list[FieldTest]:
    tests = [part for part in parts if isinstance(part, FieldTest)]
    return tests if len(tests) == len(parts) and len({test.field for test in tests}) == 1 else []


def _field(tests: Sequence[FieldTest], reading: Reading, verb: str) -> str:
    rule = " or ".join(_described(test.value) for test in tests[:_MAX_VALUES]) + _more(len(tests))
    if tests[0].field is None:
        return f"any value of the event: the rule {verb} {rule}"
    return _line(tests[0].field, rule, reading, verb)


def _comparison(parts: Sequence[Comparison], reading: Reading, verb: str) -> str:
    written = [f'{part.operator} "{part.value}"' if part.operator != "pr" else "pr" for part in parts]
    rule = " or ".join(written[:_MAX_VALUES]) + _more(len(written))
    return _line(parts[0].attribute, rule, reading, verb)


def _line(field: str, rule: str, reading: Reading, verb: str) -> str:
    found = reading[event_fields.values(field)]
    held = ", ".join(_shown(value) for value in found[:_MAX_VALUES]) + _more(len(found))
    event = held or ("empty" if reading[event_fields.presence(field)] else "missing")
    return f"{field} is {event}; the rule {verb} {rule}"


def _more(count: int) -> str:
    return f" and {count - _MAX_VALUES} more" if count > _MAX_VALUES else ""


def _shown(value: object) -> str:
    if value is None:
        return "null"
    text = event_fields.text_of(value)
    text = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
    return f'"{text}"' if isinstance(value, str) else text


def _described(value: Value) -> str:
    match value:
        case Text(parts, cased):
            return f'"{as_written(parts)}"' + (" (case-sensitive)" if cased else "")
        case Expression():
            return f"the regular expression {value.source!r}" + (f" ({value.flags})" if value.flags else "")
        case NetworkRange(cidr):
            return f"an address in {cidr}"
        case Bound(operator, number):
            return f"{operator} {number:g}"
        case Number(number):
            return f"{number:g}"
        case Truth(truth):
            return str(truth).lower()
        case Null():
            return "no value"
        case Exists(wanted):
            return "the field" if wanted else "no such field"
        case FieldReference(field, starts, ends):
            return f"{_REFERENCES[starts, ends]} of {field}"
