"""What the readers of all query languages share: signs with their line, and `and`, `or`, `not` between conditions."""

import re
from collections.abc import Callable, Sequence

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.rules.condition import Condition, Either, Every, Not


class Sign(msgspec.Struct, frozen=True):
    """One piece of a query.

    Attributes:
        kind: `text` (it was quoted; `text` holds what it says), `word` or `mark`.
        text: the piece.
        line: where it stands in the query, from 1.
    """

    kind: str
    text: str
    line: int


def signs(query: str, pattern: re.Pattern[str], unquote: Callable[[str], str]) -> list[Sign]:
    """Cut a query into its signs.

    Args:
        query: the query.
        pattern: one group for each kind: `skip` (left out), `text`, `word`, `mark`.
        unquote: what a quoted text says.

    Raises:
        RuleFileError: there is something that `pattern` does not know, as a quote that is never closed.
    """
    found: list[Sign] = []
    at = 0
    while at < len(query):
        line = query.count("\n", 0, at) + 1
        piece = pattern.match(query, at)
        if piece is None or piece.end() == at:
            raise RuleFileError(f"line {line} of the query: cannot read {query[at : at + 20]!r}")
        kind = piece.lastgroup or "skip"
        if kind != "skip":
            found.append(Sign(kind, unquote(piece[0]) if kind == "text" else piece[0], line))
        at = piece.end()
    return found


class Reader:
    """Reads signs one after the other.

    Args:
        found: the signs.
        words: what stands for `and`, `or` and `not`, each in any case.
    """

    def __init__(self, found: Sequence[Sign], words: tuple[str, str, str] = ("and", "or", "not")) -> None:
        self._signs = found
        self._at = 0
        self._and, self._or, self._not = words

    @property
    def place(self) -> int:
        """The index of the sign that comes next."""
        return self._at

    def between(self, start: int, end: int) -> Sequence[Sign]:
        """The signs from one place to another."""
        return self._signs[start:end]

    def next(self) -> Sign | None:
        """The sign that comes next, or None at the end."""
        return self._signs[self._at] if self._at < len(self._signs) else None

    def take(self) -> Sign:
        """Go past the next sign, and give it.

        Raises:
            RuleFileError: there is none.
        """
        sign = self.next()
        if sign is None:
            raise RuleFileError("the query ends too early")
        self._at += 1
        return sign

    def at(self, *texts: str) -> bool:
        """Does one of these come next, not quoted? Words in any case."""
        sign = self.next()
        return sign is not None and sign.kind != "text" and sign.text.lower() in texts

    def skip(self, *texts: str) -> bool:
        """Go past the next sign if it is one of these."""
        found = self.at(*texts)
        self._at += found
        return found

    def expect(self, text: str) -> None:
        """Go past `text`.

        Raises:
            RuleFileError: something else comes.
        """
        sign = self.next()
        if not self.skip(text):
            found = f"line {sign.line} of the query: {sign.text!r} where" if sign else "the query ends where"
            raise RuleFileError(f"{found} {text!r} should come")

    def condition(self, operand: Callable[[], Condition]) -> Condition:
        """Read what `and`, `or` and `not` join; `not` binds closest, `or` loosest.

        Args:
            operand: reads what stands between them, brackets included.
        """
        parts = [self._all(operand)]
        while self.skip(self._or):
            parts.append(self._all(operand))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _all(self, operand: Callable[[], Condition]) -> Condition:
        parts = [self._one(operand)]
        while self.skip(self._and):
            parts.append(self._one(operand))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _one(self, operand: Callable[[], Condition]) -> Condition:
        if self.skip(self._not):
            return Not(self._one(operand))
        return operand()

    def at_joint(self) -> bool:
        """Does `and` or `or` come next?"""
        return self.at(self._and, self._or)
