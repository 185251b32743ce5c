"""Reads exceptions. An exception is a filter in Sigma's format that holds back alerts of rules."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.compiler import Test, compiled
from forwarder.rules.conditions.condition import And, Condition, Not, Or
from forwarder.rules.sigma.detections import Report, detection_tree, line_of
from forwarder.rules.sigma.metadata import KEYS, Described, description_of, report_unknown_keys
from forwarder.rules.sigma.modifiers import Lists

_SECTION = ("rules", "condition")


class RuleException(Described, frozen=True, kw_only=True, eq=False):
    """One exception.

    Attributes:
        rules: the rules that the exception is about; None for all rules. Each is an ID or a name; in a Ruleset, each is
            an ID.
        condition: a condition. Alerts of events that match the condition are NOT held back.
        lets_through: `condition`, compiled.
        until: the last day on which the exception applies, in UTC; None if it has no end.
    """

    rules: tuple[str, ...] | None
    condition: Condition
    lets_through: Test
    until: date | None = None

    def applies_on(self, day: str) -> bool:
        """Whether the exception applies to an event that was published on `day`, as in 2027-01-31."""
        return self.until is None or day <= self.until.isoformat()


def read_exception(
    found: Mapping[str, Any], lists: Lists, file: Path, line: int, report: Report
) -> RuleException | None:
    """Read an exception, and report its problems. Return None if its condition cannot be read."""
    report_unknown_keys(found, (*KEYS, "filter", "logsource", "until"), report, "an exception's document")
    described = description_of(found, report)
    until = _until(found, report)
    section = found["filter"]
    try:
        condition = exception_tree(section, lists, report)
        lets_through = compiled(condition)
    except RuleFileError as error:
        report(str(error), line_of(section, "condition"))
        return None
    rules = _rules(section, report)
    return RuleException(
        **described, file=file, line=line, rules=rules, condition=condition, lets_through=lets_through, until=until
    )


def exception_tree(section: Mapping[str, Any], lists: Lists, report: Report) -> Condition:
    """Return the condition of an exception. Alerts of an event that matches the condition are NOT held back.

    Raises:
        RuleFileError: the condition cannot be read, or does more than exclude events.
    """
    written = section.get("condition")
    if not isinstance(written, str):
        raise RuleFileError("an exception needs one condition, as in `condition: not selection`")
    condition = detection_tree(section, lists, report, _SECTION)
    if not written.split()[:1] == ["not"] or not _excludes(condition):
        raise RuleFileError(
            f"the condition {written!r} must begin with `not` and only exclude events, because Sigma joins it to "
            "the rule's own condition by `and`; write `not selection`"
        )
    return condition


def _excludes(condition: Condition) -> bool:
    """Whether the condition only excludes events. For example, `not a and b` does more than that: with this condition,
    the rule would alert only on events that match `b`."""
    match condition:
        case Not():
            return True
        case And(parts):
            return all(_excludes(part) for part in parts)
        case Or(parts):
            return any(_excludes(part) for part in parts)
    return False


def _rules(section: Mapping[str, Any], report: Report) -> tuple[str, ...] | None:
    written = section.get("rules")
    if isinstance(written, str):
        return None if written.lower() == "any" else (str(written),)
    if isinstance(written, list) and written and all(isinstance(rule, str) for rule in written):
        return tuple(str(rule) for rule in written)
    report("`filter.rules` must name the rules by their id or name, or be `any`", line_of(section, "rules"))
    return ()


def _until(found: Mapping[str, Any], report: Report) -> date | None:
    if "until" not in found:
        return None
    written = str(found["until"] or "")
    try:
        return date.fromisoformat(written)
    except ValueError:
        report(f"`until` is {written[:50]!r}; write a day, as in 2027-01-31", line_of(found, "until"))
        return None
