"""ES|QL: the event types that a query names."""

from pathlib import Path

import pytest

from forwarder.core.errors import RuleFileError
from forwarder.rules.elastic.esql import read_esql
from tests.unit.rules.helpers import judge, types, under

START, END, LOCK = "user.session.start", "user.session.end", "user.account.lock"


@pytest.mark.parametrize(
    ("piped", "named"),
    [
        (f'WHERE event.action == "{START}"', {START}),
        (f'where event.action IN ("{START}", "{LOCK}") | limit 5', {START, LOCK}),
        ('where okta.event_type LIKE "user.session.*" // "user.account.lock"', under("user.session.")),
        ('where event.action like ("user.session.s*", "user.account.loc?")', {START, LOCK}),
        (r'where event.action RLIKE "user\\.session\\.(start|end)"', {START, END}),
        ('where event.action rlike """user\\.session\\.start"""', {START}),
        ('where STARTS_WITH(event.action, "user.session.")', under("user.session.")),
        (f'where mv_contains(event.action, "{START}") or term(event.action, "{LOCK}")', {START, LOCK}),
        (f'where TO_UPPER(event.action) == "{START.upper()}"', {START}),
        (f'where okta.`event_type`::keyword == "{START}"', {START}),
        (f'where event.action : "{START}" and match(event.action, "{LOCK}")', set()),  # no event is both
        (f'where match(event.action, "{START}", {{"operator": "AND", "fuzziness": "AUTO"}})', {START}),
        (f'where kql("event.action: {START}") or qstr("event.action: {LOCK}")', {START, LOCK}),
        (f'where not event.action in ("{START}")', set()),
        (f'where event.action NOT IN ("{START}") and event.action NOT LIKE "{LOCK}*"', set()),
        (f'where event.action LIKE "user.session.*" | where event.action != "{START}"', under("user.session.") - {START}),
        (f'eval signs_in = event.action == "{START}"', {START}),
        (f'eval kind = case(event.action == "{START}", "in", event.action == "{END}", "out", "?")', {START, END}),
        (f'stats starts = count(*) where event.action == "{START}", ends = count(*) where event.action == "{END}" by user.name', {START, END}),
        (f'where event.action == "{LOCK}" | eval same = event.action in ("{LOCK}", "{START}")', {LOCK}),
        ("where @timestamp > now() - 7 days and okta.event_type is not null | keep okta.*, -x | sort a desc", set()),
        (f'fork (where event.action == "{START}" | limit 1) (where event.action == "{END}")', {START, END}),
        ('enrich policy on event.action with name | dissect event.action "%{a}.%{b}"', set()),
    ],
)  # fmt: skip
def test_a_type_is_named_by_a_comparison(piped: str, named: set[str], tmp_path: Path) -> None:
    needs = judge(tmp_path, "esql", f"from logs-okta.system-* metadata _id\n| {piped}")
    assert (types(needs), needs.unknown) == (named, {})


def test_the_pattern_of_an_unreadable_regular_expression_names_nothing(tmp_path: Path) -> None:
    assert types(judge(tmp_path, "esql", 'from logs | where event.action rlike "user.(session"')) == set()


@pytest.mark.parametrize("query", ["from logs | where (a == 1", 'from logs | where a == "b', "from logs ) | limit 1"])
def test_a_text_that_is_not_a_query_is_refused(query: str) -> None:
    with pytest.raises(RuleFileError):
        read_esql(query)


def test_a_comment_without_an_end_is_refused() -> None:
    with pytest.raises(RuleFileError, match=r"line 2 of the query: the comment has no end: '/\* open'"):
        read_esql('from logs-okta* /* closed */\n| where event.action == "user.session.start" /* open')
