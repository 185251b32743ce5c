"""EQL: the event types that a query names."""

from pathlib import Path

import pytest
from antlr4 import InputStream
from esql_parser.EsqlBaseLexer import EsqlBaseLexer

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions import comparisons
from forwarder.rules.conditions.query_tokens import tokenize
from forwarder.rules.elastic.eql import read_eql
from tests.unit.rules.helpers import judge, types, under

START, END, LOCK = "user.session.start", "user.session.end", "user.account.lock"


@pytest.mark.parametrize(
    ("where", "named"),
    [
        (f'event.action == "{START}"', {START}),
        (f'"{START}" == event.action', {START}),
        (f'event.action in ("{START}", "{LOCK}")', {START, LOCK}),
        (f'event.action in~ ("{START.upper()}")', {START}),
        ('event.action like "user.session.*"', under("user.session.")),
        ('event.action like~ ("USER.SESSION.star?")', {START}),
        (f'okta.event_type : ("{START}", "user.mfa*")', under("user.mfa") | {START}),
        (f'okta.event_type: "{START}" and process.pid > 3', {START}),
        ('event.action regex "user[.]session[.](start|end)"', {START, END}),
        ('startsWith(event.action, "user.session.")', under("user.session.")),
        ('endsWith~(event.action, "R.session.end")', {END}),
        ('wildcard(event.action, "user.session.s*", "user.account.loc?")', {START, LOCK}),
        (f'?okta.event_type == """{START}"""', {START}),
        (f"okta.`event_type` == '{START}' // {LOCK}", {START}),
        (f'event.action != "{START}"', set()),
        (f'"{START}" != event.action or "{START}" == "{START}"', set()),
        ('event.action regex "[[a]user.session.star."', set()),
        (f'event.action not in ("{START}")', set()),
        (f'not event.action == "{START}"', set()),
        (f'not (event.action == "{START}" or not event.action == "{LOCK}")', {LOCK}),
        ('event.action : "user.session.*" and event.action != "user.session.start"', under("user.session.") - {START}),
        (f'event.outcome == "{START}"', set()),
        ("event.action != null and arrayContains(tags[0], event.action)", set()),
    ],
)  # fmt: skip
def test_a_type_is_named_by_a_comparison(where: str, named: set[str], tmp_path: Path) -> None:
    assert types(judge(tmp_path, "eql", f"any where {where}")) == named


def test_every_step_of_a_sequence_names_types(tmp_path: Path) -> None:
    needs = judge(
        tmp_path,
        "eql",
        f"""
        sequence by okta.actor.id with maxspan=10m
          [any where event.action == "{START}" and okta.outcome.result == "FAILURE"] by user.name with runs=5
          ![any where event.action == "{LOCK}"]
          until [any where okta.event_type : "{END}"]
        | head 5
        """,
    )
    assert types(needs) == {START, LOCK, END}


def test_a_type_that_one_step_excludes_may_be_named_by_another_step(tmp_path: Path) -> None:
    query = f'sequence [any where event.action != "{START}"] [any where event.action == "{START}"]'
    assert types(judge(tmp_path, "eql", query)) == {START}


def test_an_event_without_a_condition_names_nothing(tmp_path: Path) -> None:
    assert types(judge(tmp_path, "eql", "sequence [any where true] [any]")) == set()


@pytest.mark.parametrize(
    "query", ['any where event.action == "a', "any where (a == 1", "any where a == 1 ] b", "sequence [any where a"]
)
def test_a_text_that_is_not_a_query_is_refused(query: str) -> None:
    with pytest.raises(RuleFileError):
        read_eql(query)


@pytest.mark.parametrize("before", ["/* note */ ", "// note\n", "\n  /* a\n b */\n// c\n", "/* sequence */"])
@pytest.mark.parametrize("series", ["sequence by user.id", "sample by user.id", "SEQUENCE /* x */ with maxspan=1h"])
def test_a_series_behind_a_comment_is_read(before: str, series: str, tmp_path: Path) -> None:
    steps = f'[any where event.action == "{START}"] /* then */ [any where event.action == "{END}"]'
    assert types(judge(tmp_path, "eql", f"{before}{series} {steps}")) == {START, END}


def test_a_single_condition_behind_a_comment_is_read(tmp_path: Path) -> None:
    assert types(judge(tmp_path, "eql", f'/* sequence of one */ any where event.action == "{START}"')) == {START}


@pytest.mark.parametrize(
    "query", [f'any where event.action == "{START}" /* open', "/* open */ any /*\n where true", "/*/ any"]
)
def test_a_comment_without_an_end_is_refused(query: str) -> None:
    with pytest.raises(RuleFileError, match=r"line 1 of the query: the comment has no end: '/\*"):
        read_eql(query)


@pytest.mark.parametrize(
    ("comment", "after"),
    [
        ("/* a /* b */ c */", ""),
        ("/* /* /* */ */ */", ""),
        ("/* a /* b */ c /* d */ e */", ""),
        ("/*//* */ */", ""),
        ("/* a /* b */", ""),  # with too few ends, `/*` in a comment is text
        ("/* a /* /* b */ c */", ""),
        ("/* /*/", ""),
        ("/* /*/*/ */", " */"),
        ("/* a */", " b */"),
        ("/* /* a */ */", " */"),
        ("// note\r", ""),
    ],
)
def test_a_comment_ends_where_elasticsearch_ends_it(comment: str, after: str) -> None:
    lexer = EsqlBaseLexer(InputStream(f"{comment}{after} where"))
    assert lexer.nextToken().text == comment
    assert _texts(f"{comment}{after} where") == _texts(f"{after} where")


def _texts(query: str) -> list[str]:
    return [token.text for token in tokenize(query, comparisons.TOKENS, comparisons.unquoted)]


def test_thousands_of_nested_comments_are_read_at_once() -> None:
    assert _texts("/*" * 20_000 + "*/" * 20_000 + "/**/" * 4_000 + "any") == ["any"]
