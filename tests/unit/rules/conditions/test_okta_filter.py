"""System Log filters: the event types that a filter names."""

from pathlib import Path

import pytest

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.okta_filter import read_okta_filter
from tests.unit.rules.helpers import judge, types, under

START, LOCK = "user.session.start", "user.account.lock"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (f'eventType eq "{START}"', {START}),
        (f'eventType eq "{START}" or eventType sw "user.mfa"', under("user.mfa") | {START}),
        (f'(EVENTTYPE EQ "{START}") AND (outcome.result ne "SUCCESS")', {START}),
        (f'eventType ew "r.session.start" and not (eventType eq "{LOCK}")', {START}),
        (f'eventType co "account.lock" and eventType ne "{LOCK}.limit"', {LOCK}),
        (f'not (eventType eq "{START}")', set()),
        (f'target[type eq "User"] and eventType eq "{LOCK}"', {LOCK}),
        (f'actor.id pr and published gt "2026-01-01T00:00:00Z" and eventType eq "{LOCK}"', {LOCK}),
        ("severity eq WARN", set()),
        (f'eventType in ["{START}", "{LOCK}"]', {START, LOCK}),
        (f'eventType IN ("{START}","{LOCK}") and actor.id pr', {START, LOCK}),
        (f"eventType in [{START}, {LOCK}]", {START, LOCK}),
        (f"eventType in [ '{START}' ]", {START}),
        (f'not eventType in ["{START}"] and eventType eq "{LOCK}"', {LOCK}),
        (f'outcome.result in ["ALLOW"] and eventType eq "{LOCK}"', {LOCK}),
        (f'eventType eq ("{START}" or "{LOCK}")', {START, LOCK}),
        (f'eventType ne ("{START}" or "{LOCK}") and eventType in ["{START}", "user.session.end"]', {"user.session.end"}),
        ('eventType eq "user\\u002esession\\u002estart"', {START}),
        ('eventType eq "user\\.session.start"', {START}),
        ('eventType sw ["user.session.", "zone."]', under("user.session.") | under("zone.")),
    ],
)  # fmt: skip
def test_a_type_is_named_by_a_comparison(query: str, named: set[str], tmp_path: Path) -> None:
    assert types(judge(tmp_path, "filter", query)) == named


@pytest.mark.parametrize(
    "query",
    [
        'eventType eq "a',
        "eventType",
        "eventType is x",
        'eventType eq "a" eventType',
        "(a pr",
        "a eq",
        "a in b",
        "a in [b",
        "a in",
        f'"eventType" eq "{START}"',
        f'"{START}" eq eventType',
        f'eventType "eq" "{START}"',
        "a eq )",
        "] eq a",
        "a in [(]",
    ],
)
def test_a_text_that_is_not_a_filter_is_refused(query: str) -> None:
    with pytest.raises(RuleFileError):
        read_okta_filter(query)


@pytest.mark.parametrize("query", ["a in []", "a pr and b not in []", "a eq ()", "a ne ()", "a sw (,)", "a co (or)"])
def test_a_comparison_with_a_set_without_values_is_refused(query: str) -> None:
    # Such a set has no reading that an author can want: as "one of" it matches no event, as "none of" it matches all.
    with pytest.raises(RuleFileError, match="the list of values is empty; write at least one value"):
        read_okta_filter(query)
