"""Evaluates the `filter` of the System Log API on events, with the code that evaluates the filters of rules.

Okta's API refuses some filters that rules may have.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from forwarder.core.errors import RuleFileError
from forwarder.emulator.http.errors import OktaApiError
from forwarder.rules.conditions.compiler import compiled
from forwarder.rules.conditions.condition import And, Condition, Not, Or
from forwarder.rules.conditions.event_fields import Reading
from forwarder.rules.conditions.okta_filter import OPERATORS, Comparison, ValueSet, parse_filter

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_CO_NOT_SUPPORTED = {"debugContext.debugData.url", "debugContext.debugData.requestUri"}


def read_filter(text: str) -> Callable[[Any], bool]:
    """Return a function that says whether a decoded event matches the filter `text`.

    Raises:
        OktaApiError: Okta would refuse the filter.
    """
    try:
        condition = parse_filter(text)
        for leaf in _leaves(condition):
            _check(leaf)
        test = compiled(condition)
    except RuleFileError as error:
        raise OktaApiError(400, "E0000053", f"Invalid filter '{text}': {error}") from error
    except RecursionError as error:
        raise OktaApiError(400, "E0000053", f"Invalid filter '{text}': too long") from error
    return lambda event: test(Reading(event))


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
