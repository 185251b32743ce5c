"""A rule's query, in any language, reduced to what it says about event types.

A query becomes a tree. The leaves of the tree are tests of the event type, tests of the source of a document, and
unknowns: tests whose result is not known here. The tree answers two questions. Which event types does the query name?
Can an event of a given type match? `user.mfa.* and not user.mfa.factor.update` names `user.mfa.factor.update`, but an
event of this type cannot match.
"""

from collections.abc import Iterator

import msgspec

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.patterns import Pattern, exactly
from forwarder.rules.legacy_event_types import became

_MAX_PATTERNS = 2_000
"""The maximum number of patterns in a rule. To compare a pattern with all event types takes about a millisecond if it
is a regular expression or has wildcards."""
_TYPE_FIELDS = {"eventtype", "event.action"}
_SOURCE = {
    "data_stream.dataset": "okta.system",
    "data_stream.type": "logs",
    "event.dataset": "okta.system",
    "event.module": "okta",
}


class TypeIs(msgspec.Struct, frozen=True):
    """The condition that the event type matches `pattern`."""

    pattern: Pattern


class Known(msgspec.Struct, frozen=True):
    """A condition with the same result for every Okta event. For example, `data_stream.dataset: okta.system` is always
    true."""

    value: bool


class Unknown(msgspec.Struct, frozen=True):
    """A condition whose result is not known here. `inner` has the conditions inside it, such as the arguments of a
    function, because the inner conditions may name event types."""

    inner: "tuple[Condition, ...]" = ()


class And(msgspec.Struct, frozen=True):
    """The condition that all of `parts` are true."""

    parts: "tuple[Condition, ...]"


class Or(msgspec.Struct, frozen=True):
    """The condition that at least one of `parts` is true."""

    parts: "tuple[Condition, ...]"


class Not(msgspec.Struct, frozen=True):
    """The condition that `part` is false."""

    part: "Condition"


Condition = TypeIs | Known | Unknown | And | Or | Not


def is_type_field(field: str) -> bool:
    """Whether a field of this name contains Okta's event type. The name may be spelled as in Okta, Sigma or Elastic."""
    folded = field.lower().replace("_", "")
    return folded in _TYPE_FIELDS or folded.endswith((".eventtype", ".event.action"))


def _is_legacy_field(field: str) -> bool:
    """Whether a field of this name contains the event type of Okta's old Events API."""
    return field.lower().replace("_", "").rpartition(".")[2] == "legacyeventtype"


def compared(field: str, pattern: Pattern | None) -> Condition:
    """Return the condition that `field` matches `pattern`.

    Return Unknown if `pattern` is None or matches everything. Also return Unknown if `field` contains neither the event
    type nor the source of a document.
    """
    if pattern is None or not pattern.text.strip("*%"):
        return Unknown()
    if is_type_field(field):
        return TypeIs(pattern)
    if _is_legacy_field(field) and pattern.literal and (event_type := became(pattern.text)):
        return Unknown((TypeIs(exactly(event_type)),))  # several old names became one type
    source = _SOURCE.get(field.lower())
    return Known(pattern.matches(source)) if source else Unknown()


def leaves(condition: Condition) -> Iterator[Condition]:
    """Yield the leaves of the tree `condition` from left to right. A leaf is a test that is not itself an `and`, `or`
    or `not`."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case _:
            yield condition


def named(condition: Condition, *, positive: bool = True) -> Iterator[Pattern]:
    """Yield the patterns of the event types that `condition` asks for. Types that a `not` excludes are left out."""
    match condition:
        case TypeIs(pattern) if positive:
            yield pattern
        case And(parts) | Or(parts) | Unknown(parts):
            for part in parts:
                yield from named(part, positive=positive)
        case Not(part):
            yield from named(part, positive=not positive)


def check_patterns(condition: Condition) -> int:
    """Count the patterns of `condition` that are not literal. Each of them must be compared with every event type.

    Raises:
        RuleFileError: the condition has more than `_MAX_PATTERNS` of these patterns, so that the look-up of its event
            types would take too long.
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
                f"the rule compares the event type with more than {_MAX_PATTERNS:,} patterns; name the types, or split the rule"
            )
    return _MAX_PATTERNS - left


def possible(condition: Condition, event_type: str) -> bool | None:
    """Whether an Okta event of the type `event_type` matches `condition`; None if this depends on other fields of the
    event."""
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
