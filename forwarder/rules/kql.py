"""KQL (Kibana's query language) and Lucene's query syntax: `event.action: (user.session.start or user.mfa*)`.

Not seen: a type that stands without a field, and Kibana's filters beside the query.
"""

import re

from forwarder.core.errors import RuleFileError
from forwarder.rules.condition import (
    Condition,
    Either,
    Every,
    Not,
    Pattern,
    Unknown,
    compared,
    exactly,
    expression,
    wildcard,
)
from forwarder.rules.reader import Reader, Sign, signs

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
_REGEX = "\0"  # marks the text of a /regular expression/, which no query can hold


def read_kql(query: str) -> Condition:
    """The condition that a KQL query states.

    Raises:
        RuleFileError: it is no KQL.
    """
    return _Query(signs(query, _KQL, _unquoted), lucene=False).read()


def read_lucene(query: str) -> Condition:
    """The condition that a query in Lucene's syntax states. Terms side by side count as joined by `or`.

    Raises:
        RuleFileError: it is no such query.
    """
    found = signs(query, _LUCENE, _unquoted)
    joined = [
        Sign("word", _JOINTS[sign.text], sign.line) if sign.kind == "mark" and sign.text in _JOINTS else sign
        for sign in found
    ]
    return _Query(joined, lucene=True).read()


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    return _REGEX + inner if text[0] == "/" else re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)


class _Query:
    def __init__(self, found: list[Sign], *, lucene: bool) -> None:
        self._reader = Reader(found)
        self._lucene = lucene

    def read(self) -> Condition:
        if self._reader.next() is None:
            return Unknown()
        condition = self._terms("")
        if rest := self._reader.next():
            raise RuleFileError(f"line {rest.line} of the query: {rest.text!r} was not expected")
        return condition

    def _terms(self, field: str) -> Condition:
        """Terms up to the end or a closing bracket. Inside `field: ( … )` they are values of `field`."""
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

    def _words(self) -> list[Sign]:
        """One value. KQL takes words side by side for a single one."""
        joint = self._reader.at("and", "or", "not")
        sign = self._reader.take()
        if joint or sign.kind == "mark":
            raise RuleFileError(f"line {sign.line} of the query: {sign.text!r} was not expected")
        found = [sign]
        while (
            not self._lucene
            and sign.kind == "word"
            and (more := self._reader.next())
            and more.kind == "word"
            and not self._reader.at("and", "or", "not")
        ):
            found.append(self._reader.take())
        return found

    def _compare(self, field: str, value: list[Sign]) -> Condition:
        if not field:
            return Unknown()
        return compared(field, self._pattern(value))

    def _pattern(self, value: list[Sign]) -> Pattern | None:
        text = " ".join(sign.text for sign in value)
        if text.startswith(_REGEX):
            return expression(text[1:])
        if value[0].kind == "text":
            return exactly(text)
        return wildcard(text, one="?" if self._lucene else "")


def _name(value: list[Sign]) -> str:
    return re.sub(r"\\(.)", r"\1", " ".join(sign.text for sign in value))


def _side_by_side(parts: list[Condition]) -> Condition:
    """Lucene's terms without a joint: one of them is enough, but none that is forbidden may be there."""
    forbidden = [part for part in parts if isinstance(part, Not)]
    wanted = [part for part in parts if not isinstance(part, Not)]
    either: list[Condition] = [Either(tuple(wanted))] if wanted else []
    return Every((*either, *forbidden))
