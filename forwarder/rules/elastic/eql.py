"""Reads EQL (Elastic's Event Query Language). A query is one condition, or a sequence of conditions for several events."""

from forwarder.rules.conditions import comparisons
from forwarder.rules.conditions.condition import Condition, Unknown
from forwarder.rules.conditions.query_tokens import TokenReader, tokenize

_SERIES = ("sequence", "sample", "join")
_FUNCTIONS: dict[str, comparisons.Test] = {
    "startswith": comparisons.starts,
    "endswith": comparisons.ends,
    "stringcontains": comparisons.contains,
    "wildcard": comparisons.like,
    "match": comparisons.regex,
    "startswith~": comparisons.in_any_case(comparisons.starts),
    "endswith~": comparisons.in_any_case(comparisons.ends),
    "stringcontains~": comparisons.in_any_case(comparisons.contains),
    "wildcard~": comparisons.like_in_any_case,
    "match~": comparisons.regex_in_any_case,
}
_LANGUAGE = comparisons.Language(
    operators={
        "==": comparisons.same,
        "in": comparisons.same,
        ":": comparisons.like_in_any_case,
        "like": comparisons.like,
        "regex": comparisons.regex,
        "=~": comparisons.like_in_any_case,
        "in~": comparisons.same_in_any_case,
        "like~": comparisons.like_in_any_case,
        "regex~": comparisons.regex_in_any_case,
    },
    functions=_FUNCTIONS,
)


def read_eql(query: str) -> list[Condition]:
    """Return the conditions of an EQL query. A sequence has one condition for each of its steps, including the steps
    `until` and `![missing]`; any other query has one condition.

    Raises:
        RuleFileError: the query is not EQL.
    """
    reader = TokenReader(tokenize(query, comparisons.TOKENS, comparisons.unquoted))
    if not reader.at(*_SERIES):
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


def _event(reader: TokenReader) -> Condition:
    """Read one event query, written `category where condition`, and return its condition. If the query has no `where`, return
    Unknown."""
    while not reader.skip("where"):
        if reader.at("|", "]") or reader.next() is None:
            return Unknown()
        reader.take()
    return comparisons.Conditions(reader, _LANGUAGE).read()
