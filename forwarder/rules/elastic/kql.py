"""Reads KQL (Kibana's query language) and Lucene's syntax, such as `event.action: (user.session.start or user.mfa*)`.

Not recognised: an event type without a field, and filters that Kibana keeps outside the query.
"""

import re

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.condition import And, Condition, Not, Or, Unknown, compared
from forwarder.rules.conditions.patterns import Pattern, exactly, expression, wildcard
from forwarder.rules.conditions.query_tokens import QueryToken, TokenReader, tokenize

_KQL = re.compile(
    r"""(?P<skip>\s+)
      | (?P<text>"(?:\\.|[^"\\])*")
      | (?P<mark><=|>=|[():{}<>])
      | (?P<word>(?:\\.|[^\s():{}<>"\\])+)""",
    re.VERBOSE | re.DOTALL,
)
_LUCENE = re.compile(
    r"""(?P<skip>\s+|[+](?=\S)|\^[\d.]+|~[\d.]*)
      | (?P<text>"(?:\\.|[^"\\])*"|/(?:\\.|[^/\\])+/)
      | (?P<mark>&&|\|\||!|-(?=\S)|<=|>=|[():{}<>\[\]])
      | (?P<word>(?:\\.|[^\s():{}<>"\\\[\]^~!/])+)""",
    re.VERBOSE | re.DOTALL,
)
_JOINTS = {"&&": "and", "||": "or", "!": "not", "-": "not"}
_REGEX = "\0"  # marks the text of a token as a /regular expression/; no query can contain this character


def read_kql(query: str) -> Condition:
    """Return the condition of a KQL query.

    Raises:
        RuleFileError: the query is not KQL.
    """
    return _Query(tokenize(query, _KQL, _unquoted), lucene=False).read()


def read_lucene(query: str) -> Condition:
    """Return the condition of a query in Lucene's syntax. Terms without an operator between them are joined by `or`.

    Raises:
        RuleFileError: the query is not in Lucene's syntax.
    """
    found = tokenize(query, _LUCENE, _unquoted)
    joined = [
        QueryToken("word", _JOINTS[token.text], token.line) if token.kind == "mark" and token.text in _JOINTS else token
        for token in found
    ]
    return _Query(joined, lucene=True).read()


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    return _REGEX + inner if text[0] == "/" else re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)


class _Query:
    def __init__(self, found: list[QueryToken], *, lucene: bool) -> None:
        self._reader = TokenReader(found)
        self._lucene = lucene

    def read(self) -> Condition:
        if self._reader.next() is None:
            return Unknown()
        condition = self._terms("")
        if rest := self._reader.next():
            raise RuleFileError(f"line {rest.line} of the query: {rest.text!r} was not expected")
        return condition

    def _terms(self, field: str) -> Condition:
        """Read terms up to the end or a closing bracket. Inside `field: ( … )`, each term is a value of `field`."""
        parts = [self._reader.condition(lambda: self._term(field))]
        while self._lucene and self._reader.next() and not self._reader.at(")", "}"):
            parts.append(self._reader.condition(lambda: self._term(field)))
        return parts[0] if len(parts) == 1 else _side_by_side(parts)

    def _term(self, field: str) -> Condition:
        reader = self._reader
        if reader.skip("("):
            inner = self._terms(field)
            reader.expect(")")
            return inner
        first = self._words()
        if reader.skip("<", ">", "<=", ">="):
            reader.skip("=")
            self._words()
            return Unknown()
        if reader.at(":") and not field:
            reader.take()
            return self._values(_name(first))
        return self._compare(field, first)

    def _values(self, field: str) -> Condition:
        reader = self._reader
        if reader.skip("("):
            inner = self._terms(field)
            reader.expect(")")
            return inner
        if self._lucene and reader.at("[", "{"):
            return self._range()
        if reader.skip("{"):  # KQL's nested fields; in an Okta document no nested field holds the event type
            self._terms("")
            reader.expect("}")
            return Unknown()
        if reader.skip("<", ">", "<=", ">="):
            self._words()
            return Unknown()
        return self._compare(field, self._words())

    def _range(self) -> Condition:
        while not self._reader.skip("]", "}"):
            self._reader.take()
        return Unknown()

    def _words(self) -> list[QueryToken]:
        """Take and return the tokens of one value. In KQL, adjacent words are one value; in Lucene's syntax, each word
        is a value."""
        joint = self._reader.at("and", "or", "not")
        token = self._reader.take()
        if joint or token.kind == "mark":
            raise RuleFileError(f"line {token.line} of the query: {token.text!r} was not expected")
        found = [token]
        while (
            not self._lucene
            and token.kind == "word"
            and (more := self._reader.next())
            and more.kind == "word"
            and not self._reader.at("and", "or", "not")
        ):
            found.append(self._reader.take())
        return found

    def _compare(self, field: str, value: list[QueryToken]) -> Condition:
        if not field:
            return Unknown()
        return compared(field, self._pattern(value))

    def _pattern(self, value: list[QueryToken]) -> Pattern | None:
        text = " ".join(token.text for token in value)
        if text.startswith(_REGEX):
            return expression(text[1:])
        if value[0].kind == "text":
            return exactly(text)
        return wildcard(text, one="?" if self._lucene else "")


def _name(value: list[QueryToken]) -> str:
    return re.sub(r"\\(.)", r"\1", " ".join(token.text for token in value))


def _side_by_side(parts: list[Condition]) -> Condition:
    """Join Lucene terms that have no operator between them. At least one of the terms without `not` must match, if
    there are any. None of the terms that `not` excludes may match."""
    forbidden = [part for part in parts if isinstance(part, Not)]
    wanted = [part for part in parts if not isinstance(part, Not)]
    either: list[Condition] = [Or(tuple(wanted))] if wanted else []
    return And((*either, *forbidden))
