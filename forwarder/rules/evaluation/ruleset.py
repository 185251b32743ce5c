"""Keeps the loaded rules. Finds the rules that an event matches and, for each match, the exception that holds the match
back."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from forwarder.core.wording import without_middle
from forwarder.rules.conditions.compiler import Test, compiled
from forwarder.rules.conditions.condition import And, Condition, Known, Not, Or, Unknown, possible
from forwarder.rules.conditions.event_fields import Event, Reading
from forwarder.rules.conditions.okta_filter import Comparison, ValueSet
from forwarder.rules.conditions.sigma_values import FieldReference, FieldTest
from forwarder.rules.sigma.correlation import Correlation
from forwarder.rules.sigma.metadata import Described
from forwarder.rules.sigma.rule_exception import RuleException

_MAX_TYPES = 2000
"""The maximum number of event types whose rules are cached. Okta has about 1,200 types."""


class DetectionRule(Described, frozen=True, kw_only=True, eq=False):
    """A rule that needs only one event.

    Attributes:
        language: `sigma`, or `filter` for a System Log filter.
        condition: the condition that an event must match.
        test: `condition`, compiled.
        alerts: whether the rule alerts by itself; False if its matches are only counted by correlations without
            `generate`.
    """

    language: str
    condition: Condition
    test: Test
    alerts: bool = True


class RuleProblem(msgspec.Struct, frozen=True, order=True):
    """A problem in a file of rules: what is wrong, and what to do. `line` is 0 if the problem is about the whole file."""

    file: Path
    line: int
    text: str

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "text", without_middle(self.text))

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


class Match(msgspec.Struct, frozen=True):
    """A rule that an event matches. `exception` is the exception that holds the match back; None if none does."""

    rule: DetectionRule
    exception: RuleException | None = None


_Candidate = tuple[DetectionRule, tuple[RuleException, ...]]


class Ruleset:
    """The loaded rules.

    Attributes:
        rules: rules that need only one event, in the order of their files.
        correlations: rules that need several events. Each comes after the correlations that it names.
        exceptions: exceptions that have not ended.
        expired: exceptions that had already ended when the rules were loaded.
        left_out: the number of rules, correlations and exceptions that are about another product or in another
            language.
    """

    def __init__(
        self,
        rules: Sequence[DetectionRule] = (),
        correlations: Sequence[Correlation] = (),
        exceptions: Sequence[RuleException] = (),
        expired: Sequence[RuleException] = (),
        left_out: int = 0,
    ) -> None:
        self.rules = tuple(rules)
        self.correlations = tuple(correlations)
        self.exceptions = tuple(exceptions)
        self.expired = tuple(expired)
        self.left_out = left_out
        self._all: list[_Candidate] = [(rule, tuple(self._about(rule))) for rule in self.rules]
        self._by_type: dict[str, list[_Candidate]] = {}

    @property
    def rules_and_correlations(self) -> list[DetectionRule | Correlation]:
        """All rules, then all correlations."""
        return [*self.rules, *self.correlations]

    def _about(self, rule: DetectionRule) -> Iterator[RuleException]:
        return (each for each in self.exceptions if each.rules is None or rule.id in each.rules)

    def matches(self, event: Event, reading: Reading | None = None) -> list[Match]:
        """Return the rules that an event matches, including matches that an exception holds back.

        An exception with `until` applies to events that were published before the end of the day `until`, in UTC. So
        the result for an event does not depend on when the event is evaluated. If the caller already has a Reading of
        `event`, pass it as `reading`.
        """
        reading = Reading(event) if reading is None else reading
        found: list[Match] = []
        for rule, exceptions in self._candidates(reading.root.get("eventtype")):
            if rule.test(reading):
                found.append(Match(rule, _holding_back(exceptions, reading) if exceptions else None))
        return found

    def may_match(self, event_type: str) -> bool:
        """Whether any rule can match an event of this type."""
        return bool(self._candidates(event_type))

    def _candidates(self, event_type: object) -> list[_Candidate]:
        """Return the rules that can match an event of the type `event_type`, each with its exceptions."""
        if not isinstance(event_type, str):
            return self._all
        found = self._by_type.get(event_type)
        if found is None:
            reading = Reading({"eventType": event_type})
            found = [each for each in self._all if can_match(each[0].condition, reading)]
            if len(self._by_type) < _MAX_TYPES:
                self._by_type[event_type] = found
        return found


def _holding_back(exceptions: Sequence[RuleException], reading: Reading) -> RuleException | None:
    published = reading.root.get("published")
    day = published[:10] if isinstance(published, str) else ""
    for each in exceptions:
        if each.applies_on(day) and not each.lets_through(reading):
            return each
    return None


def can_match(condition: Condition, of_type: Reading) -> bool:
    """Whether an event of a given type can match `condition`. `of_type` is a Reading of an event that has no field
    except this type."""
    return possible(_narrowed(condition, of_type), "") is not False


def _narrowed(condition: Condition, of_type: Reading) -> Condition:
    """Replace each test of the event type in `condition` by its result, and each other test by Unknown."""
    match condition:
        case And(parts) | Or(parts):
            return type(condition)(tuple(_narrowed(part, of_type) for part in parts))
        case Not(part):
            return Not(_narrowed(part, of_type))
        case FieldTest(field=str(field), value=value) if not isinstance(value, FieldReference):
            named = field
        case Comparison(attribute=attribute):
            named = attribute
        case ValueSet(any_of=[Comparison(attribute=attribute), *_]):
            named = attribute
        case _:
            return Unknown()
    return Known(compiled(condition)(of_type)) if named.lower() == "eventtype" else Unknown()
