"""What is doubtful about rules that can be loaded: event types and fields that do not exist, exceptions that have ended."""

import difflib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from forwarder.rules.conditions.condition import And, Condition, Not, Or
from forwarder.rules.conditions.okta_filter import Comparison, ValueSet, filter_types
from forwarder.rules.conditions.rule import Rule
from forwarder.rules.conditions.values import FieldReference, FieldTest
from forwarder.rules.coverage import Coverage, coverage
from forwarder.rules.evaluation.ruleset import DetectionRule, RuleProblem, Ruleset
from forwarder.rules.sigma.correlation import Correlation
from forwarder.rules.sigma.described import Described
from forwarder.rules.sigma.detections import about_types

EVENT_FIELDS = (
    "actor", "authenticationContext", "client", "debugContext", "device", "displayMessage", "eventType", "forwarder",
    "legacyEventType", "outcome", "published", "request", "result", "securityContext", "severity", "target", "transaction",
    "uuid", "version",
)  # fmt: skip
"""The fields of Okta's LogEvent, `result` (how filters may write `outcome.result`), and `forwarder` (what is derived)."""

_LOWER = {name.lower(): name for name in EVENT_FIELDS}


class Reviewed(msgspec.Struct, frozen=True):
    """A rule with the event types that it needs."""

    rule: DetectionRule
    needs: Coverage


def reviewed(ruleset: Ruleset) -> list[Reviewed]:
    """Return what each rule needs."""
    found = []
    for rule in ruleset.rules:
        types = (filter_types if rule.language == "filter" else about_types)(rule.condition)
        needs = coverage(Rule(name=rule.title, language=rule.language, conditions=(types,), id=rule.id))
        if needs:
            found.append(Reviewed(rule, needs))
    return found


def warnings(ruleset: Ruleset, rules: Sequence[Reviewed]) -> list[RuleProblem]:
    """Return what can be loaded and is probably a mistake."""
    found = [warning for each in rules for warning in _type_warnings(each)]
    for rule in ruleset.rules:
        found += _field_warnings(rule, fields_of(rule.condition))
    for correlation in ruleset.correlations:
        found += _field_warnings(correlation, _fields_of_correlation(correlation))
        found += _alias_warnings(correlation)
    for exception in ruleset.exceptions:
        found += _field_warnings(exception, fields_of(exception.condition))
    found += [
        _about(each, f"has ended on {each.until}; remove it, or give it a later day")
        for each in ruleset.expired
    ]
    return sorted(set(found))


def _type_warnings(found: Reviewed) -> Iterator[RuleProblem]:
    for name, near in found.needs.unknown.items():
        hint = f"; did you mean {near}?" if near else ""
        yield _about(found.rule, f"there is no event type {name}{hint}")


def _field_warnings(about: Described, fields: Iterable[str]) -> Iterator[RuleProblem]:
    for field in dict.fromkeys(fields):
        first = field.partition(".")[0]
        if first.lower() not in _LOWER:
            near = difflib.get_close_matches(first.lower(), _LOWER, n=1)
            hint = f"; did you mean {_LOWER[near[0]]}?" if near else ""
            yield _about(about, f"Okta's events have no field {first!r}, so {field} is never there{hint}")


def _fields_of_correlation(rule: Correlation) -> Iterator[str]:
    yield from (name for name in rule.group_by if name not in rule.aliases)
    yield from (field for fields in rule.aliases.values() for field in fields.values())
    if rule.field and rule.field not in rule.aliases:
        yield rule.field


def _alias_warnings(rule: Correlation) -> Iterator[RuleProblem]:
    for alias, fields in rule.aliases.items():
        if missing := [each for each in rule.rules if each not in fields]:
            yield _about(
                rule, f"the alias {alias!r} has no field for {missing[0]}, whose events are not counted"
            )


def _about(about: Described, text: str) -> RuleProblem:
    return RuleProblem(about.file, about.line, f"{about.title}: {text}")


def fields_of(condition: Condition) -> Iterator[str]:
    """Yield the fields that a condition reads."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from fields_of(part)
        case Not(part):
            yield from fields_of(part)
        case FieldTest(field=str(field), value=value):
            yield field
            if isinstance(value, FieldReference):
                yield value.field
        case ValueSet(any_of=[first, *_]):
            yield first.attribute
        case Comparison():
            yield condition.attribute
