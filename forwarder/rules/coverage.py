"""Says of detection rules whether event hooks feed them, or only the System Log does."""

import difflib
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.rules.condition import Condition, Pattern, named, possible
from forwarder.rules.rule import Rule

Catalogue = Mapping[str, tuple[str, ...]]


class FedBy(StrEnum):
    """What brings the events that a rule looks for."""

    HOOKS = "hooks"
    """Event hooks carry every type that it names."""
    PARTLY = "partly"
    """Event hooks carry some of them."""
    SYSTEM_LOG = "system_log"
    """Event hooks carry none of them."""
    UNDECIDED = "undecided"
    """It names no type, so it takes what comes."""
    NOTHING = "nothing"
    """None of the types that it names exists."""


class Coverage(msgspec.Struct, frozen=True):
    """What a rule needs.

    Attributes:
        rule: the rule.
        by_hooks: types that it names, and event hooks carry.
        only_system_log: types that it names, and only the System Log has.
        unknown: types that it names, and Okta's catalogue does not; each with the nearest name in it, or None.
    """

    rule: Rule
    by_hooks: tuple[str, ...]
    only_system_log: tuple[str, ...]
    unknown: dict[str, str | None]

    @property
    def fed_by(self) -> FedBy:
        """What brings its events; types that do not exist are not asked."""
        if self.by_hooks:
            return FedBy.PARTLY if self.only_system_log else FedBy.HOOKS
        if self.only_system_log:
            return FedBy.SYSTEM_LOG
        return FedBy.NOTHING if self.unknown else FedBy.UNDECIDED


def coverage(rule: Rule, catalogue: Catalogue = EVENT_TYPES) -> Coverage | None:
    """What `rule` needs; None if it is not about Okta.

    Args:
        rule: the rule.
        catalogue: event types with their tags.
    """
    if rule.okta is False:
        return None
    known: set[str] = set()
    unknown: set[str] = set()
    for condition in rule.conditions:
        for pattern in named(condition):
            found, missing = _types(condition, pattern, catalogue)
            known |= found
            unknown |= missing
    if rule.okta is None and not known:
        return None
    eligible = {name for name in known if HOOK_ELIGIBLE in catalogue[name]}
    return Coverage(
        rule=rule,
        by_hooks=tuple(sorted(eligible)),
        only_system_log=tuple(sorted(known - eligible)),
        unknown={name: _near(name, catalogue) for name in sorted(unknown)},
    )


def _types(condition: Condition, pattern: Pattern, catalogue: Catalogue) -> tuple[set[str], set[str]]:
    """The types that `pattern` stands for: those that exist, and its text if none does.

    A type that the rest of the condition forbids is not looked for, so it is neither.
    """
    found = {name for name in catalogue if pattern.matches(name)}
    if not found:
        # A wildcard fits its own text, so that it can stand for a type here; most regular expressions do not.
        forbidden = pattern.matches(pattern.text) and possible(condition, pattern.text) is False
        return set(), set() if forbidden else {pattern.text}
    return {name for name in found if possible(condition, name) is not False}, set()


def _near(name: str, catalogue: Catalogue) -> str | None:
    by_lower = {known.lower(): known for known in catalogue}
    near = difflib.get_close_matches(name.lower().strip("*"), by_lower, n=1)
    return by_lower[near[0]] if near else None


def counts(found: Iterable[Coverage]) -> dict[FedBy, int]:
    """How many rules are fed by what."""
    kinds = [each.fed_by for each in found]
    return {kind: kinds.count(kind) for kind in FedBy}
