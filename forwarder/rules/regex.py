"""Matches regular expressions in polynomial time, whatever a rule holds.

Python's `re` tries one way through an expression after the other, so `(a+)+b` or `.*a.*a.*a.*b` can take years. This matcher
follows all ways at once: from the set of indices where a part of an expression starts it computes the set where it ends.
A set of indices is an integer with a bit for each.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from re import _parser  # private, and the same since Python 3.11
from typing import Any

from forwarder.core.errors import RuleFileError

_MAX_EXPRESSION = 1000
_MAX_TEXT = 500
"""Longer texts match nothing; event types have at most some 100 characters."""

_Step = Callable[[str, int], int]
"""From a text and the starts of a part of an expression to its ends."""
_Test = Callable[[str], bool]

_LETTERS = ("ANY", "IN", "LITERAL", "NOT_LITERAL")
_CATEGORIES: dict[str, _Test] = {
    "DIGIT": str.isdigit,
    "SPACE": str.isspace,
    "WORD": lambda letter: letter.isalnum() or letter == "_",
}


def full_match(source: str, *, any_case: bool = False) -> Callable[[str], bool]:
    """Return a function that tells whether a whole text matches an expression in Python's syntax.

    Raises:
        RuleFileError: it cannot be parsed, is too long, or refers back to a group.
    """
    if len(source) > _MAX_EXPRESSION:
        raise RuleFileError(f"a regular expression has more than {_MAX_EXPRESSION} characters")
    try:
        with warnings.catch_warnings(action="ignore"):  # about what a later Python may read differently
            tree = _parser.parse(source, re.IGNORECASE if any_case else 0)
        step = _sequence(tree, any_case=bool(tree.state.flags & re.IGNORECASE))
    except (re.error, OverflowError, RecursionError) as error:
        raise RuleFileError(f"cannot read the regular expression {source[:50]!r}: {error}") from None
    return lambda text: len(text) <= _MAX_TEXT and bool(step(text, 1) >> len(text))


def _sequence(parts: Iterable[Any], *, any_case: bool) -> _Step:
    steps = [_part(str(kind), argument, any_case) for kind, argument in parts]

    def run(text: str, starts: int) -> int:
        for step in steps:
            if not starts:
                break
            starts = step(text, starts)
        return starts

    return run


def _part(kind: str, argument: Any, any_case: bool) -> _Step:  # noqa: FBT001
    match kind:
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, body = argument
            step = _sequence(body, any_case=any_case)
            single = len(body) == 1 and str(body[0][0]) in _LETTERS
            return _repeat(step if single else _remembered(step), int(least), int(most))
        case "SUBPATTERN":
            _, added, _, body = argument
            return _sequence(body, any_case=any_case or bool(added & re.IGNORECASE))
        case "ATOMIC_GROUP":
            return _sequence(argument, any_case=any_case)
        case "BRANCH":
            ways = [_sequence(way, any_case=any_case) for way in argument[1]]
            return lambda text, starts: _union(way(text, starts) for way in ways)
        case "ASSERT" | "ASSERT_NOT":
            return _look(argument, any_case, wanted=kind == "ASSERT")
        case "AT":
            return lambda text, starts: starts & _where(text, str(argument))
    return _letter(kind, argument, any_case)


def _repeat(step: _Step, least: int, most: int) -> _Step:
    def run(text: str, starts: int) -> int:
        for _ in range(least):
            before, starts = starts, step(text, starts)
            if starts in (0, before):
                break
        reached, left = starts, most - least
        while starts and left:
            starts, left = step(text, starts) & ~reached, left - 1
            reached |= starts
        return reached

    return run


def _look(argument: Any, any_case: bool, *, wanted: bool) -> _Step:  # noqa: FBT001
    direction, body = argument
    inner = _sequence(body, any_case=any_case)
    width = body.getwidth()[0] if direction < 0 else 0

    def is_there(text: str, start: int) -> bool:
        found = inner(text, start >> width)
        return bool(found & start if direction < 0 else found)

    return lambda text, starts: _union(one for one in _each(starts) if is_there(text, one) == wanted)


def _where(text: str, place: str) -> int:
    """Return the indices that `^`, `$` and the like stand for."""
    if place.startswith("AT_BEGINNING"):
        return 1
    if place.startswith("AT_END"):
        return 1 << len(text)
    words = [False, *map(_CATEGORIES["WORD"], text), False]
    wanted = place == "AT_BOUNDARY"
    return _union(1 << at for at in range(len(text) + 1) if (words[at] != words[at + 1]) == wanted)


def _letter(kind: str, argument: Any, any_case: bool) -> _Step:  # noqa: FBT001
    test = _letter_test(kind, argument)
    places: dict[str, int] = {}

    def run(text: str, starts: int) -> int:
        if starts.bit_count() == 1:  # most often; then one letter is enough
            at = starts.bit_length() - 1
            return starts << 1 if at < len(text) and matches(text[at]) else 0
        if text not in places:
            places.clear()
            places[text] = _union(1 << at for at, letter in enumerate(text) if matches(letter))
        return (starts & places[text]) << 1

    def matches(letter: str) -> bool:
        return test(letter) or (any_case and (test(letter.lower()) or test(letter.upper())))

    return run


def _letter_test(kind: str, argument: Any) -> _Test:
    match kind:
        case "LITERAL":
            return lambda letter: ord(letter) == argument
        case "NOT_LITERAL":
            return lambda letter: ord(letter) != argument
        case "RANGE":
            return lambda letter: argument[0] <= ord(letter) <= argument[1]
        case "ANY":
            return lambda _: True
        case "CATEGORY":
            name = str(argument).removeprefix("CATEGORY_")
            inner = _CATEGORIES[name.removeprefix("NOT_")]
            return (lambda letter: not inner(letter)) if name.startswith("NOT_") else inner
        case "IN":
            negated = str(argument[0][0]) == "NEGATE"
            tests = [_letter_test(str(item), value) for item, value in argument[negated:]]
            return lambda letter: any(test(letter) for test in tests) != negated
    raise re.error(f"{kind.lower()} is not supported")


def _union(sets: Iterable[int]) -> int:
    found = 0
    for each in sets:
        found |= each
    return found


def _each(indices: int) -> Iterator[int]:
    while indices:
        yield indices & -indices
        indices &= indices - 1


def _remembered(step: _Step) -> _Step:
    """Take a step from the same starts once; without it, repeats in repeats take exponential time."""
    known: dict[int, int] = {}
    about = ""

    def run(text: str, starts: int) -> int:
        nonlocal about
        if text != about:
            about = text
            known.clear()
        if starts not in known:
            known[starts] = step(text, starts)
        return known[starts]

    return run
