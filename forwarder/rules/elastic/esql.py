"""Reads ES|QL (Elastic's piped query language). Only the command `where` filters events. Other commands become Unknown:
they only show which event types the query names."""

from forwarder.rules.conditions import comparisons
from forwarder.rules.conditions.condition import And, Condition, Unknown
from forwarder.rules.conditions.query_tokens import TokenReader, tokenize
from forwarder.rules.elastic.kql import read_kql, read_lucene

_UNCHANGED = ("to_string", "trim", "coalesce", "mv_first", "mv_last")
_LANGUAGE = comparisons.Language(
    operators={
        "==": comparisons.same,
        "in": comparisons.same,
        ":": comparisons.same_in_any_case,
        "like": comparisons.like,
        "rlike": comparisons.regex,
    },
    functions={
        "starts_with": comparisons.starts,
        "ends_with": comparisons.ends,
        "contains": comparisons.contains,
        "match": comparisons.same_in_any_case,
        "match_phrase": comparisons.same_in_any_case,
        "mv_contains": comparisons.same,
        "term": comparisons.same,
    },
    wrappers={"to_lower": str.lower, "to_upper": str.upper} | dict.fromkeys(_UNCHANGED, str),
    queries={"kql": read_kql, "qstr": read_lucene},
)


def read_esql(query: str) -> Condition:
    """Return the condition of an ES|QL query.

    Raises:
        RuleFileError: the query is not ES|QL.
    """
    reader = TokenReader(tokenize(query, comparisons.TOKENS, comparisons.unquoted))
    parts: list[Condition] = []
    while reader.next():
        filters = reader.take().text.lower() == "where"
        found = [_condition(reader)]
        while reader.skip(",", "where", "by"):
            found.append(_condition(reader))
        parts.append(found[0] if filters and len(found) == 1 else Unknown(tuple(found)))
        if reader.next() and not reader.skip(";"):  # `set` ends with a semicolon
            reader.expect("|")
    return And(tuple(parts))


def _condition(reader: TokenReader) -> Condition:
    return comparisons.Conditions(reader, _LANGUAGE).read()
