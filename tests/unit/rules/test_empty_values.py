"""A rule with an empty list, text or section is refused, if the rule would otherwise match every event or be ignored."""

import json
from pathlib import Path

import pytest

from forwarder.rules.load import read_rules
from forwarder.rules.rule_tests import run_tests
from tests.unit.rules.helpers import read

RULE = "title: t\nid: t\nlogsource: {product: okta}\ndetection: {s: {eventType: a.b}, condition: s}\n"
HEAD = "title: t\nlogsource: {product: okta}\n"


def problems_of(folder: Path, text: str, name: str = "a.yml") -> list[str]:
    (folder / name).write_text(text)
    return [str(problem).removeprefix(f"{folder}/") for problem in read_rules([folder / name], {"blank": [""]})[1]]


@pytest.mark.parametrize(
    "selection",
    [
        "{actor.id|contains: ''}", "{actor.id|startswith: ['a', '']}", "{actor.id|endswith|cased: ''}",
        "{actor.id|re: ''}", "{actor.id|re|expand: '%blank%'}", "{actor.id|contains|expand: '%blank%'}",
        "{actor.id|expand|startswith: '%blank%'}", "''", "[a, '']", "{'|expand': '%blank%'}",
    ],
)  # fmt: skip
def test_a_value_that_is_in_every_text_because_it_is_empty_is_refused(selection: str, tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, f"{HEAD}detection:\n  s: {selection}\n  condition: s\n")
    assert problem.startswith("a.yml:4: ")
    assert "is empty, so it matches every value; " in problem


@pytest.mark.parametrize(
    "selection", ["{actor.id: ''}", "{actor.id: '*'}", "{actor.id|expand: '%blank%'}", "{actor.id|re: '.*'}"]
)
def test_an_empty_value_that_matches_only_an_empty_field_and_a_wildcard_are_read(
    selection: str, tmp_path: Path
) -> None:
    assert problems_of(tmp_path, f"{HEAD}detection:\n  s: {selection}\n  condition: s\n") == []


@pytest.mark.parametrize(
    "query", ['actor.id co ""', 'a pr and not actor.id sw ""', 'actor.id ew ("a" or "")', 'actor.id ge ""']
)
def test_a_filter_with_an_empty_text_that_every_value_contains_is_refused(query: str, tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, query, "a.txt")
    assert problem.startswith("a.txt:1: actor.id ")
    assert '"" is true for every value; write a text, or `actor.id pr`' in problem
    assert problems_of(tmp_path, 'actor.id eq "" or actor.id ne "" or actor.id in [""]', "a.txt") == []


@pytest.mark.parametrize("condition", ["[s, null]", "[s, {a: b}]", "[[s], s]"])
def test_a_list_of_conditions_with_an_item_that_is_no_condition_is_refused(condition: str, tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, f"{HEAD}detection:\n  s: {{eventType: a.b}}\n  condition: {condition}\n")
    assert problem == "a.yml:5: each item of `condition` must be a string, as in `condition: selection`"


@pytest.mark.parametrize(
    "source", ["{}", "{product: null}", "{service: ''}", "{product: [okta]}", "{product: okta, service: {a: b}}"]
)
def test_a_rule_without_a_log_source_is_not_left_out_as_one_about_another_product(source: str, tmp_path: Path) -> None:
    found = problems_of(tmp_path, RULE.replace("{product: okta}", source))
    assert [problem.startswith("a.yml:3: ") and "`logsource`" in problem for problem in found] == [True], found


@pytest.mark.parametrize(
    "detection", ["{}", "{okta_systemlog: ''}", "{okta_systemlog: []}", "{okta_systemlog: {oie: null}}"]
)
def test_a_detection_of_oktas_catalogue_without_a_query_is_not_left_out(detection: str, tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, f"title: t\ndetection: {detection}\n")
    assert problem == "a.yml:1: the rule's `detection` has no query; add `okta_systemlog`"


@pytest.mark.parametrize("written", ["[]", "null"])
def test_a_correlation_with_an_empty_list_of_groups_is_refused(written: str, tmp_path: Path) -> None:
    correlation = f"{{type: event_count, rules: t, timespan: 5m, condition: {{gte: 2}}, group-by: {written}}}"
    (problem,) = problems_of(tmp_path, f"{RULE}---\ntitle: c\ncorrelation: {correlation}\n")
    assert problem == "a.yml:7: `group-by` is empty; name at least one field, or remove the key"


@pytest.mark.parametrize("written", ["", "''", "[]"])
def test_an_exception_with_an_empty_last_day_does_not_apply_without_end(written: str, tmp_path: Path) -> None:
    exception = f"{HEAD}filter: {{rules: any, s: {{a: b}}, condition: not s}}\nuntil: {written}\n"
    (problem,) = problems_of(tmp_path, exception)
    assert problem.startswith("a.yml:4: `until` is ")


@pytest.mark.parametrize("text", ["Tests: []\n", "[]\n", "Lists: {a: [b]}\nTests: []\n"])
def test_a_file_of_tests_without_a_test_does_not_pass(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(RULE)
    (tmp_path / "a.tests.yml").write_text(text)
    assert [problem.text for problem in run_tests([tmp_path], {})[1]] == ["holds no test"]


@pytest.mark.parametrize(
    ("language", "query"),
    [
        ("eql", "any where event.action in ()"), ("eql", "any where not event.action in~ ()"),
        ("eql", "any where event.action not in ()"), ("eql", "any where event.action : ( )"),
        ("esql", "from logs-okta* | where event.action in ()"), ("kuery", "event.action: ()"), ("lucene", "event.action: ()"),
    ],
)  # fmt: skip
def test_a_query_of_elastic_that_compares_with_a_list_without_values_is_refused(
    language: str, query: str, tmp_path: Path
) -> None:
    rule = {"name": "a rule about Okta", "rule_id": "r", "language": language, "query": query}
    (tmp_path / "a.json").write_text(json.dumps(rule))
    found, (problem,) = read(tmp_path / "a.json")
    assert found == []
    assert "rule 'a rule about Okta': " in problem.text
