"""Evaluates the `filter` of the System Log API over events."""

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.emulator.http.errors import OktaApiError
from forwarder.rules.condition import And, Condition, Not, Or
from forwarder.rules.okta_filter import OPERATORS, Comparison, ValueSet, parse_filter

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_LITERAL = re.compile(r"true|false|null|-?\d+(\.\d+)?")
_CO_NOT_SUPPORTED = {"debugContext.debugData.url", "debugContext.debugData.requestUri"}
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "co": operator.contains, "sw": str.startswith, "ew": str.endswith,
    "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
}  # fmt: skip


def read_filter(text: str) -> Callable[[Any], bool]:
    """Return a function that tells whether a decoded event matches a filter.

    Raises:
        OktaApiError: Okta would refuse the filter.
    """
    try:
        condition = parse_filter(text)
        for leaf in _leaves(condition):
            _check(leaf)
    except RuleFileError as error:
        raise OktaApiError(400, "E0000053", f"Invalid filter '{text}': {error}") from error
    except RecursionError as error:
        raise OktaApiError(400, "E0000053", f"Invalid filter '{text}': too long") from error
    return lambda event: _matches(condition, event)


def _leaves(condition: Condition) -> Iterator[Condition]:
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _leaves(part)
        case Not(part):
            yield from _leaves(part)
        case _:
            yield condition


def _check(leaf: Condition) -> None:
    if isinstance(leaf, ValueSet):
        raise RuleFileError(f"Expected one value and one of the operators {','.join(OPERATORS)}")
    attribute = leaf.attribute if isinstance(leaf, Comparison) else "target[...]"
    if not isinstance(leaf, Comparison) or not _ATTRIBUTE.fullmatch(attribute) or attribute == "published":
        raise OktaApiError(400, "E0000053", f"field is not valid: {attribute}")
    if leaf.operator == "co" and attribute in _CO_NOT_SUPPORTED:
        summary = "The supplied combination of operator and field is not currently supported."
        raise OktaApiError(400, "E0000031", f"{summary} Operator: co, Field: {attribute}")
    if leaf.operator != "pr" and not leaf.quoted and not _LITERAL.fullmatch(leaf.value):
        raise RuleFileError(f"Expected a value in quotes instead of '{leaf.value}'")


def _matches(condition: Condition, event: Any) -> bool:
    match condition:
        case And(parts):
            return all(_matches(part, event) for part in parts)
        case Or(parts):
            return any(_matches(part, event) for part in parts)
        case Not(part):
            return not _matches(part, event)
        case Comparison(operator="pr"):
            return any(value is not None for value in _values(event, condition.attribute.split(".")))
        case Comparison():
            compare, value = _COMPARE[condition.operator], condition.value
            # `ne` means that no value of a list is equal, not that some value differs.
            quantifier = all if condition.operator == "ne" else any
            actual = _values(event, condition.attribute.split("."))
            return quantifier(compare(_text(each), value) for each in actual)
    return False


def _values(value: Any, path: list[str]) -> list[Any]:
    """Return the values at a path; of a list, those in each of its elements."""
    if isinstance(value, list):
        return [each for item in value for each in _values(item, path)]
    if not path:
        return [value]
    return _values(value.get(path[0]), path[1:]) if isinstance(value, dict) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
