"""Finds out whether event hooks deliver the events that detection rules need, or only the System Log has these
events."""

import difflib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from operator import and_, or_

import msgspec

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.core.wording import without_middle
from forwarder.rules.conditions.condition import And, Condition, Known, Not, Or, TypeIs, named, possible
from forwarder.rules.conditions.patterns import Pattern
from forwarder.rules.conditions.rule import Rule
from forwarder.rules.legacy_event_types import became, is_legacy

_MAX_SUGGESTIONS = 500
"""The maximum number of names, over all rules, that get a suggestion. Each suggestion takes some milliseconds."""
_MAX_NAME = 200
_MAX_CHECKED = 100
"""The maximum number of unknown names for which `_excluded` checks whether a `not` excludes them. Each check evaluates
the whole condition."""

Catalogue = Mapping[str, tuple[str, ...]]


class FedBy(StrEnum):
    """Where the events of a rule come from."""

    HOOKS = "hooks"
    """Event hooks deliver every event type that the rule names."""
    PARTLY = "partly"
    """Event hooks deliver some of the event types that the rule names."""
    SYSTEM_LOG = "system_log"
    """Event hooks deliver none of the event types that the rule names."""
    UNKNOWN = "unknown"
    """The rule names no event type."""
    NO_SUCH_TYPE = "no_such_type"
    """None of the event types that the rule names exists."""


class Coverage(msgspec.Struct, frozen=True):
    """The event types that a rule names, grouped by the source of their events.

    Attributes:
        unknown: types that are not in Okta's catalogue. The value of each is the type that was probably meant; None if
            there is no suggestion.
    """

    rule: Rule
    by_hooks: tuple[str, ...]
    only_system_log: tuple[str, ...]
    unknown: dict[str, str | None]

    @property
    def fed_by(self) -> FedBy:
        """Where the events of the rule come from. Types that do not exist are ignored, unless the rule names no other
        type."""
        if self.by_hooks:
            return FedBy.PARTLY if self.only_system_log else FedBy.HOOKS
        if self.only_system_log:
            return FedBy.SYSTEM_LOG
        return FedBy.NO_SUCH_TYPE if self.unknown else FedBy.UNKNOWN


class Suggestions:
    """Suggests the event type that an unknown name probably means, for a limited number of names."""

    def __init__(self, catalogue: Catalogue = EVENT_TYPES) -> None:
        self._by_lower = {known.lower(): known for known in catalogue}
        self._found: dict[str, str | None] = {}

    def nearest(self, name: str) -> str | None:
        """Return the event type that is most similar to `name`. Return None if no type is similar, or if the maximum
        number of suggestions is reached."""
        if is_legacy(name):
            return became(name)
        if name not in self._found and len(self._found) < _MAX_SUGGESTIONS and len(name) <= _MAX_NAME:
            near = difflib.get_close_matches(name.lower().strip("* "), self._by_lower, n=1)
            self._found[name] = self._by_lower[near[0]] if near else None
        return self._found.get(name)


def coverage(rule: Rule, catalogue: Catalogue = EVENT_TYPES, suggestions: Suggestions | None = None) -> Coverage | None:
    """Look up the event types of `rule`; return None if the rule is not about Okta.

    Pass the same `suggestions` for all rules of a run, because this object limits the number of suggestions.
    """
    if rule.okta is False:
        return None
    known: set[str] = set()
    unknown: set[str] = set()
    for condition in rule.conditions:
        found, missing = _types(condition, catalogue)
        known |= found
        unknown |= missing
    if rule.okta is None and not known:
        return None
    suggestions = suggestions or Suggestions(catalogue)
    eligible = {name for name in known if HOOK_ELIGIBLE in catalogue[name]}
    return Coverage(
        rule=rule,
        by_hooks=tuple(sorted(eligible)),
        only_system_log=tuple(sorted(known - eligible)),
        unknown={without_middle(name): suggestions.nearest(name) for name in sorted(unknown)},
    )


def _types(condition: Condition, catalogue: Catalogue) -> tuple[set[str], set[str]]:
    """Return the event types that `condition` names and does not exclude, in two sets.

    The first set has the types in `catalogue`. The second has the texts of the patterns that match no type in
    `catalogue`.
    """
    names = _Names(tuple(catalogue))
    patterns = {(pattern.text, pattern.literal): pattern for pattern in named(condition)}
    matched = 0
    missing: set[str] = set()
    for pattern in patterns.values():
        found = names.matching(pattern)
        matched |= found
        if not found and (len(missing) >= _MAX_CHECKED or not _excluded(condition, pattern)):
            missing.add(pattern.text)
    return names.of(matched & names.possible(condition)[0]), missing


class _Names:
    """Looks up many names of event types at once. A set of names is an integer with one bit for each name. This is
    fast even if a rule has thousands of patterns, and each pattern matches many names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._all = (1 << len(names)) - 1
        self._by_lower = _by_lower(names)
        self._matching: dict[int, int] = {}

    def of(self, found: int) -> set[str]:
        """Return the names in the set `found`."""
        return {name for at, name in enumerate(self._names) if found >> at & 1}

    def matching(self, pattern: Pattern) -> int:
        """Return the set of the names that `pattern` matches, as an integer."""
        found = self._matching.get(id(pattern))
        if found is None:
            # A literal can match only its own text, in upper or lower case.
            all_names = range(len(self._names))
            candidates = self._by_lower.get(pattern.text.lower(), ()) if pattern.literal else all_names
            found = sum(1 << at for at in candidates if pattern.matches(self._names[at]))
            self._matching[id(pattern)] = found
        return found

    def possible(self, condition: Condition) -> tuple[int, int]:
        """Return two sets of event types: those whose events may match `condition`, and those whose events all match
        `condition`."""
        match condition:
            case TypeIs(pattern):
                found = self.matching(pattern)
                return found, found
            case Known(value):
                return (self._all, self._all) if value else (0, 0)
            case And(parts) | Or(parts):
                join = or_ if isinstance(condition, Or) else and_
                found, always = (0, 0) if join is or_ else (self._all, self._all)
                for part in parts:
                    may, must = self.possible(part)
                    found, always = join(found, may), join(always, must)
                return found, always
            case Not(part):
                may, must = self.possible(part)
                return self._all ^ must, self._all ^ may
        return self._all, 0


@cache
def _by_lower(names: tuple[str, ...]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        found.setdefault(name.lower(), []).append(at)
    return found


def _excluded(condition: Condition, pattern: Pattern) -> bool:
    # A pattern with wildcards matches its own text, so the text can be tried as if it were an event type.
    # Most regular expressions do not match their own text.
    return pattern.matches(pattern.text) and possible(condition, pattern.text) is False


def counts(found: Iterable[Coverage]) -> dict[FedBy, int]:
    """Return the number of rules in `found` for each FedBy."""
    kinds = [each.fed_by for each in found]
    return {kind: kinds.count(kind) for kind in FedBy}
