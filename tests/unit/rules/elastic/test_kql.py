"""KQL and Lucene: the event types that a query names."""

from pathlib import Path

import pytest

from forwarder.core.errors import RuleFileError
from forwarder.rules.elastic.kql import read_kql, read_lucene
from tests.unit.rules.helpers import judge, types, under

START, LOCK = "user.session.start", "user.account.lock"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (f"event.action:{START}", {START}),
        (f'event.action : "{START}"', {START}),
        (f"okta.event_type: {START} OR okta.event_type: {LOCK}", {START, LOCK}),
        (f"event.action:({START} or\n  {LOCK})", {START, LOCK}),
        ("event.action: user.mfa*", under("user.mfa")),
        (f"event.action: (user.mfa.factor.* or {START})", under("user.mfa.factor.") | {START}),
        (r"event.action: user.session.star\t", {START}),
        (f"{START}", set()),
        ("event.action: *", set()),
        ("", set()),
        (f"okta.actor.id: {START}", set()),
        (f"okta.target: {{ type: User and id: * }} and event.action: {START}", {START}),
        (f'@timestamp >= "now-1d" and event.risk_score > 50 and event.action: {START}', {START}),
        (f"event.action: two words or okta.event_type: {START}", {START}),
    ],
)
def test_a_type_is_named_by_the_fields_that_hold_it(query: str, named: set[str], tmp_path: Path) -> None:
    assert types(judge(tmp_path, "kuery", query)) == named


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (f"not event.action: {START}", set()),
        (f"event.action: (not {START} and not {LOCK})", set()),
        (f"event.action: ({LOCK} and not {START})", {LOCK}),
        (f"event.action: {LOCK} and not event.action: ({START} or {LOCK}.limit)", {LOCK}),
        ("event.action: user.mfa.* and not event.action: user.mfa.factor.*", under("user.mfa.") - under("user.mfa.factor.")),
        (f"not (event.dataset: other or not event.action: {START})", {START}),
        # Only the other branch excludes it.
        (f"(event.action: user.session.* and not event.action: {START}) or event.action: {START}", under("user.session.")),
    ],
)  # fmt: skip
def test_what_is_excluded_is_not_named(query: str, named: set[str], tmp_path: Path) -> None:
    assert types(judge(tmp_path, "kuery", query)) == named


def test_a_type_of_another_source_is_not_named(tmp_path: Path) -> None:
    needs = judge(
        tmp_path,
        "kuery",
        f"(event.dataset: okta.system and event.action: {START}) or "
        "(event.dataset: aws.cloudtrail and event.action: (ConsoleLogin or Console*))",
    )
    assert types(needs) == {START}
    assert needs.unknown == {}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (f'event.action:("{START}" OR "{LOCK}")', {START, LOCK}),
        (f"event.action:({START} {LOCK})", {START, LOCK}),
        (f"+event.action:{START} -event.action:{LOCK}", {START}),
        (f"event.action:user.session.* -event.action:{START}", under("user.session.") - {START}),
        (f"event.action:{START} && !okta.outcome.result:FAILURE", {START}),
        ("event.action:user.session.star?", {START}),
        (r"event.action:/user\.session\.(start|end)/", {START, "user.session.end"}),
        (f"@timestamp:[now-1d TO now] AND risk:{{1 TO 5}} AND event.action:{START}^2", {START}),
    ],
)
def test_lucene_names_types_too(query: str, named: set[str], tmp_path: Path) -> None:
    assert types(judge(tmp_path, "lucene", query)) == named


@pytest.mark.parametrize("query", ["event.action: (a or", "event.action: a)", 'event.action: "a', "a: and b"])
def test_a_text_that_is_not_a_query_is_refused(query: str) -> None:
    with pytest.raises(RuleFileError):
        read_kql(query)


def test_an_error_names_the_line() -> None:
    with pytest.raises(RuleFileError, match="line 3"):
        read_lucene('event.action:a\n\n"never closed')
