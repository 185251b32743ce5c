"""As much of Kibana's query language as the dashboards use, turned into query DSL as Kibana does it.

`field: value`, `field: (a or b)`, `field: *`, wildcards, quotes, brackets, and, or, not. Anything else is refused, so
that no filter of a dashboard is understood here in another way than by Kibana.
"""

import re
from typing import Any

Dsl = dict[str, Any]

_TOKEN = re.compile(r'\s*(?:("[^"\\]*")|([():])|([^\s():"\\<>{}]+))')
_WORDS = {"and", "or", "not"}


def dsl(text: str) -> Dsl:
    """The query of a KQL text.

    Raises:
        ValueError: the text is no KQL, or more of it than the dashboards use.
    """
    return _Reader(text).query()


def fields(text: str) -> set[str]:
    """The fields that a KQL text names."""
    reader = _Reader(text)
    reader.query()
    return reader.fields


class _Reader:
    """Reads from left to right; `or` binds least."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self.fields: set[str] = set()

    def query(self) -> Dsl:
        if not self._tokens:
            return {"match_all": {}}
        found = self._either(None)
        if self._tokens:
            raise ValueError(f"KQL is not over at {self._tokens[0]!r}")
        return found

    def _either(self, field: str | None) -> Dsl:
        parts = [self._both(field)]
        while self._took("or"):
            parts.append(self._both(field))
        return parts[0] if len(parts) == 1 else {"bool": {"should": parts, "minimum_should_match": 1}}

    def _both(self, field: str | None) -> Dsl:
        parts = [self._one(field)]
        while self._took("and"):
            parts.append(self._one(field))
        return parts[0] if len(parts) == 1 else {"bool": {"filter": parts}}

    def _one(self, field: str | None) -> Dsl:
        if self._took("not"):
            return {"bool": {"must_not": self._one(field)}}
        if self._took("("):
            found = self._either(field)
            self._need(")")
            return found
        if field is not None:
            return _is(field, self._word())
        name = self._word()
        self.fields.add(name)
        self._need(":")
        if self._tokens[:1] == ["("]:
            return self._one(name)
        return _is(name, self._word())

    def _word(self) -> str:
        if not self._tokens or self._tokens[0] in {*_WORDS, "(", ")", ":"}:
            raise ValueError(f"KQL needs a name or a value before {self._tokens[:1]}")
        return self._tokens.pop(0)

    def _took(self, token: str) -> bool:
        if self._tokens[:1] == [token]:
            del self._tokens[0]
            return True
        return False

    def _need(self, token: str) -> None:
        if not self._took(token):
            raise ValueError(f"KQL needs {token!r} before {self._tokens[:1]}")


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"KQL cannot be read at {text[at:]!r}")
        found.append(match[match.lastindex or 0])
        at = match.end()
    return found


def _is(field: str, value: str) -> Dsl:
    if value.startswith('"'):
        return {"match_phrase": {field: value[1:-1]}}
    if value == "*":
        return {"exists": {"field": field}}
    if "*" in value:
        return {"query_string": {"fields": [field], "query": re.sub(r"([-+/!~^\[\]&|?=])", r"\\\1", value)}}
    return {"match": {field: value}}
