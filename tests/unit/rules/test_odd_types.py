"""A rule or a test with odd types, keys or very long values is read or is a short problem, without a traceback, at once."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from forwarder.cli.main import main
from forwarder.rules.load import read_rules
from forwarder.rules.rule_tests import run_tests
from tests.unit.rules.test_hostile import at_once

HEAD = "title: t\nid: t\nlogsource: {product: okta}\n"
RULE = f"{HEAD}detection: {{s: {{eventType: a.b}}, condition: s}}\n"
LONG = "x" * 3_000_000
ODD = [
    "null",
    "true",
    "2024-01-01",
    "1.5",
    "[a, b]",
    "[]",
    "{}",
    "''",
    "{a: {b: 1}}",
    "{null: 1}",
    "[[[]]]",
    "1:30",
    "[null]",
    "[{a: b}]",
]


def problems_of(folder: Path, text: str, name: str = "a.yml") -> list[str]:
    (folder / name).write_text(text)
    with at_once():
        found = [str(problem) for problem in read_rules([folder / name], {})[1]]
    assert all(problem.startswith(f"{folder / name}:") and len(problem) < 1_500 for problem in found), found
    return [problem.removeprefix(f"{folder}/") for problem in found]


def failures(folder: Path, rules: str, tests: str, suffix: str = ".yml") -> list[str]:
    """Return the failures of the tests and the problems of their file."""
    (folder / f"a{suffix}").write_text(rules)
    (folder / "a.tests.yml").write_text(tests)
    with at_once():
        results, problems, _ = run_tests([folder / "a.tests.yml"], {})
    found = [each.failure for each in results if each.failure] + [problem.text for problem in problems]
    assert all(len(each) < 1_500 for each in found)
    return found


@pytest.mark.parametrize("written", ODD)
def test_a_rule_with_a_filter_of_any_type_beside_its_detection_is_refused(written: str, tmp_path: Path) -> None:
    assert problems_of(tmp_path, f"{RULE}filter: {written}\n") == [
        "a.yml:5: a document has either `detection` or `filter`; remove one of the two"
    ]


@pytest.mark.parametrize("number", ["9" * 400, "0x" + "f" * 5000, "-" + "9" * 400, "0b" + "1" * 20_000])
@pytest.mark.parametrize("field", ["actor.id", "actor.id|gt", "actor.id|neq"])
def test_a_number_that_no_double_can_hold_is_refused(field: str, number: str, tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, f"{HEAD}detection:\n  s: {{{field}: {number}}}\n  condition: s\n")
    assert "is not a valid number" in problem


@pytest.mark.parametrize(
    "selection",
    [
        f"{{actor.id: {LONG}}}", f"{{actor.id|contains: ['{'*a' * 1_000_000}']}}", f"['{LONG}']", f"{{actor.id|re: {LONG}}}",
        f"{{actor.id|expand: '{'%' * 3_000_000}'}}", f"{{actor.id|cidr: {LONG}}}", f"{{actor.id|gt: {LONG}}}",
        f"{{actor.id|fieldref: {LONG}}}", f"{{actor.id|{LONG}: a}}", f"{{{'a.' * 1_000_000}a: a}}", f"{{? {LONG}\n  : a}}",
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
@pytest.mark.long
def test_a_value_or_a_field_of_megabytes_is_a_short_problem_at_once(selection: str, tmp_path: Path) -> None:
    text = f"{HEAD}detection:\n  s: {selection}\n  condition: s\n"
    assert len(problems_of(tmp_path, text)) < 2
    with at_once():
        assert CliRunner().invoke(main, ["rules", "coverage", str(tmp_path / "a.yml")]).exit_code in (0, 2)


@pytest.mark.parametrize("key", ["title", "id", "name", "level", "status", LONG])
def test_a_text_or_an_unknown_key_of_megabytes_is_a_short_problem(key: str, tmp_path: Path) -> None:
    rule = "".join(f"{line}\n" for line in RULE.splitlines() if not line.startswith(f"{key}:"))
    assert problems_of(tmp_path, f"{rule}? {key}\n: {LONG}\n")
    assert len(CliRunner().invoke(main, ["rules", "check", str(tmp_path / "a.yml")]).output) < 10_000


@pytest.mark.long
def test_a_field_of_a_filter_with_thousands_of_parts_is_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f'a{".a" * 40_000} eq "x"\n')
    with at_once():
        read_rules([tmp_path / "a.txt"])


@pytest.mark.parametrize("key", ["tags", "references"])
def test_tags_and_references_that_are_no_strings_are_a_problem(key: str, tmp_path: Path) -> None:
    for item in ("{a: b}", "[a]"):
        assert problems_of(tmp_path, f"{RULE}{key}: [{item}]\n") == [f"a.yml:5: each item of `{key}` must be a string"]


@pytest.mark.parametrize("expected", ["true", "false"])
@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("query", ['actor co "x"', "actor pr", "actor.id eq 5", 'actor.id ne "x"', "actor.id gt 5"])
def test_an_event_of_a_test_may_have_values_of_any_type(query: str, value: str, expected: str, tmp_path: Path) -> None:
    test = f"- {{Name: n, ExpectedResult: {expected}, Log: {{eventType: a.b, actor: {{id: {value}}}}}}}\n"
    found = failures(tmp_path, query, test, ".txt")
    if value == "{null: 1}":
        assert found == ["line 1: an event has the key null; write each key as a string, in quotes"]
    else:
        assert len(found) < 2


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        ("{Name: n, ExpectedResult: true, Log: {null: 1}}", "line 1: an event has the key null; write each key"),
        ("{Name: n, ExpectedResult: true, Log: {}, null: 1, x: 2}", "line 1: the test has the unknown key "),
        ("{Name: n, ExpectedResult: true, Log: {}, ? [a] : 2}", "found unhashable key"),
        ("{Name: n, ExpectedResult: true, Log: {published: [a]}}", "line 1: `published` must be a time"),
        ("{Name: [n], ExpectedResult: true, Log: {}}", "line 1: Name and Rule must be strings"),
        ("{Name: n, Rule: {a: b}, ExpectedResult: true, Log: {}}", "line 1: Name and Rule must be strings"),
        (f"{{Name: n, ExpectedResult: true, Log: {{}}, Rule: {LONG}}}", "a.yml has no rule 'xxx"),
        (f"{{Name: n, ExpectedResult: true, Log: {{}}, ? {LONG}\n : 2}}", "line 1: the test has the unknown key 'xxx"),
    ],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_a_test_with_odd_keys_or_types_is_a_short_problem(test: str, problem: str, tmp_path: Path) -> None:
    (found,) = failures(tmp_path, RULE, f"- {test}\n")
    assert problem in found


@pytest.mark.parametrize("item", ["null", "{a: b}", "[a]"])
def test_a_list_of_a_test_file_has_only_values(item: str, tmp_path: Path) -> None:
    rule = f"{HEAD}detection: {{s: {{actor.id|expand: '%x%'}}, condition: s}}\n"
    tests = f"Lists: {{x: [{item}]}}\nTests: [{{Name: n, ExpectedResult: true, Log: {{}}}}]\n"
    assert failures(tmp_path, rule, tests) == ["`Lists` must name lists, as in {embargo: [IR, KP]}"]
