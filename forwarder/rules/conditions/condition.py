"""What a rule's query says about event types, in whatever language it is written.

A query becomes a tree. Its leaves are tests of the event type, tests of the source of a document, and everything else,
which may be true or false. The tree answers two questions: which types does it name, and can an event of such a type
match at all? `user.mfa.* and not user.mfa.factor.update` names `user.mfa.factor.update`, but cannot match it.
"""

import re
from collections.abc import Callable, Iterator

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.regex import full_match
from forwarder.rules.legacy_event_types import became

_MAX_PATTERNS = 2_000
"""Each pattern with wildcards and each regular expression takes about a millisecond for all event types."""
_TYPE_FIELDS = {"eventtype", "event.action"}
_SOURCE = {
    "data_stream.dataset": "okta.system",
    "data_stream.type": "logs",
    "event.dataset": "okta.system",
    "event.module": "okta",
}


class Pattern(msgspec.Struct, frozen=True):
    """What a value is compared with. `text` is the pattern as the rule writes it. `literal` is true if
    exactly one value matches, so that `text` is the name of an event type."""

    text: str
    matches: Callable[[str], bool]
    literal: bool


class TypeIs(msgspec.Struct, frozen=True):
    """The event type matches `pattern`."""

    pattern: Pattern


class Known(msgspec.Struct, frozen=True):
    """A condition that has the same value for every Okta event: `data_stream.dataset: okta.system` is true
    for all of them."""

    value: bool


class Unknown(msgspec.Struct, frozen=True):
    """A condition that may be true or false. `inner` holds the conditions inside it, such as the arguments of
    a function, because they may name event types."""

    inner: "tuple[Condition, ...]" = ()


class And(msgspec.Struct, frozen=True):
    """All of `parts`."""

    parts: "tuple[Condition, ...]"


class Or(msgspec.Struct, frozen=True):
    """At least one of `parts`."""

    parts: "tuple[Condition, ...]"


class Not(msgspec.Struct, frozen=True):
    """The opposite of `part`."""

    part: "Condition"


Condition = TypeIs | Known | Unknown | And | Or | Not


def exactly(text: str, *, any_case: bool = False) -> Pattern:
    """Match exactly `text`."""
    if any_case:
        return Pattern(text, lambda value: value.lower() == text.lower(), literal=True)
    return Pattern(text, lambda value: value == text, literal=True)


def wildcard(text: str, *, one: str = "", any_case: bool = False) -> Pattern:
    """Match `text` with wildcards. `*` stands for any characters, and `one` is the wildcard for a single
    character (empty if the language has none). A backslash makes the next character literal."""
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
        # Each part matches at its first possible place and is tried at no other, so many `*` are fast too.
        source += "".join(f"(?>.*?{part})" for part in between[1:-1] if part) + f".*{between[-1]}"
    compiled = re.compile(source, re.DOTALL | (re.IGNORECASE if any_case else 0))
    return Pattern(text, lambda value: compiled.fullmatch(value) is not None, literal=False)


def expression(text: str, *, whole: bool = True, any_case: bool = False) -> Pattern | None:
    """Match the regular expression `text` against the whole value, or (`whole=False`) any part of it. Return
    None if the expression cannot be read."""
    if not whole:
        flags = re.match(r"(?:\(\?[aiLmsux]+\))?", text)  # only allowed at the start
        start = flags.end() if flags else 0
        text = f"{text[:start]}.*(?:{text[start:]}).*"
    try:
        matches = full_match(text, any_case=any_case)
    except RuleFileError:
        return None
    return Pattern(text, matches, literal=False)


def is_type_field(field: str) -> bool:
    """Whether a field of this name holds Okta's event type, in the spelling of Okta, Sigma or Elastic."""
    folded = field.lower().replace("_", "")
    return folded in _TYPE_FIELDS or folded.endswith((".eventtype", ".event.action"))


def _is_legacy_field(field: str) -> bool:
    """Whether a field of this name holds the type of Okta's old Events API."""
    return field.lower().replace("_", "").rpartition(".")[2] == "legacyeventtype"


def compared(field: str, pattern: Pattern | None) -> Condition:
    """Return the condition that `field` matches `pattern`. It is Unknown if the pattern is None or matches
    everything, or if the field is neither the event type nor the source of a document."""
    if pattern is None or not pattern.text.strip("*%"):
        return Unknown()
    if is_type_field(field):
        return TypeIs(pattern)
    if _is_legacy_field(field) and pattern.literal and (event_type := became(pattern.text)):
        return Unknown((TypeIs(exactly(event_type)),))  # several old names became one type
    source = _SOURCE.get(field.lower())
    return Known(pattern.matches(source)) if source else Unknown()


def named(condition: Condition, *, positive: bool = True) -> Iterator[Pattern]:
    """Yield the patterns of the event types that `condition` asks for, without those that a `not`
    excludes."""
    match condition:
        case TypeIs(pattern) if positive:
            yield pattern
        case And(parts) | Or(parts) | Unknown(parts):
            for part in parts:
                yield from named(part, positive=positive)
        case Not(part):
            yield from named(part, positive=not positive)


def check_patterns(condition: Condition) -> int:
    """Check that it takes seconds at most to look up the event types that `condition` names. Return how many patterns it has
    that each type must be compared with.

    Raises:
        RuleFileError: it has too many patterns that each type must be compared with.
    """
    found, left = [condition], _MAX_PATTERNS
    while found:
        match found.pop():
            case TypeIs(Pattern(literal=False)):
                left -= 1
            case And(parts) | Or(parts) | Unknown(parts):
                found += parts
            case Not(part):
                found.append(part)
        if left < 0:
            raise RuleFileError(
                f"compares the event type with more than {_MAX_PATTERNS:,} patterns; name the types, or split the rule"
            )
    return _MAX_PATTERNS - left


def possible(condition: Condition, event_type: str) -> bool | None:
    """Whether an Okta event of type `event_type` matches `condition`; None if other fields of the event
    decide it."""
    match condition:
        case TypeIs(pattern):
            return pattern.matches(event_type)
        case Known(value):
            return value
        case And(parts) | Or(parts):
            decisive = isinstance(condition, Or)  # one part with this result decides
            found: bool | None = not decisive
            for part in parts:
                inside = possible(part, event_type)
                if inside is decisive:
                    return decisive
                found = None if inside is None else found
            return found
        case Not(part):
            inside = possible(part, event_type)
            return None if inside is None else not inside
    return None
