"""The engine over days of events: the alerts do not depend on the order in which the events came."""

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from forwarder.core.alert import Alert, to_event
from forwarder.core.event import Event
from forwarder.core.time import SECOND
from forwarder.rules.evaluation.engine import RuleEngine, Timing
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.rules.sigma.correlation import MOST_COUNTED
from tests.fakes.clock import NOON
from tests.unit.rules.days import RULES, Pair, day, expected, made, ruleset

MINUTE = 60 * SECOND
_HIGH = (
    RULES.partition("---")[0].replace("{", "{{").replace("}", "}}")
    + """
---
title: High
id: high
correlation: {{type: {kind}, rules: [alpha], group-by: [actor.id], timespan: 1d, condition: {condition}}}
"""
)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Ruleset:
    return ruleset(tmp_path_factory.mktemp("rules"))


def feed(engine: RuleEngine, events: Iterable[Event]) -> list[Alert]:
    return [alert for event in events for alert in engine.feed(event, json.loads(event.body)).alerts]


def pairs(alerts: Iterable[Alert]) -> set[Pair]:
    return {(alert.rule.id, *alert.group.values()) for alert in alerts}  # type: ignore[misc]


def engine_of(rules: Ruleset, **timing: Any) -> RuleEngine:
    return RuleEngine(rules, Timing(**timing))


# --- order


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
def test_a_day_in_order_has_the_alerts_of_the_definitions(rules: Ruleset, seed: int) -> None:
    events = day(seed)
    assert pairs(feed(engine_of(rules), events)) == expected(events)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_a_day_in_any_order_with_duplicates_has_the_same_alerts(rules: Ruleset, seed: int) -> None:
    events, chance = day(seed, 160), Random(seed)
    wanted = expected(events)
    for _ in range(10):
        mixed = [*events, *chance.sample(events, 40)]
        chance.shuffle(mixed)
        assert pairs(feed(engine_of(rules), mixed)) == wanted


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_a_day_with_kills_has_the_same_alerts(rules: Ruleset, seed: int) -> None:
    """After each kill, a new engine reads the events before its position and all alerts from the store again."""
    chance = Random(seed)
    events = day(seed, 160)
    chance.shuffle(events)
    store: list[Event] = []
    found: list[Alert] = []
    cuts = [0, *sorted(chance.sample(range(len(events)), 4)), len(events)]
    for first, last in itertools.pairwise(cuts):
        engine = engine_of(rules)
        for event in store:
            body = msgspec.json.decode(event.body)
            if event.event_type == "forwarder.alert":
                engine.note(event, body)
            else:
                engine.feed(event, body, alerting=False)
        for event in events[first:last]:
            alerts = feed(engine, [event])
            found += alerts
            store += [event, *(to_event(alert, json.loads(event.body), NOON) for alert in alerts)]
    assert pairs(found) == expected(events)
    assert len({alert.uuid for alert in found}) == len(found)


def test_windows_reach_from_end_to_end_and_no_further(rules: Ruleset) -> None:
    def at(*minutes: float) -> list[Event]:
        return [made(n, NOON + int(m * MINUTE), "alpha", "u1", f"192.0.2.{n}") for n, m in enumerate(minutes)]

    assert pairs(feed(engine_of(rules), at(0, 1, 2, 10))) == {("many", "u1")}
    assert feed(engine_of(rules), at(0, 1, 2, 10.001)) == []
    assert pairs(feed(engine_of(rules), at(10, 0, 2, 1))) == {("many", "u1")}


# --- silence


def test_after_an_alert_the_group_is_silent_and_the_count_goes_on(rules: Ruleset) -> None:
    engine = engine_of(rules, again=3600)
    burst = [made(n, NOON + n * MINUTE, "alpha", "u1", f"192.0.2.{n}") for n in range(80)]
    first, second = feed(engine, burst)
    assert (first.count, first.matched, first.held_back) == (4, 4, 0)
    assert (second.window.end - first.window.end) == 60 * MINUTE
    assert (second.count, second.matched, second.held_back) == (11, 60, 59)
    other = [made(900 + n, NOON + n * MINUTE, "alpha", "u2", f"198.51.100.{n}") for n in range(4)]
    assert pairs(feed(engine, other)) == {("many", "u2")}


