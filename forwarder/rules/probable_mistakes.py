"""Finds probable mistakes in rules that can be loaded: unknown event types, unknown fields, values that never occur,
and exceptions that have ended."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network

import msgspec

from forwarder.rules.conditions.condition import And, Condition, Not, Or, leaves
from forwarder.rules.conditions.okta_filter import Comparison, ValueSet, filter_types
from forwarder.rules.conditions.rule import Rule
from forwarder.rules.conditions.sigma_values import FieldReference, FieldTest, Text
from forwarder.rules.coverage import Coverage, coverage
from forwarder.rules.evaluation.countries import COUNTRY_FIELD, UNKNOWN, country_code
from forwarder.rules.evaluation.ruleset import DetectionRule, RuleProblem, Ruleset
from forwarder.rules.sigma.correlation import Correlation
from forwarder.rules.sigma.detections import about_types
from forwarder.rules.sigma.metadata import Described

EVENT_FIELDS = (
    "actor", "authenticationContext", "client", "debugContext", "device", "displayMessage", "eventType", "forwarder",
    "legacyEventType", "outcome", "published", "request", "result", "securityContext", "severity", "target", "transaction",
    "uuid", "version",
)  # fmt: skip
"""The fields of Okta's LogEvent, and two more: `result`, which filters may write for `outcome.result`, and `forwarder`,
which contains the derived fields."""

_MAX_NAME = 100
_LOWER = {name.lower(): name for name in EVENT_FIELDS}


class Reviewed(msgspec.Struct, frozen=True):
    """A rule with the event types that it names."""

    rule: DetectionRule
    needs: Coverage


def reviewed(ruleset: Ruleset) -> list[Reviewed]:
    """Return each rule with the event types that it names. Rules that are not about Okta are left out."""
    found = []
    for rule in ruleset.rules:
        types = (filter_types if rule.language == "filter" else about_types)(rule.condition)
        needs = coverage(Rule(name=rule.title, language=rule.language, conditions=(types,), id=rule.id))
        if needs:
            found.append(Reviewed(rule, needs))
    return found


def warnings(ruleset: Ruleset, rules: Sequence[Reviewed]) -> list[RuleProblem]:
    """Return a problem for each probable mistake in rules that can be loaded."""
    found = [warning for each in rules for warning in _type_warnings(each)]
    for rule in ruleset.rules:
        found += _field_warnings(rule, fields_of(rule.condition))
    for correlation in ruleset.correlations:
        found += _field_warnings(correlation, _fields_of_correlation(correlation))
        found += _alias_warnings(correlation)
    for exception in ruleset.exceptions:
        found += _field_warnings(exception, fields_of(exception.condition))
    found += [
        _about(each, f"the exception ended on {each.until}; remove the exception, or give it a later day in `until`")
        for each in ruleset.expired
    ]
    return sorted({*found, *value_warnings(ruleset)})


def _type_warnings(found: Reviewed) -> Iterator[RuleProblem]:
    for name, near in found.needs.unknown.items():
        hint = f"; did you mean {near}?" if near else ""
        yield _about(found.rule, f"unknown event type {name}{hint}")


def _field_warnings(about: Described, fields: Iterable[str]) -> Iterator[RuleProblem]:
    for field in dict.fromkeys(fields):
        first = field.partition(".")[0]
        if first.lower() not in _LOWER:
            near = difflib.get_close_matches(first.lower()[:_MAX_NAME], _LOWER, n=1)
            hint = f"; did you mean {_LOWER[near[0]]}?" if near else ""
            yield _about(about, f"Okta's events have no field {first!r}, so {field} never has a value{hint}")


def value_warnings(ruleset: Ruleset) -> list[RuleProblem]:
    """Return a problem for each comparison with a value that Okta never writes, so that the comparison never matches: a
    country, a region, an address or an AS number in another form than Okta's."""
    found = {_about(rule, text) for rule in ruleset.rules for text in _never_there(rule.condition)}
    found |= {_about(each, text) for each in ruleset.exceptions for text in _never_there(each.condition)}
    return sorted(found)


def _never_there(condition: Condition) -> Iterator[str]:
    for field, written in _texts_of(condition):
        wrong = _WRONG_FORM.get(field.rpartition(".")[2].lower())
        if wrong and field.lower() != COUNTRY_FIELD and (hint := wrong(written)):
            yield f"{field} is never {written!r}: {hint}"


def _no_country(written: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z]{2,3}", written) or (code := country_code(written)) == UNKNOWN:
        return None
    return f"Okta writes the name of a country there; compare {COUNTRY_FIELD} with {code}"


def _no_region(written: str) -> str | None:
    return "Okta writes the name of a region there" if re.fullmatch(r"[A-Z]{2}-[A-Z0-9]{1,3}", written) else None


def _no_address(written: str) -> str | None:
    try:
        ip_address(written)
    except ValueError:
        pass
    else:
        return None
    try:
        ip_network(written, strict=False)
    except ValueError:
        return "Okta writes an IP address there"
    return "Okta writes one address there; to compare it with a network, use the modifier `cidr`"


def _no_number(written: str) -> str | None:
    number = written.upper().removeprefix("AS").strip()
    return None if written.isdecimal() or not number.isdecimal() else f"Okta writes a number there; write {number}"


_WRONG_FORM: Mapping[str, Callable[[str], str | None]] = {
    "country": _no_country, "state": _no_region, "ipaddress": _no_address, "ip": _no_address, "asnumber": _no_number,
}  # fmt: skip
"""Last part of a field's name, in lower case → a function that returns what is wrong with a value, or None."""


def _texts_of(condition: Condition) -> Iterator[tuple[str, str]]:
    """Yield (field, text) for each comparison of a field with a text without wildcards."""
    match condition:
        case And(parts) | Or(parts) | ValueSet(any_of=parts):
            for part in parts:
                yield from _texts_of(part)
        case Not(part):
            yield from _texts_of(part)
        case FieldTest(field=str(field), value=Text() as text) if text.literal:
            yield field, text.literal
        case Comparison(operator="eq" | "ne" | "in", quoted=True):
            yield condition.attribute, condition.value


def _fields_of_correlation(rule: Correlation) -> Iterator[str]:
    yield from (name for name in rule.group_by if name not in rule.aliases)
    yield from (field for fields in rule.aliases.values() for field in fields.values())
    if rule.field and rule.field not in rule.aliases:
        yield rule.field


def _alias_warnings(rule: Correlation) -> Iterator[RuleProblem]:
    for alias, fields in rule.aliases.items():
        if missing := [each for each in rule.rules if each not in fields]:
            yield _about(
                rule, f"the alias {alias!r} has no field for {missing[0]}, so the events of this rule are not counted"
            )


def _about(about: Described, text: str) -> RuleProblem:
    return RuleProblem(about.file, about.line, f"{about.title}: {text}")


def fields_of(condition: Condition) -> Iterator[str]:
    """Yield the fields that a condition reads."""
    for leaf in leaves(condition):
        match leaf:
            case FieldTest(field=str(field), value=value):
                yield field
                if isinstance(value, FieldReference):
                    yield value.field
            case ValueSet(any_of=[first, *_]):
                yield first.attribute
            case Comparison():
                yield leaf.attribute
