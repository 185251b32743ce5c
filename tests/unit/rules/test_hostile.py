"""No file of rules makes a reader hang or crash."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.condition import And, Condition, Known, Not, Or, TypeIs, Unknown, named, possible
from forwarder.rules.conditions.patterns import expression, full_match, wildcard
from forwarder.rules.conditions.rule import Rule
from forwarder.rules.coverage import Suggestions, coverage
from forwarder.rules.elastic.kql import read_kql
from forwarder.rules.load import read_rules
from tests.unit.rules.helpers import judge, read, types

LONG = "user." + "a" * 100


@contextmanager
def at_once() -> Iterator[None]:
    """Check that the block is fast: far below the years of backtracking, and far above the noise of a busy machine."""
    started = time.process_time()
    yield
    assert time.process_time() - started < 10


@pytest.mark.long
@pytest.mark.parametrize("text", ["*a" * 50 + "*b", "a*" * 500, "?*" * 200 + "b", "*" * 5000 + "b"])
def test_a_wildcard_of_many_stars_is_matched_at_once(text: str) -> None:
    with at_once():
        assert not wildcard(text + "!", one="?").matches(LONG)
        assert wildcard(f"*{text}*".replace("b", "a"), one="?").matches("a" * 600)


@pytest.mark.long
@pytest.mark.parametrize(
    "text", ["(a+)+!", "(.*)*" * 8 + "!", ".*a" * 20 + "!", r"((\w+\.?)*)*$!", "(a|aa|a.)+!"]
)  # fmt: skip
def test_an_evil_regular_expression_is_matched_at_once(text: str, tmp_path: Path) -> None:
    with at_once():
        pattern = expression(text, whole=False)
        assert pattern is not None
        assert not any(pattern.matches(name) for name in [*EVENT_TYPES, LONG] if "!" not in name)
        judge(tmp_path, "esql", f'from logs-okta* | where event.action rlike "{text}"'.replace("\\", "\\\\"))


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        (r"user\.(session|mfa)\.[^.]+", "user.mfa.update", "user.mfa.factor.update"),
        ("(?i)USER.*", "user.session", "group"),
        ("(?i:USER)X", "userX", "userx"),
        (r"a{2,3}?b{2}", "aaabb", "aaaabb"),
        (r"\w+\d\s", "a1 ", "ab "),
        (r"[^a-c]\D[\d_]", "dd_", "ad_"),
        (r"^(a|bc)*$", "abca", "abb"),
        (r"\Aa\z", "a", "b"),
        (r"a\Bb", "ab", "a-b"),
        ("é+", "éé", "e"),
        ("", "", "a"),
    ],
)
def test_a_regular_expression_matches_the_whole_text(text: str, matching: str, other: str) -> None:
    matches = full_match(text)
    assert (matches(matching), matches(other)) == (True, False)


@pytest.mark.parametrize(
    "text", ["(", "a{9999}", "(((a?){99}){99}){99}!", "(?P<n>a)(?P=n)", "(?!user)[a-z]+", "x" * 20_000, "\ud800"]
)
def test_a_regular_expression_that_cannot_be_matched_is_refused(text: str) -> None:
    with pytest.raises(RuleFileError):
        full_match(text)


@pytest.mark.long
def test_a_long_query_is_read_at_once_or_refused(tmp_path: Path) -> None:
    with at_once():
        many = judge(tmp_path, "kuery", "event.action: (" + " or ".join(["user.session.start", "no.such"] * 1000) + ")")
        assert (many.by_hooks, list(many.unknown)) == (("user.session.start",), ["no.such"])
        names = judge(tmp_path, "kuery", "event.action: (" + " or ".join(f"no.such.{n}" for n in range(2000)) + ")")
        assert len(names.unknown) == 2000
        judge(tmp_path, "esql", "from logs-okta* " + "/*" * 40_000 + "*/")
        with pytest.raises(RuleFileError, match="more than 100,000 characters"):
            read_kql("a " * 200_000)


@pytest.mark.long
def test_a_long_list_of_types_is_judged_at_once(tmp_path: Path) -> None:
    names = [*list(EVENT_TYPES)[:300], *(f"no.such.{n}" for n in range(5_000))]
    detection = {"s": {"eventtype": names}, "condition": "s"}
    (tmp_path / "a.yml").write_text(
        json.dumps({"title": "t", "logsource": {"product": "okta"}, "detection": detection})
    )
    with at_once():
        ((rule,), problems) = read(tmp_path / "a.yml")
        needs = coverage(rule)
    assert needs is not None
    assert (problems, types(needs), len(needs.unknown)) == ([], set(names[:300]), 5_000)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yml", "date: 2024-99-99\n"),
        ("a.yml", "date: 2024-02-30T25:61:61Z\n"),
        ("a.yml", "number: " + "9" * 10_000),
        ("a.yml", "number: 0x" + "f" * 10_000),
        ("a.yml", "number: 99:99:99:99\nfloat: 1e99999\n"),
        ("a.yml", "tagged: !!int x\nother: !!timestamp y\nown: !Ref z\nobject: !!python/object/apply:os.system [ls]\n"),
        ("a.yml", "value: =\nalso: <<\n"),
        ("a.json", '{"number": ' + "9" * 10_000 + "}"),
        ("a.json", '{"number": NaN, "float": 1e99999, "surrogate": "\\ud800"}'),
    ],
)  # fmt: skip
def test_odd_values_beside_a_rule_are_ignored(name: str, text: str, tmp_path: Path) -> None:
    rule = {
        "title": "t",
        "logsource": {"product": "okta"},
        "detection": {"s": {"eventtype": "zone.create"}, "condition": "s"},
    }
    query = {"name": "t", "query": "okta: a and event.action: zone.create"}
    inside = json.loads(text, parse_int=str) if name == "a.json" else {}
    written = (
        json.dumps(query | inside)
        if inside
        else "\n".join(f"{key}: {json.dumps(value)}" for key, value in rule.items())
    )
    (tmp_path / name).write_text(written if inside else f"{written}\n{text}")
    rules, problems = read(tmp_path / name)
    assert problems == []
    named = [types(needs) for found in rules if (needs := coverage(found))]
    assert named == [{"zone.create"}]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "date = 2024-99-99\n"),
        ("a.toml", "number = " + "9" * 10_000),
        ("a.toml", "a = " + "[" * 100_000),
        ("a.json", "[" * 100_000),
        ("a.json", '{"a":' * 50_000),
        ("a.yml", "a: " + "[" * 100_000),
        ("a.yml", "- " * 10_000 + "a"),
        ("a.yml", "a: &a [*a]"),
        ("a.yml", "a: &a {<<: *a}"),
        ("a.yml", "? [a, b]\n: c"),
        ("a.yml", "a: *nothing"),
        ("a.yml", "a: " + "x" * (5 << 20)),
    ],
)
def test_a_file_that_cannot_be_decoded_is_a_problem(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with at_once():
        rules, problems = read(tmp_path / name)
    assert (rules, len(problems)) == ([], 1)


@pytest.mark.long
@pytest.mark.parametrize("entry", ["[{0}]", "{{<<: [{0}]}}", "{{x: [{0}]}}"])
def test_a_billion_laughs_attack_is_a_problem_at_once(entry: str, tmp_path: Path) -> None:
    levels = ["a0: &a0 {b: c}"]
    levels += [f"a{n}: &a{n} " + entry.format(", ".join([f"*a{n - 1}"] * 10)) for n in range(1, 12)]
    rule = "title: t\nlogsource: {product: okta}\ndetection: {s: {eventtype: zone.create}, also: *a11, condition: s}\n"
    (tmp_path / "a.yml").write_text("\n".join(levels) + "\n" + rule)
    with at_once():
        rules, problems = read(tmp_path / "a.yml")
    assert (rules, len(problems)) == ([], 1) or (len(rules), problems) == (1, [])


OKTA = "title: t\nlogsource: {product: okta}\ndetection:\n"
MANY = "".join(f"  s{n}: {{eventType: x{n}.y}}\n" for n in range(1000))
STARS = "  s: {eventType: [" + ", ".join(f"'*u{n}*s*e*'" for n in range(5000)) + "]}\n  condition: s\n"


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.yml", f"{OKTA}{MANY}  condition: {' or '.join(['1 of s*'] * 500)}\n", "more than 100,000 tests"),
        ("a.yml", f"{OKTA}{MANY}  condition: [{', '.join(['all of them'] * 500)}]\n", "more than 100,000 tests"),
        ("a.yml", f"{OKTA}{MANY}  condition: {' or '.join(['1 of s1'] * 500)}\n", "more than 100,000 tests"),
        ("a.yml", f"{OKTA}{STARS}", "more than 2,000 patterns"),
        ("a.yml", f"{OKTA}{STARS.replace('eventType', 'eventType|re').replace('*', '.*')}", "more than 2,000 patterns"),
        ("a.json", json.dumps({"name": "t", "query": f"event.action: ({' or '.join(f'a{n}*' for n in range(3000))})"}), "more than 2,000"),
        ("a.yml", f"action: global\n{OKTA}{MANY}" + "---\ntitle: t\ndetection: {condition: s1}\n" * 200, "copy more than 100,000 values"),
        ("a.yml", f"{OKTA}  s: {{eventType: a.b}}\n  condition: s\n" + "---\naction: repeat\ntitle: t\n" * 2000, "copy more than 100,000 values"),
        ("a.txt", '"' + r'\"' * 30_000, "cannot read"),
        ("a.yml", "title: t\ndetection:\n  okta_systemlog: |\n    '" + r"\'" * 30_000, "cannot read"),
        ("a.toml", "a" + ".a" * 50_000 + " = 1\n", "nested too deeply"),
        ("a.toml", "[" + "'a' . " * 50_000 + "a]\n", "nested too deeply"),
        ("a.toml", "b = {a" + ".a" * 50_000 + " = 1}\n", "nested too deeply"),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_small_file_with_a_high_cost_is_a_problem_at_once(
    name: str, text: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with at_once():
        _, problems = read(tmp_path / name)
    assert [expected in problem.text for problem in problems] == [True]


@pytest.mark.long
def test_only_so_many_names_of_a_run_get_a_suggestion() -> None:
    known = {"user.session.start": ()}
    suggestions = Suggestions(known)
    with at_once():
        found = [suggestions.nearest(f"user.session.start{n}") for n in range(20_000)]
    assert found == ["user.session.start"] * 500 + [None] * 19_500
    assert suggestions.nearest("user.session.start1") == "user.session.start"


CONDITIONS = st.recursive(
    st.sampled_from([Known(value=True), Known(value=False), Unknown()])
    | st.sampled_from(["a", "b", "a*", "*", "c"]).map(lambda text: TypeIs(wildcard(text))),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts)))
        | st.lists(inner, max_size=3).map(lambda parts: Or(tuple(parts)))
        | inner.map(Not)
    ),
    max_leaves=8,
)


@pytest.mark.long
@given(condition=CONDITIONS)
def test_all_types_are_judged_at_once_as_each_by_itself(condition: Condition) -> None:
    names = ("a", "b", "ab")
    found = coverage(Rule("t", "t", (condition,)), dict.fromkeys(names, ()))
    expected = {
        name
        for name in names
        if any(pattern.matches(name) for pattern in named(condition)) and possible(condition, name) is not False
    }
    assert (types(found) if found else set()) == expected


@pytest.mark.long
def test_rules_check_refuses_too_many_patterns_as_coverage_does(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(f"{OKTA}{STARS}")
    with at_once():
        _, (problem,) = read_rules([tmp_path / "a.yml"])
    assert "more than 2,000 patterns" in problem.text


@pytest.mark.long
def test_a_file_of_many_rules_with_many_patterns_is_a_problem_at_once(tmp_path: Path) -> None:
    query = " or ".join(f"a{number}*" for number in range(1_500))
    rule = json.dumps({"name": "Okta", "language": "kuery", "query": f"event.action: ({query})"})
    (tmp_path / "rules.ndjson").write_text(f"{rule}\n" * 40)
    with at_once():
        rules, problems = read(tmp_path / "rules.ndjson")
    assert (len(rules), ["split the file" in problem.text for problem in problems]) == (13, [True])