def test_a_rule_for_one_event_alerts_once_per_person_and_hour(rules: Ruleset) -> None:
    engine = engine_of(rules, again=3600)
    events = [made(n, NOON + n * 30 * MINUTE, "alone", f"u{n % 2}", "192.0.2.1") for n in range(4)]
    assert [alert.group["actor.id"] for alert in feed(engine, events)] == ["u0", "u1", "u0", "u1"]
    soon = made(9, NOON + 119 * MINUTE, "alone", "u1", "192.0.2.1")
    found = engine.feed(soon, json.loads(soon.body))
    assert (found.alerts, found.held_back) == ([], [("alone", "again")])


def test_a_correlation_is_silent_for_its_timespan_at_least(rules: Ruleset) -> None:
    burst = [made(n, NOON + n * MINUTE, "alpha", "u1", f"192.0.2.{n}") for n in range(16)]
    ends = [alert.window.end - NOON for alert in feed(engine_of(rules, again=1), burst)]
    assert ends == [3 * MINUTE, 13 * MINUTE]


# --- age


def late_by(seconds: float, number: int = 1) -> Event:
    event = made(number, NOON, "alone", "u1", "192.0.2.1")
    return msgspec.structs.replace(event, received_at=NOON + int(seconds * SECOND))


def test_a_late_event_has_an_alert_that_is_marked_as_late(rules: Ruleset) -> None:
    assert [alert.late for alert in feed(engine_of(rules), [late_by(600)])] == [False]
    assert [alert.late for alert in feed(engine_of(rules), [late_by(601)])] == [True]
    event = late_by(1)
    evaluated = engine_of(rules).feed(event, json.loads(event.body), now=NOON + 3600 * SECOND)
    assert [alert.late for alert in evaluated.alerts] == [True]  # the forwarder did not run in between


def test_an_event_older_than_max_age_alerts_only_in_the_replay(rules: Ruleset) -> None:
    event = late_by(86_401)
    found = engine_of(rules).feed(event, json.loads(event.body))
    assert (found.too_old, found.alerts) == (True, [])


# --- bounds


@pytest.mark.long
def test_more_groups_than_max_keys_drop_the_oldest_and_count_it(rules: Ruleset) -> None:
    engine = engine_of(rules, max_keys=100)
    feed(engine, [made(n, NOON, "alpha", f"u{n}", f"ip-{n}") for n in range(500)])
    assert len(engine.groups) <= 100
    assert engine.groups.evicted >= 2 * 500 - 2 * 100


def test_an_old_group_is_forgotten_without_being_counted_as_evicted(rules: Ruleset) -> None:
    engine = engine_of(rules)
    feed(engine, [made(n, NOON, "alpha", f"u{n}", "ip") for n in range(50)])
    later = made(99, NOON + 40 * 3600 * SECOND, "gamma", "x", "ip")
    feed(engine, [msgspec.structs.replace(later, received_at=later.published)])
    assert (len(engine.groups) < 10, engine.groups.evicted) == (True, 0)


