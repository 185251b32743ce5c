"""The code that the readers of all query languages share. It splits a query into tokens, and reads conditions that
`and`, `or` and `not` join."""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.condition import And, Condition, Not, Or

_MAX_QUERY = 100_000
"""The maximum number of characters of a query. The longest public rules have about 20,000."""
_BOUND = re.compile(r"/\*|\*/")


class QueryToken(msgspec.Struct, frozen=True):
    """A piece of a query.

    Attributes:
        kind: `text` for a quoted text, `mark` for an operator, a bracket or another mark, `word` for anything else.
        text: the value, without quotes.
        line: the number of the line in the query, from 1.
    """

    kind: str
    text: str
    line: int


def tokenize(query: str, pattern: re.Pattern[str], unquote: Callable[[str], str]) -> list[QueryToken]:
    """Split a query into tokens. `pattern` has one group for each kind of token: `text`, `word`, `mark`, `skip` for
    characters that become no token, and `comment` for the start of a comment that ends with `*/`.

    Raises:
        RuleFileError: `pattern` does not match, for example because a quote has no end; or the query is too long.
    """
    if len(query) > _MAX_QUERY:
        raise RuleFileError(f"the query has more than {_MAX_QUERY:,} characters; split the rule")
    found: list[QueryToken] = []
    ends = [end.start() for end in re.finditer(r"\*/", query)]
    at, line = 0, 1
    while at < len(query):
        piece = pattern.match(query, at)
        kind = (piece and piece.lastgroup) or "skip"
        after = _end_of_comment(query, at, ends) if kind == "comment" else piece.end() if piece else at
        if piece is None or after == at:
            what = "the comment has no end:" if kind == "comment" else "cannot read"
            raise RuleFileError(f"line {line} of the query: {what} {query[at : at + 20]!r}")
        if kind not in ("skip", "comment"):
            found.append(QueryToken(kind, unquote(piece[0]) if kind == "text" else piece[0], line))
        line += query.count("\n", at, after)
        at = after
    return found


def _end_of_comment(query: str, start: int, ends: Sequence[int]) -> int:
    """Return the index after the comment that begins at `start`; `start` if the comment has no end. `ends` has the
    index of each `*/` in `query`.

    A comment may contain comments. As in Elasticsearch's grammar, a `/*` inside a comment is only text if the query has
    too few `*/` after it.
    """
    depth, at = 1, start + 2
    while bound := _BOUND.search(query, at):
        at = bound.end()
        if bound[0] == "*/":
            depth -= 1
            if not depth:
                return at
        elif len(ends) - bisect_left(ends, at) > depth:
            depth += 1
        else:
            at -= 1  # only the slash is text: `/*/` may end the comment
    return start


class TokenReader:
    """Reads tokens one after the other. In all languages, `and`, `or` and `not` may be in upper or lower case."""

    def __init__(self, found: Sequence[QueryToken]) -> None:
        self._tokens = found
        self._at = 0

    @property
    def place(self) -> int:
        """The index of the next token."""
        return self._at

    def between(self, start: int, end: int) -> Sequence[QueryToken]:
        return self._tokens[start:end]

    def next(self) -> QueryToken | None:
        """Return the next token without taking it; None at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self, *kinds: str) -> QueryToken:
        """Take and return the next token. If `kinds` are given, the token must have one of these kinds.

        Raises:
            RuleFileError: the query has ended, or the token has another kind.
        """
        token = self.next()
        if token is None:
            raise RuleFileError("the query ends too early")
        if kinds and token.kind not in kinds:
            expected = "a value" if "text" in kinds else "a name without quotes"
            raise RuleFileError(f"line {token.line} of the query: found {token.text!r}, but {expected} was expected")
        self._at += 1
        return token

    def at(self, *texts: str) -> bool:
        """Whether the next token is not quoted and equals one of `texts`, in upper or lower case."""
        token = self.next()
        return token is not None and token.kind != "text" and token.text.lower() in texts

    def skip(self, *texts: str) -> bool:
        """Take the next token if `at(*texts)` is true. Return whether a token was taken."""
        found = self.at(*texts)
        self._at += found
        return found

    def expect(self, text: str) -> None:
        """Take the next token, which must be `text`.

        Raises:
            RuleFileError: the next token is not `text`, or the query has ended.
        """
        token = self.next()
        if not self.skip(text):
            found = f"line {token.line} of the query: {token.text!r} where" if token else "the query ends where"
            raise RuleFileError(f"{found} {text!r} was expected")

    def condition(self, operand: Callable[[], Condition]) -> Condition:
        """Read operands that `and`, `or` and `not` join, and return their condition. `not` binds closest, `or` loosest.
        `operand` reads one operand, which may be a condition in brackets."""
        parts = [self._all(operand)]
        while self.skip("or"):
            parts.append(self._all(operand))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self, operand: Callable[[], Condition]) -> Condition:
        parts = [self._one(operand)]
        while self.skip("and"):
            parts.append(self._one(operand))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self, operand: Callable[[], Condition]) -> Condition:
        if self.skip("not"):
            return Not(self._one(operand))
        return operand()

    def at_joint(self) -> bool:
        """Whether the next token is `and` or `or`."""
        return self.at("and", "or")
