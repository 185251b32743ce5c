"""EQL (Elastic's event query language): one condition, or a sequence of them, each of which must happen."""

import re

from forwarder.rules.comparisons import (
    TOKENS,
    Conditions,
    Language,
    Test,
    contains,
    ends,
    in_any_case,
    like,
    like_in_any_case,
    regex,
    regex_in_any_case,
    same,
    same_in_any_case,
    starts,
    unquoted,
)
from forwarder.rules.condition import Condition, Unknown
from forwarder.rules.reader import Reader, tokenize

_SERIES = re.compile(r"\s*(sequence|sample|join)\b", re.IGNORECASE)
_FUNCTIONS: dict[str, Test] = {
    "startswith": starts,
    "endswith": ends,
    "stringcontains": contains,
    "wildcard": like,
    "match": regex,
    "startswith~": in_any_case(starts),
    "endswith~": in_any_case(ends),
    "stringcontains~": in_any_case(contains),
    "wildcard~": like_in_any_case,
    "match~": regex_in_any_case,
}
_LANGUAGE = Language(
    operators={
        "==": same,
        "in": same,
        ":": like_in_any_case,
        "like": like,
        "regex": regex,
        "=~": like_in_any_case,
        "in~": same_in_any_case,
        "like~": like_in_any_case,
        "regex~": regex_in_any_case,
    },
    functions=_FUNCTIONS,
)


def read_eql(query: str) -> list[Condition]:
    """Read the conditions of an EQL query: those of a sequence one by one, `until` and `![missing]` included.

    Raises:
        RuleFileError: it is not EQL.
    """
    reader = Reader(tokenize(query, TOKENS, unquoted))
    if not _SERIES.match(query):
        found = [_event(reader)]
        if reader.next():
            reader.expect("|")
        return found
    found = []
    while reader.next():
        if reader.take().text == "[":
            found.append(_event(reader))
            reader.expect("]")
    return found


def _event(reader: Reader) -> Condition:
    """Read one `category where condition`."""
    while not reader.skip("where"):
        if reader.at("|", "]") or reader.next() is None:
            return Unknown()
        reader.take()
    return Conditions(reader, _LANGUAGE).read()
