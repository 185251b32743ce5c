"""Filters of the System Log API: `eventType eq "user.session.start" or eventType sw "user.mfa"`."""

import re

from forwarder.core.errors import RuleFileError
from forwarder.rules.comparisons import ends, holds, same, starts
from forwarder.rules.condition import Condition, Not, Unknown, compared
from forwarder.rules.reader import Reader, signs

_SIGNS = re.compile(
    r"""(?P<skip>\s+)
      | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<mark>[][()])
      | (?P<word>[^\s()"'\[\]]+)""",
    re.VERBOSE,
)
_TESTS = {"eq": same, "co": holds, "sw": starts, "ew": ends}
_OTHERS = ("gt", "ge", "lt", "le")


def read_log_filter(query: str) -> Condition:
    """The condition that a filter states.

    Raises:
        RuleFileError: it is no filter.
    """
    reader = Reader(signs(query, _SIGNS, lambda text: re.sub(r"\\(.)", r"\1", text[1:-1])))
    condition = reader.condition(lambda: _operand(reader))
    if rest := reader.next():
        raise RuleFileError(f"{rest.text!r} was not expected")
    return condition


def _operand(reader: Reader) -> Condition:
    if reader.skip("("):
        inner = reader.condition(lambda: _operand(reader))
        reader.expect(")")
        return inner
    field = reader.take()
    if reader.skip("["):  # `target[type eq "User"]`: about objects in a list, none of which has an event type
        reader.condition(lambda: _operand(reader))
        reader.expect("]")
        return Unknown()
    operator = reader.take().text.lower()
    if operator == "pr":
        return Unknown()
    if operator not in (*_TESTS, *_OTHERS, "ne"):
        raise RuleFileError(f"{operator!r} where one of eq, ne, co, sw, ew, pr, gt, ge, lt, le should come")
    value = reader.take().text
    if operator == "ne":
        return Not(compared(field.text, same(value)))
    return compared(field.text, _TESTS[operator](value)) if operator in _TESTS else Unknown()