@pytest.mark.long
def test_a_million_events_of_one_group_take_little_memory(rules: Ruleset) -> None:
    engine = engine_of(rules)
    same = made(1, NOON, "beta", "u1", "192.0.2.1")
    raw = json.loads(same.body)
    for n in range(20_000):
        event = msgspec.structs.replace(same, uuid=f"e{n}", published=NOON + n * SECOND // 10)
        engine.feed(event, raw)
    assert max(len(group.entries) for group in engine.groups._groups.values()) <= 4096


@pytest.mark.long
@pytest.mark.parametrize("order", ["as published", "shuffled"])
@pytest.mark.parametrize(
    ("kind", "condition"),
    [("event_count", f"{{gte: {MOST_COUNTED}}}"), ("value_count", f"{{field: client.ipAddress, gte: {MOST_COUNTED}}}")],
)
def test_the_highest_count_is_reached_by_its_last_event_and_not_before(
    kind: str, condition: str, order: str, tmp_path: Path
) -> None:
    rules = ruleset(tmp_path, _HIGH.format(kind=kind, condition=condition))
    events = [made(n, NOON - n * SECOND, "alpha", "u1", f"ip{n}") for n in range(MOST_COUNTED)][::-1]
    if order == "shuffled":
        Random(1).shuffle(events)
    engine = engine_of(rules)
    assert feed(engine, events[:-1]) == []
    assert pairs(feed(engine, events[-1:])) == {("high", "u1")}


# --- groups


def test_an_event_without_the_field_belongs_to_no_group(rules: Ruleset) -> None:
    events = [made(n, NOON, "alpha", "", "") for n in range(9)]
    assert feed(engine_of(rules), events) == []


def test_a_group_and_a_counted_value_are_the_same_in_any_case(rules: Ruleset) -> None:
    names = ["Ada@x", "ada@X", "ADA@x", "ada@x"]
    same_group = [made(n, NOON + n * SECOND, "alpha", name, f"ip{n}") for n, name in enumerate(names)]
    engine = engine_of(rules)
    (alert,) = feed(engine, same_group)
    assert alert.group == {"actor.id": "ada@x"}  # as the last event has it
    assert feed(engine, [made(9, NOON + 9 * SECOND, "alpha", "aDa@x", "ip9")]) == []
    same_value = [made(n, NOON + n * SECOND, "beta", name, "192.0.2.1") for n, name in enumerate(names)]
    assert feed(engine_of(rules), same_value) == []


def test_a_sender_cannot_make_long_keys(rules: Ruleset) -> None:
    engine = engine_of(rules)
    feed(engine, [made(1, NOON, "alpha", "u" * 1_000_000, "ip\0x")])
    assert all(len(key) < 500 for key in engine.groups._groups)


def test_groups_of_different_orgs_are_different(rules: Ruleset) -> None:
    events = [made(n, NOON, "alpha", "u1", f"ip{n}") for n in range(4)]
    split: Sequence[Event] = [msgspec.structs.replace(event, org=f"org{n % 2}") for n, event in enumerate(events)]
    assert feed(engine_of(rules), split) == []


def test_the_alert_lists_its_events_and_who_completed_it(rules: Ruleset) -> None:
    events = [made(n, NOON + n * SECOND, "beta", f"u{n}", "192.0.2.1") for n in range(3)]
    (alert,) = feed(engine_of(rules), events)
    assert (alert.rule.id, alert.count, list(alert.events)) == ("spray", 3, [event.uuid for event in events])
    assert alert.group == {"client.ipAddress": "192.0.2.1"}
    assert (alert.window.start, alert.window.end, alert.window.seconds) == (NOON, NOON + 2 * SECOND, 1800)
    assert alert.rule.ruleset == "rules.yml"


@pytest.mark.long
def test_an_alert_names_the_fields_that_its_aliases_stand_for_also_through_a_chain(tmp_path: Path) -> None:
    text = RULES + (
        "---\ntitle: Outer\nid: outer\n"
        "correlation: {type: event_count, rules: [aliased], group-by: [user], timespan: 10m, condition: {gte: 1}}\n"
    )
    infos = {alert.rule.id: alert.rule for alert in feed(engine_of(ruleset(tmp_path, text)), day(1))}
    fields = {"user": ["actor.id", "target.id"]}
    assert infos["outer"].aliases == {"user": ["actor.id", "target.id", "user"]}
    plain = {info.id for info in infos.values() if not info.aliases}
    assert {"many", "chain"} & set(infos) <= plain
    generated = RuleEngine(ruleset(tmp_path), Timing())
    assert {a.rule.id: a.rule.aliases for a in feed(generated, day(1)) if a.rule.aliases} == {"aliased": fields}


# --- silence


@pytest.mark.parametrize("off", [-20 * MINUTE, 5 * MINUTE], ids=["late", "ahead of our clock"])
@pytest.mark.parametrize("restart", ["", "after a restart"])
def test_an_alert_on_which_no_reaction_acts_does_not_silence_one_that_is_in_time(
    rules: Ruleset, off: int, restart: str
) -> None:
    engine = engine_of(rules)
    (stale,) = feed(engine, [made(1, NOON + off, "alone", "u1", "192.0.2.1")])
    if restart:
        engine = engine_of(rules)
        document = to_event(stale, {}, NOON)
        engine.note(document, json.loads(document.body))
    assert feed(engine, [made(2, NOON + off, "alone", "u1", "192.0.2.1")]) == []
    assert len(feed(engine, [made(3, NOON, "alone", "u1", "192.0.2.1")])) == 1
    assert feed(engine, [made(4, NOON, "alone", "u1", "192.0.2.1")]) == []
    assert feed(engine, [made(5, NOON + off, "alone", "u1", "192.0.2.1")]) == []
