"""Matches regular expressions in linear time, whatever a rule holds and whatever an attacker sends, by Google's RE2.

Python's `re` tries one way through an expression after the other, so `(a+)+$` can take years. RE2 follows all ways at once;
it has no references back to a group, and no looking ahead or behind.
"""

from collections.abc import Callable

import re2

from forwarder.core.errors import RuleFileError

_MAX_EXPRESSION = 10_000
"""Characters; RE2 also refuses what would need more than 8 MiB."""


def search(source: str, *, flags: str = "") -> Callable[[bytes], bool]:
    """Return a function that says whether the expression `source` matches any part of a text in UTF-8: see
    `encoded`.

    Raises:
        RuleFileError: it cannot be read, or is too long.
    """
    found = _compiled(f"(?{flags}){source}" if flags else source, source)
    return lambda text: found.search(text) is not None


def full_match(source: str, *, any_case: bool = False) -> Callable[[str], bool]:
    """Return a function that says whether the expression `source` matches a whole text; `.` matches a line
    break.

    Raises:
        RuleFileError: it cannot be read, or is too long.
    """
    found = _compiled(f"(?{'is' if any_case else 's'}){source}", source)
    return lambda text: found.fullmatch(encoded(text)) is not None


def encoded(text: str) -> bytes:
    """Return `text` in UTF-8. Lone surrogates, which JSON can hold and UTF-8 cannot, become question
    marks."""
    return text.encode("utf-8", "replace")


def escape(text: str) -> str:
    """Return the regular expression that matches `text` and nothing else."""
    found: str = re2.escape(text)
    return found


def _compiled(expression: str, source: str) -> "re2._Regexp":
    if len(source) > _MAX_EXPRESSION:
        raise RuleFileError(f"a regular expression has more than {_MAX_EXPRESSION:,} characters")
    options = re2.Options()
    options.log_errors = False  # they would go to stderr, past the log
    options.never_capture = True  # finding the groups in 1 MB takes 140 ms, without them it takes 2 ms
    try:
        # As bytes in UTF-8, because RE2's binding counts the characters of a text before each match.
        return re2.compile(expression.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0].decode() if isinstance(error, re2.error) else "it holds a lone surrogate"
        raise RuleFileError(f"cannot read the regular expression {source[:50]!r}: {reason}") from None
