"""Reads Sigma's correlations: rules that need several events within a time span."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.sigma_values import Number, Truth, plain_value
from forwarder.rules.documents import Plain
from forwarder.rules.sigma.detections import Report, line_of
from forwarder.rules.sigma.metadata import KEYS, Described, description_of, report_unknown_keys

TYPES = ("event_count", "value_count", "temporal", "temporal_ordered")
OPERATORS = ("lt", "lte", "gt", "gte", "eq", "neq")
_TEMPORAL = ("temporal", "temporal_ordered")
_NUMERIC = ("value_sum", "value_avg", "value_percentile", "value_median")
_KEYS = ("type", "rules", "generate", "group-by", "timespan", "condition", "aliases")
_TIMESPAN = re.compile(r"([0-9]{1,9})([smhdwMy])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_629_746, "y": 31_556_952}
_LONGEST = _SECONDS["y"]

MOST_COUNTED = 10_000
"""The highest count that an event_count or a value_count may need. A group keeps several times as many entries in
memory, and checks each of them for each event."""


class Correlation(Described, frozen=True, kw_only=True, eq=False):
    """A rule that counts or joins the matches of other rules.

    Attributes:
        type: one of TYPES.
        rules: the rules whose matches are counted or joined, in the order of the file. Each is an ID or a name; in a
            Ruleset, each is an ID.
        group_by: names of fields or aliases. Events with the same values in all these fields are counted together.
        timespan: the length of the time span in seconds.
        operator: the operator of the condition, one of OPERATORS.
        value: the whole number that the condition compares with. In a temporal correlation, `value` is a number of
            different rules.
        field: the field whose different values a `value_count` counts.
        aliases: for each alias, the field that it stands for in each of `rules`.
        generate: whether the rules in `rules` also alert by themselves.
        alerts: whether this correlation alerts by itself; False if its matches are only counted by correlations without
            `generate`.
    """

    type: str
    rules: tuple[str, ...]
    timespan: int
    operator: str
    value: int
    group_by: tuple[str, ...] = ()
    field: str | None = None
    aliases: Mapping[str, Mapping[str, str]] = {}
    generate: bool = False
    alerts: bool = True

    @property
    def wanted(self) -> int:
        """The lowest count for which the condition is true."""
        return _wanted(self.operator, self.value)


def read_correlation(found: Mapping[str, Any], file: Path, line: int, report: Report) -> Correlation | None:
    """Read a correlation, and report its problems. Return None if the section `correlation` is missing
    or not a mapping, or if its `condition` or `generate` is invalid."""
    report_unknown_keys(found, (*KEYS, "correlation"), report, "a correlation's document")
    described = description_of(found, report)
    section = found.get("correlation")
    if not isinstance(section, dict):
        report("`correlation` must hold its type, rules and timespan", line_of(found, "correlation"))
        return None
    report_unknown_keys(section, _KEYS, report, "`correlation`")
    kind, rules = _type(section, report), _texts(section, "rules", report)
    if not rules:
        report("`rules` must name at least one rule, by its id or name", line_of(section, "rules"))
    timespan = _timespan(section, report)
    try:
        operator, value, field = _condition(section, kind, len(rules), report)
        generate = _generate(section)
    except RuleFileError as error:
        report(str(error), line_of(section, "condition"))
        return None
    aliases = _aliases(section, rules, report)
    if "group-by" in section and section["group-by"] in (None, []):
        report("`group-by` is empty; name at least one field, or remove the key", line_of(section, "group-by"))
    return Correlation(
        **described,
        file=file,
        line=line,
        type=kind,
        rules=rules,
        timespan=timespan,
        operator=operator,
        value=value,
        field=field,
        group_by=_texts(section, "group-by", report),
        aliases=aliases,
        generate=generate,
    )


def _type(section: Mapping[str, Any], report: Report) -> str:
    kind = str(section.get("type") or "")
    if kind.lower() not in TYPES:
        known = f"one of {', '.join(TYPES)}"
        text = f"the type {kind!r} is not supported here" if kind in _NUMERIC else f"there is no type {kind!r}"
        report(f"{text}; write {known}" if kind else f"`type` is required: {known}", line_of(section, "type"))
    return kind.lower()


def _texts(section: Mapping[str, Any], key: str, report: Report) -> tuple[str, ...]:
    written = section.get(key)
    if written is None:
        return ()
    items = written if isinstance(written, list) else [written]
    if not all(isinstance(item, str) and item for item in items):
        report(f"`{key}` must be a string, or a list of strings", line_of(section, key))
        return ()
    return tuple(str(item) for item in items)


def _timespan(section: Mapping[str, Any], report: Report) -> int:
    written = _TIMESPAN.fullmatch(str(section.get("timespan") or ""))
    if not written or not int(written[1]):
        report("`timespan` is required: a number and s, m, h or d, as in 5m", line_of(section, "timespan"))
        return 1
    seconds = int(written[1]) * _SECONDS[written[2]]
    if seconds > _LONGEST:
        report("`timespan` is longer than a year; write at most 365d", line_of(section, "timespan"))
        return 1
    return seconds


def _generate(section: Mapping[str, Any]) -> bool:
    written = plain_value(section.get("generate", False))
    if not isinstance(written, Truth):
        raise RuleFileError("`generate` must be true or false")
    return written.value


def _condition(section: Mapping[str, Any], kind: str, rules: int, report: Report) -> tuple[str, int, str | None]:
    """Return (operator, number, field) of a correlation's condition. The field may be None.

    Raises:
        RuleFileError: the condition cannot be read.
    """
    written = section.get("condition")
    if written is None and kind in _TEMPORAL:
        return "gte", rules, None
    if isinstance(written, str) and not isinstance(written, Plain):
        raise RuleFileError(
            "a condition that joins rules with `and` and `or` is not supported; list the rules in `rules`, or let one "
            "correlation name another"
        )
    if not isinstance(written, dict):
        raise RuleFileError("`condition` is required, as in {gte: 10}")
    report_unknown_keys(written, (*OPERATORS, "field"), report, "`condition`")
    operators = [key for key in written if key in OPERATORS]
    if len(operators) != 1:
        raise RuleFileError("`condition` needs exactly one of gte, gt and eq, as in {gte: 10}")
    if operators[0] in ("lt", "lte", "neq"):
        raise RuleFileError(f"`{operators[0]}` cannot be decided, because more events may come; write gte, gt or eq")
    value = _whole_number(written[operators[0]])
    _check_count(_wanted(operators[0], value), kind, rules)
    fields = _texts(written, "field", report)
    if len(fields) > 1:
        raise RuleFileError("`field` must name one field; write a separate correlation for each field")
    if (kind == "value_count") != bool(fields) and kind in TYPES:
        raise RuleFileError(
            "a value_count needs the `field` whose values it counts, as in {field: actor.id, gte: 10}"
            if kind == "value_count"
            else f"`field` belongs to value_count, not to {kind}"
        )
    return operators[0], value, fields[0] if fields else None


def _whole_number(written: Any) -> int:
    value = plain_value(written)
    try:
        number = value.number if isinstance(value, Number) else float(str(written))
        if int(number) == number:
            return int(number)
    except (ValueError, OverflowError):  # a text, NaN, infinity
        pass
    raise RuleFileError(
        f"`condition` compares with {str(written)[:50]!r}, which is not a whole number; write one, as in {{gte: 10}}"
    )


def _wanted(operator: str, value: int) -> int:
    return value + 1 if operator == "gt" else value


def _check_count(wanted: int, kind: str, rules: int) -> None:
    """Check that a correlation of the type `kind` can reach the count `wanted`, and that it needs at least one event
    for this.

    `rules` is the number of rules that the correlation names.

    Raises:
        RuleFileError: the count cannot be reached, or it is reached without any event.
    """
    if kind == "temporal_ordered" and wanted != rules:
        raise RuleFileError(
            f"a temporal_ordered correlation always needs an event of each of its {rules} rules, in order; remove `condition`"
        )
    if wanted < 1:
        raise RuleFileError("`condition` is true without any event; write gte: 1, or a higher number")
    if kind == "temporal" and wanted > rules:
        raise RuleFileError(f"`condition` wants more different rules than `rules` names ({rules}); remove `condition`")
    if wanted > MOST_COUNTED:
        raise RuleFileError(
            f"`condition` wants more than {MOST_COUNTED:,}, the highest number that is counted; write a lower number, "
            "and a shorter `timespan`"
        )


def _aliases(section: Mapping[str, Any], rules: Sequence[str], report: Report) -> dict[str, dict[str, str]]:
    written = section.get("aliases")
    if written is None:
        return {}
    line = line_of(section, "aliases")
    if not isinstance(written, dict) or not all(isinstance(fields, dict) for fields in written.values()):
        report("`aliases` must name a field for each rule, as in {user: {rule_a: actor.id, rule_b: target.id}}", line)
        return {}
    for alias, fields in written.items():
        for rule, field in fields.items():
            if rule not in rules:
                report(
                    f"the alias {alias!r} names {rule!r}, which is not in `rules`; correct the name, or add the rule",
                    line_of(fields, rule),
                )
            if not isinstance(field, str):
                report(f"the alias {alias!r} needs the name of a field", line_of(fields, rule))
    return {str(alias): {str(rule): str(field) for rule, field in fields.items()} for alias, fields in written.items()}
