"""Finds the event types that a rule can match. For a correlation, these are the types that its rules can match."""

from collections.abc import Sequence
from functools import cache

from forwarder.rules.conditions.event_fields import Reading
from forwarder.rules.evaluation.ruleset import Ruleset, can_match


class MatchableTypes:
    """Finds which event types of a given list each rule of a ruleset can match."""

    def __init__(self, ruleset: Ruleset, types: Sequence[str]) -> None:
        self._rules = {rule.id: rule for rule in ruleset.rules}
        self._correlations = {each.id: each for each in ruleset.correlations}
        self._readings = {name: Reading({"eventType": name}) for name in types}
        self.of = cache(self._of)

    def _of(self, rule_id: str) -> tuple[str, ...]:
        """Return the types that a rule, or any rule of a correlation, can match. A rule that names no type can match
        all types."""
        if rule_id in self._correlations:
            found = {name for one in self._correlations[rule_id].rules for name in self.of(one)}
            return tuple(name for name in self._readings if name in found)
        rule = self._rules.get(rule_id)
        if rule is None:
            return ()
        return tuple(name for name, reading in self._readings.items() if can_match(rule.condition, reading))
