"""Reads filters of Okta's System Log API, such as `eventType eq "user.session.start" and not actor.id pr`.

Published rules also compare with sets, which Okta's API refuses: `eventType in ["a", "b"]`, `eventType not in ["a"]`,
`eventType eq ("a" or "b")`.
"""

import json
import re
from collections.abc import Iterator

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.comparisons import contains, ends, same, starts
from forwarder.rules.conditions.condition import And, Condition, Not, Or, Unknown, compared, leaves
from forwarder.rules.conditions.query_tokens import QueryToken, TokenReader, tokenize
from forwarder.rules.conditions.rule import Rule
from forwarder.rules.documents import Document

_MAX_NAME = 100
OPERATORS = ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr")

_TOKENS = re.compile(
    r"""(?P<skip>\s+)
      | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<mark>[][()])
      | (?P<word>[^\s()"'\[\]]+)""",
    re.VERBOSE,
)
_COMMENT = re.compile(
    r"""("(?:\\.|[^"\\])*+"?|'(?:\\.|[^'\\])*+'?)|(?:^|(?<=\s))(?:\#|//)[^\n]*""", re.VERBOSE | re.MULTILINE | re.DOTALL
)
"""Matches a quoted text, which is kept, or a comment. A quote without an end reaches to the end of the text, so each
character is read once."""
_PATTERNS = {"eq": same, "in": same, "co": contains, "sw": starts, "ew": ends}
_CLOSING = {"(": ")", "[": "]"}


class Comparison(Unknown, frozen=True, kw_only=True):
    """One comparison of an attribute with a value.

    Attributes:
        operator: one of OPERATORS.
        value: the value without its quotes; empty for `pr`.
        quoted: whether the value was in quotes.
    """

    attribute: str
    operator: str
    value: str = ""
    quoted: bool = False


class ValueSet(Unknown, frozen=True, kw_only=True):
    """A comparison of an attribute with any of several values."""

    any_of: tuple[Comparison, ...]


def parse_filter(query: str) -> Condition:
    """Parse a filter. The leaves of the returned tree are Comparison and ValueSet. A test of the form `target[...]`
    becomes Unknown.

    Raises:
        RuleFileError: the query is not a filter.
    """
    reader = TokenReader(tokenize(query, _TOKENS, _unquoted))
    condition = reader.condition(lambda: _operand(reader))
    if rest := reader.next():
        raise RuleFileError(f"Unexpected {rest.text!r}")
    return condition


def check_texts(condition: Condition) -> None:
    """Check that no comparison in `condition` is true for every value because its text is empty.

    Raises:
        RuleFileError: there is such a comparison.
    """
    for leaf in leaves(condition):
        for part in leaf.any_of if isinstance(leaf, ValueSet) else [leaf]:
            if isinstance(part, Comparison) and part.operator in ("co", "sw", "ew", "ge") and not part.value:
                comparison = f'{part.attribute} {part.operator} ""'
                raise RuleFileError(f"{comparison} is true for every value; write a text, or `{part.attribute} pr`")


def _unquoted(text: str) -> str:
    """Return the value of a quoted text. The escapes are those of JSON (RFC 7644, section 3.4.2.2). A backslash that
    does not begin such an escape is removed."""
    try:
        return str(json.loads(text, strict=False))
    except ValueError:  # single quotes, or an escape that JSON does not have
        return re.sub(r"\\(.)", r"\1", text[1:-1])


def is_filter(query: str) -> bool:
    """Whether `query` can be parsed as a filter."""
    try:
        parse_filter(query)
    except (RuleFileError, RecursionError):
        return False
    return True


def without_comments(text: str) -> str:
    """Return a filter without its comments, which begin with `#` or `//`. Files of rules have comments, but Okta's API
    does not accept comments."""
    return _COMMENT.sub(lambda found: found[1] or " ", text).strip()


