"""Runs the tests of correlations. The events of a test go one by one through the engine that the running forwarder
uses."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from forwarder.core.event import Event, Source
from forwarder.core.time import Micros, to_micros
from forwarder.core.wording import count
from forwarder.rules.conditions.event_fields import Reading
from forwarder.rules.conditions.explanation import explanation
from forwarder.rules.evaluation.engine import RuleEngine, Timing
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.rules.sigma.correlation import Correlation
from forwarder.rules.sigma.rule_exception import RuleException

_START = datetime(2026, 1, 1, tzinfo=UTC)
"""The made-up time of the first event of a test; each following event is one second later. An event with `published` has
that time instead."""


class RuleTest(msgspec.Struct, frozen=True):
    """One test of a rule, a correlation or an exception.

    Attributes:
        expected: whether the rule must match, the correlation must alert, or the exception must hold the event back.
        logs: the decoded events. The key `Log` has one event; the key `Logs` has any number.
        several: whether the test has the key `Logs`. Only such a test can be about correlations.
        rule: the ID, name or title of the rule, correlation or exception to test; empty if the test names none.
    """

    file: Path
    line: int
    name: str
    expected: bool
    logs: tuple[Mapping[str, Any], ...]
    several: bool
    rule: str = ""


def times_of(logs: Sequence[Mapping[str, Any]]) -> list[Micros]:
    """Return the time of each event in `logs`: the event's `published`, or a made-up time if `published` is missing.

    Raises:
        ValueError: `published` is not a time.
    """
    return [
        to_micros(_time(str(log["published"])) if log.get("published") else _START + timedelta(seconds=number))
        for number, log in enumerate(logs)
    ]


def _time(written: str) -> datetime:
    found = datetime.fromisoformat(written)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def correlation_failure(
    test: RuleTest, chosen: Sequence[Correlation], ruleset: Ruleset, exceptions: Sequence[RuleException]
) -> str:
    """Return why a test of correlations fails; an empty string if the test passes."""
    ids = {each.id for each in chosen}
    correlations = [msgspec.structs.replace(each, alerts=each.id in ids) for each in ruleset.correlations]
    engine = RuleEngine(Ruleset(ruleset.rules, correlations, exceptions), Timing())
    matched: dict[str, int] = {}
    alerted = ""
    for number, (log, time) in enumerate(zip(test.logs, times_of(test.logs), strict=True)):
        uuid, event_type = str(log.get("uuid") or number), str(log.get("eventType") or "")
        found = engine.feed(Event("test", uuid, event_type, time, time, Source.LOG, "", b""), log)
        for rule in found.matched:
            matched[rule] = matched.get(rule, 0) + 1
        if alert := next((alert for alert in found.alerts if alert.rule.id in ids), None):
            alerted = alerted or f"{alert.rule.title!r} alerts at event {number + 1}, with a count of {alert.count}"
    if bool(alerted) is test.expected:
        return ""
    return alerted or _missing(chosen[0], ruleset, matched, test.logs)


def _missing(rule: Correlation, ruleset: Ruleset, matched: Mapping[str, int], logs: Sequence[Mapping[str, Any]]) -> str:
    """Return a text that says why the correlation `rule` does not alert.

    The text also has the number of events that each rule of the correlation matched. For the first rule without a
    match, the text says why this rule does not match the first event.
    """
    single = {each.id: each for each in ruleset.rules if each.id in rule.rules}
    counts = [
        f"{each.title!r} matched {matched.get(id_, 0)} of {count(len(logs), 'event')}" for id_, each in single.items()
    ]
    wanted = f"{rule.type} {rule.operator} {rule.value}" + (f" of {rule.field}" if rule.field else "")
    by = f", by {', '.join(rule.group_by)}" if rule.group_by else ""
    reasons = [
        f"; {each.title!r} does not match the first event: "
        + explanation(each.condition, Reading(logs[0]), wanted=True)
        for id_, each in single.items()
        if id_ not in matched
    ]
    text = f"{rule.title!r} does not alert: it wants {wanted} within {rule.timespan} s{by}"
    return text + "".join(f"; {each}" for each in counts) + "".join(reasons[:1])
