"""Patterns for texts: exact values, wildcards and regular expressions.

Regular expressions are matched in linear time, with Google's RE2. Python's `re` backtracks, so that an expression such
as `(a+)+$` can take years for a text that an attacker chose. RE2 follows all alternatives at once. RE2 has no
backreferences and no lookaround.
"""

import re
from collections.abc import Callable

import msgspec
import re2

from forwarder.core.errors import RuleFileError

_MAX_EXPRESSION = 10_000
"""The maximum number of characters of an expression. RE2 itself refuses an expression that needs more than 8 MiB."""


class Pattern(msgspec.Struct, frozen=True):
    """A pattern for the values of a field.

    Attributes:
        text: the pattern as the rule writes it.
        literal: whether exactly one value matches, so that `text` is the name of an event type.
    """

    text: str
    matches: Callable[[str], bool]
    literal: bool


def exactly(text: str, *, any_case: bool = False) -> Pattern:
    if any_case:
        return Pattern(text, lambda value: value.lower() == text.lower(), literal=True)
    return Pattern(text, lambda value: value == text, literal=True)


def wildcard(text: str, *, one: str = "", any_case: bool = False) -> Pattern:
    """Return a pattern for `text`.

    In `text`, `*` stands for any characters, and a backslash makes the next character literal. `one` is the wildcard
    for a single character; empty if the language has none.
    """
    pieces = re.findall(r"\\.|.", text, re.DOTALL)
    if "*" not in pieces and (not one or one not in pieces):
        return exactly("".join(piece[-1] for piece in pieces), any_case=any_case)
    between: list[str] = [""]
    for piece in pieces:
        if piece == "*":
            between.append("")
        else:
            between[-1] += "." if piece == one else re.escape(piece[-1])
    source = between[0]
    if len(between) > 1:
        # Each part is tried only at the first place where it matches, so a pattern with many `*` is fast too.
        source += "".join(f"(?>.*?{part})" for part in between[1:-1] if part) + f".*{between[-1]}"
    compiled = re.compile(source, re.DOTALL | (re.IGNORECASE if any_case else 0))
    return Pattern(text, lambda value: compiled.fullmatch(value) is not None, literal=False)


def expression(text: str, *, whole: bool = True, any_case: bool = False) -> Pattern | None:
    """Return a pattern for the regular expression `text`; None if the expression cannot be read. The expression must
    match the whole value, or, if `whole` is false, any part of it."""
    if not whole:
        flags = re.match(r"(?:\(\?[aiLmsux]+\))?", text)  # only allowed at the start
        start = flags.end() if flags else 0
        text = f"{text[:start]}.*(?:{text[start:]}).*"
    try:
        matches = full_match(text, any_case=any_case)
    except RuleFileError:
        return None
    return Pattern(text, matches, literal=False)


def search(source: str, *, flags: str = "") -> Callable[[bytes], bool]:
    """Return a function that finds out whether the expression `source` matches any part of a text. The text must come
    from `encoded`.

    Raises:
        RuleFileError: the expression cannot be read, or is too long.
    """
    found = _compiled(f"(?{flags}){source}" if flags else source, source)
    return lambda text: found.search(text) is not None


def full_match(source: str, *, any_case: bool = False) -> Callable[[str], bool]:
    """Return a function that finds out whether the expression `source` matches a whole text. `.` also matches a line
    break.

    Raises:
        RuleFileError: the expression cannot be read, or is too long.
    """
    found = _compiled(f"(?{'is' if any_case else 's'}){source}", source)
    return lambda text: found.fullmatch(encoded(text)) is not None


def encoded(text: str) -> bytes:
    """Return `text` in UTF-8. Lone surrogates become question marks: JSON can contain them, but UTF-8 cannot."""
    return text.encode("utf-8", "replace")


def escape(text: str) -> str:
    """Return the regular expression that matches `text` and nothing else."""
    found: str = re2.escape(text)
    return found


def _compiled(expression: str, source: str) -> "re2._Regexp":
    if len(source) > _MAX_EXPRESSION:
        raise RuleFileError(f"a regular expression has more than {_MAX_EXPRESSION:,} characters; shorten it")
    options = re2.Options()
    options.log_errors = False  # RE2 would write them to stderr, not into the log
    options.never_capture = True  # a search in 1 MB takes 2 ms; with groups it takes 140 ms
    try:
        # Compile bytes: for a str, RE2's binding counts the characters before each match.
        return re2.compile(expression.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0].decode() if isinstance(error, re2.error) else "it contains half of a surrogate pair"
        raise RuleFileError(f"cannot read the regular expression {source[:50]!r}: {reason}") from None