def read_okta_filter(query: str) -> Condition:
    """Parse a filter, and reduce it to its tests of the event type. All other tests become Unknown, because their
    result is not known here.

    Raises:
        RuleFileError: the query is not a filter.
    """
    return filter_types(parse_filter(query))


def filter_rule(query: str) -> Rule:
    """Return a Rule whose query is the filter `query`.

    Raises:
        RuleFileError: the query is not a filter.
    """
    name = query if len(query) <= _MAX_NAME else query[: _MAX_NAME - 1] + "…"
    return Rule(name=name, language="filter", conditions=(read_okta_filter(query),))


def _operand(reader: TokenReader) -> Condition:
    if reader.skip("("):
        inner = reader.condition(lambda: _operand(reader))
        reader.expect(")")
        return inner
    attribute = reader.take("word").text
    if reader.skip("["):  # `target[type eq "User"]` is about objects in a list, which have no event type
        reader.condition(lambda: _operand(reader))
        reader.expect("]")
        return Unknown()
    written = reader.take("word").text
    if written.lower() == "not" and reader.at("in"):
        return Not(_comparison(reader, attribute, reader.take().text))
    return _comparison(reader, attribute, written)


def _comparison(reader: TokenReader, attribute: str, written: str) -> Condition:
    """Read the value or values that `attribute` is compared with. `written` is the operator as the filter writes it."""
    operator = written.lower()
    if operator not in (*OPERATORS, "in"):
        raise RuleFileError(f"Unrecognized attribute operator '{written}'. Expected: {','.join(OPERATORS)}")
    if operator == "pr":
        return Comparison(attribute=attribute, operator=operator)
    opening = reader.next()
    if reader.skip("(", "["):
        values = tuple(_values(reader, _CLOSING[opening.text if opening else ""]))
        if not values:  # otherwise the rule would match every event, or no event
            raise RuleFileError(f"{attribute} {written}: the list of values is empty; write at least one value")
        return ValueSet(any_of=tuple(_compared(attribute, operator, value) for value in values))
    if operator == "in":
        reader.expect("[")
    return _compared(attribute, operator, reader.take("word", "text"))


def _values(reader: TokenReader, closing: str) -> Iterator[QueryToken]:
    """Yield the values up to the token `closing`. The values are separated by commas or by `or`."""
    while not reader.skip(closing):
        if not reader.skip("or", ","):
            value = reader.take("word", "text")
            for part in value.text.split(",") if value.kind == "word" else [value.text]:
                if part or value.kind == "text":
                    yield QueryToken(value.kind, part, value.line)


def _compared(attribute: str, operator: str, value: QueryToken) -> Comparison:
    return Comparison(attribute=attribute, operator=operator, value=value.text, quoted=value.kind == "text")


def filter_types(condition: Condition) -> Condition:
    """Reduce `condition`, the tree of a filter, to its tests of the event type. All other tests become Unknown, because
    their result is not known here."""
    match condition:
        case And(parts):
            return And(tuple(filter_types(part) for part in parts))
        case Or(parts):
            return Or(tuple(filter_types(part) for part in parts))
        case Not(part):
            return Not(filter_types(part))
        case ValueSet(any_of=parts):
            alike = tuple(filter_types(part) for part in parts)
            return And(alike) if all(part.operator == "ne" for part in parts) else Or(alike)
        case Comparison(operator="ne"):
            return Not(compared(condition.attribute, same(condition.value)))
        case Comparison() if condition.operator in _PATTERNS:
            return compared(condition.attribute, _PATTERNS[condition.operator](condition.value))
    return condition


def filter_lines(text: str) -> Iterator[Document]:
    """Yield a document for each line that contains a System Log filter. Comments begin with `#` or `//`."""
    if "\0" in text:
        yield Document(text, problem="is a binary file")
        return
    for number, line in enumerate(text.split("\n"), 1):
        if query := without_comments(line):
            yield Document(text=line, line=number, value=query)
