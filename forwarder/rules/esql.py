"""ES|QL (Elastic's piped query language). `where` is a condition; other commands only name types."""

from forwarder.rules.comparisons import (
    TOKENS,
    Conditions,
    Language,
    contains,
    ends,
    like,
    regex,
    same,
    same_in_any_case,
    starts,
    unquoted,
)
from forwarder.rules.condition import And, Condition, Unknown
from forwarder.rules.kql import read_kql, read_lucene
from forwarder.rules.reader import Reader, tokenize

_UNCHANGED = ("to_string", "trim", "coalesce", "mv_first", "mv_last")
_LANGUAGE = Language(
    operators={"==": same, "in": same, ":": same_in_any_case, "like": like, "rlike": regex},
    functions={
        "starts_with": starts,
        "ends_with": ends,
        "contains": contains,
        "match": same_in_any_case,
        "match_phrase": same_in_any_case,
    },
    wrappers={"to_lower": str.lower, "to_upper": str.upper} | dict.fromkeys(_UNCHANGED, str),
    queries={"kql": read_kql, "qstr": read_lucene},
)


def read_esql(query: str) -> Condition:
    """Read the condition of an ES|QL query.

    Raises:
        RuleFileError: it is not ES|QL.
    """
    reader = Reader(tokenize(query, TOKENS, unquoted))
    parts: list[Condition] = []
    while reader.next():
        filters = reader.take().text.lower() == "where"
        found = [_condition(reader)]
        while reader.skip(",", "where", "by"):
            found.append(_condition(reader))
        parts.append(found[0] if filters and len(found) == 1 else Unknown(tuple(found)))
        if reader.next():
            reader.expect("|")
    return And(tuple(parts))


def _condition(reader: Reader) -> Condition:
    return Conditions(reader, _LANGUAGE).read()
