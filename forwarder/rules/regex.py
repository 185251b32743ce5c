"""Matches regular expressions in linear time, whatever a rule holds and whatever an attacker sends, by Google's RE2.

Python's `re` tries one way through an expression after the other, so `(a+)+$` can take years. RE2 follows all ways at once;
it has no references back to a group, and no looking ahead or behind.
"""

from collections.abc import Callable

import re2

from forwarder.core.errors import RuleFileError

_MAX_EXPRESSION = 10_000
"""Characters; RE2 also refuses what would need more than 8 MiB."""


def search(source: str, *, flags: str = "") -> Callable[[str], bool]:
    """Return a function that tells whether an expression matches any part of a text. `flags` are those of RE2: i, m, s.

    Raises:
        RuleFileError: it cannot be read, or is too long.
    """
    return _compiled(f"(?{flags}){source}" if flags else source, source).search


def full_match(source: str, *, any_case: bool = False) -> Callable[[str], bool]:
    """Return a function that tells whether an expression matches a whole text, with its line breaks.

    Raises:
        RuleFileError: it cannot be read, or is too long.
    """
    return _compiled(f"(?{'is' if any_case else 's'}){source}", source).fullmatch


def escape(text: str) -> str:
    """Return the expression that matches this text only."""
    found: str = re2.escape(text)
    return found


def _compiled(expression: str, source: str) -> "_Expression":
    if len(source) > _MAX_EXPRESSION:
        raise RuleFileError(f"a regular expression has more than {_MAX_EXPRESSION:,} characters")
    options = re2.Options()
    options.log_errors = False  # they would go to stderr, past the log
    options.never_capture = True  # finding the groups in 1 MB takes 140 ms, without them it takes 2 ms
    try:
        return _Expression(re2.compile(expression, options))
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise RuleFileError(f"cannot read the regular expression {source[:50]!r}: {reason}") from None


class _Expression:
    """An expression that matches texts with lone surrogates too, which JSON can hold and UTF-8 cannot."""

    def __init__(self, compiled: "re2._Regexp") -> None:
        self._compiled = compiled

    def search(self, text: str) -> bool:
        try:
            return self._compiled.search(text) is not None
        except UnicodeEncodeError:
            return self._compiled.search(_encodable(text)) is not None

    def fullmatch(self, text: str) -> bool:
        try:
            return self._compiled.fullmatch(text) is not None
        except UnicodeEncodeError:
            return self._compiled.fullmatch(_encodable(text)) is not None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
