"""Finds the event types that a rule can match. The types of a correlation are the types that its rules can match."""

from collections.abc import Callable, Sequence
from functools import cache

from forwarder.rules.conditions.event_fields import Reading
from forwarder.rules.evaluation.ruleset import Ruleset, can_match


def matchable_types(ruleset: Ruleset, types: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return a function that takes a rule's ID, and returns the elements of `types` that the rule can match. A rule
    that names no type can match all types."""
    rules = {rule.id: rule for rule in ruleset.rules}
    correlations = {each.id: each for each in ruleset.correlations}
    readings = {name: Reading({"eventType": name}) for name in types}

    @cache
    def matched(rule_id: str) -> tuple[str, ...]:
        if rule_id in correlations:
            found = {name for one in correlations[rule_id].rules for name in matched(one)}
            return tuple(name for name in readings if name in found)
        rule = rules.get(rule_id)
        if rule is None:
            return ()
        return tuple(name for name, reading in readings.items() if can_match(rule.condition, reading))

    return matched
