"""Finds out whether event hooks carry the events of detection rules, or only the System Log has them."""

import difflib
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.rules.conditions.condition import Condition, Pattern, named, possible
from forwarder.rules.conditions.rule import Rule
from forwarder.rules.legacy_types import became, is_legacy

_MAX_SUGGESTIONS = 50
"""How many names of a rule get a suggestion; each suggestion takes some milliseconds."""
_MAX_NAME = 200
_MAX_CHECKED = 100
"""How many unknown names are checked for being excluded by a condition; each check visits the whole
condition."""

Catalogue = Mapping[str, tuple[str, ...]]


class FedBy(StrEnum):
    """Where the events of a rule come from."""

    HOOKS = "hooks"
    """Event hooks carry every type that the rule names."""
    PARTLY = "partly"
    """Event hooks carry some of the types that the rule names."""
    SYSTEM_LOG = "system_log"
    """Event hooks carry none of the types that the rule names."""
    UNKNOWN = "unknown"
    """The rule names no type."""
    NO_SUCH_TYPE = "no_such_type"
    """None of the types that the rule names exists."""


class Coverage(msgspec.Struct, frozen=True):
    """The event types that a rule names.

    Attributes:
        by_hooks: types that event hooks carry.
        only_system_log: types that only the System Log has.
        unknown: types that are not in Okta's catalogue, each with the type that was probably meant, or None.
    """

    rule: Rule
    by_hooks: tuple[str, ...]
    only_system_log: tuple[str, ...]
    unknown: dict[str, str | None]

    @property
    def fed_by(self) -> FedBy:
        """Where the events of the rule come from; types that do not exist are ignored."""
        if self.by_hooks:
            return FedBy.PARTLY if self.only_system_log else FedBy.HOOKS
        if self.only_system_log:
            return FedBy.SYSTEM_LOG
        return FedBy.NO_SUCH_TYPE if self.unknown else FedBy.UNKNOWN


def coverage(rule: Rule, catalogue: Catalogue = EVENT_TYPES) -> Coverage | None:
    """Look up the event types of `rule` in `catalogue`, which maps each type to its tags. Return None if the
    rule is not about Okta."""
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
    eligible = {name for name in known if HOOK_ELIGIBLE in catalogue[name]}
    return Coverage(
        rule=rule,
        by_hooks=tuple(sorted(eligible)),
        only_system_log=tuple(sorted(known - eligible)),
        unknown=_suggestions(unknown, catalogue),
    )


def _types(condition: Condition, catalogue: Catalogue) -> tuple[set[str], set[str]]:
    """Return two sets for the types that `condition` names and does not exclude: the types in `catalogue`,
    and the texts of the patterns that match none of them."""
    patterns = {(pattern.text, pattern.literal): pattern for pattern in named(condition)}
    by_lower: dict[str, list[str]] = {}
    for name in catalogue:
        by_lower.setdefault(name.lower(), []).append(name)
    matched: set[str] = set()
    missing: set[str] = set()
    for pattern in patterns.values():
        # A rule may list thousands of literal names. Such a name can match only itself, whatever its case.
        candidates = by_lower.get(pattern.text.lower(), ()) if pattern.literal else catalogue
        found = [name for name in candidates if pattern.matches(name)]
        matched.update(found)
        if not found and (len(missing) >= _MAX_CHECKED or not _excluded(condition, pattern)):
            missing.add(pattern.text)
    return {name for name in matched if possible(condition, name) is not False}, missing


def _excluded(condition: Condition, pattern: Pattern) -> bool:
    # A pattern with wildcards matches its own text, so the text can be tried as if it were an event type.
    # Most regular expressions do not match their own text.
    return pattern.matches(pattern.text) and possible(condition, pattern.text) is False


def _suggestions(names: Iterable[str], catalogue: Catalogue) -> dict[str, str | None]:
    by_lower = {known.lower(): known for known in catalogue}
    found: dict[str, str | None] = {}
    for name in sorted(names):
        if is_legacy(name):
            found[name] = became(name)
        elif len(found) < _MAX_SUGGESTIONS and len(name) <= _MAX_NAME:
            near = difflib.get_close_matches(name.lower().strip("* "), by_lower, n=1)
            found[name] = by_lower[near[0]] if near else None
        else:
            found[name] = None
    return found


def counts(found: Iterable[Coverage]) -> dict[FedBy, int]:
    """Count the rules by the source of their events."""
    kinds = [each.fed_by for each in found]
    return {kind: kinds.count(kind) for kind in FedBy}
