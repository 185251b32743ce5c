"""Files of rules, in every supported form."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rules.helpers import read

RULE = {"name": "A rule", "rule_id": "1", "type": "query", "language": "kuery", "query": "event.action: a"}
ELASTIC_TOML = """
[metadata]
integration = ["okta"]
maturity = "production"

[rule]
name = "A rule"
rule_id = "1"
language = "kuery"
type = "query"
query = '''
event.action: user.account.lock
'''

[[rule.threat]]
framework = "F"
"""


def one(path: Path, text: str | bytes) -> tuple[list[str], list[str]]:
    """Return the names of the rules in a file with this text, and its problems."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    rules, problems = read(path)
    return [rule.name for rule in rules], [f"{problem.place}: {problem.text}" for problem in problems]


@pytest.mark.parametrize(
    "found",
    [
        RULE,
        [RULE],
        {"rules": [RULE]},
        {"page": 1, "total": 1, "data": [RULE]},
        {"rule": RULE, "metadata": {"maturity": "production"}},
        {"id": "x", "type": "security-rule", "attributes": RULE},
        {"type": "alert", "attributes": {"name": "A rule", "params": {"query": "event.action: a"}}},
        {"name": "A rule", "language": ["ES|QL"], "query": ["from logs", "from other"]},
        {"name": "A rule", "type": "machine_learning", "machine_learning_job_id": "okta"},
    ],
)
def test_json_holds_rules_alone_in_lists_and_wrapped(found: Any, tmp_path: Path) -> None:
    assert one(tmp_path / "rules.json", json.dumps(found)) == (["A rule"], [])


@pytest.mark.parametrize("suffix", ["ndjson", "jsonl", "json"])
def test_an_export_of_kibana_has_a_rule_a_line(suffix: str, tmp_path: Path) -> None:
    lines = [RULE, {**RULE, "name": "Another"}, {"exported_count": 2, "missing_rules": []}]
    text = "\n".join(map(json.dumps, lines)) + "\n\n"
    assert one(tmp_path / f"export.{suffix}", text) == (["A rule", "Another"], [])


def test_toml_holds_a_rule_or_a_hunt(tmp_path: Path) -> None:
    assert one(tmp_path / "rule.toml", ELASTIC_TOML) == (["A rule"], [])
    hunt = '[hunt]\nname = "A hunt"\nlanguage = ["ES|QL"]\nquery = ["from logs", "from other"]\n'
    assert one(tmp_path / "hunt.TOML", hunt) == (["A hunt"], [])


def test_the_integration_beside_a_rule_tells_what_it_is_about(tmp_path: Path) -> None:
    (tmp_path / "rule.toml").write_text(ELASTIC_TOML)
    ((rule,), _) = read(tmp_path)
    assert (rule.okta, rule.id, rule.language) == (True, "1", "kuery")


def test_every_line_of_any_other_file_is_a_filter(tmp_path: Path) -> None:
    text = '# what we watch\n\n  eventType eq "a"\neventType sw "b"\neventType is "c"\n' + "x pr or " * 30 + "x pr"
    names, problems = one(tmp_path / "filters.txt", text)
    assert names[:2] == ['eventType eq "a"', 'eventType sw "b"']
    assert len(names) == 3
    assert names[2].endswith("…")
    assert ["filters.txt:5: Unrecognized attribute operator 'is'" in problem for problem in problems] == [True]


def test_a_folder_is_read_at_any_depth_and_other_files_in_it_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "rule.toml").write_text(ELASTIC_TOML)
    (tmp_path / "a.json").write_text(json.dumps(RULE))
    (tmp_path / "package.json").write_text('{"name": "no rule"}')
    (tmp_path / "README.md").write_text("no filter")
    rules, problems = read(tmp_path)
    assert ([rule.name for rule in rules], problems) == (["A rule", "A rule"], [])


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.toml", "[rule\n", "at line 1"),
        ("a.json", '{"a":\n  x}', "a.json:2: is not JSON"),
        ("a.ndjson", '{"a": 1}\n{"a": \n', "a.ndjson:2: is not JSON"),
        ("a.json", '{"a": 1}\n{"a": \n', "a.json:2: is not JSON"),
        ("a.yml", "a: 1\nb: [\n", "a.yml:3: is not YAML"),
        ("a.json", b"\xff", "is not UTF-8"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", json.dumps({**RULE, "query": "(" * 50_000}), "'A rule': its query is nested too deeply"),
        (
            "a.json",
            json.dumps({**RULE, "query": {"bool": {}}}),
            "'A rule': `query` must be a string; put the query in quotes",
        ),
        ("a.json", json.dumps({**RULE, "query": "a: (b"}), "a.json: rule 'A rule': the query ends where"),
        ("a.json", "{}", "contains no rule"),
        ("a.txt", "# nothing\n", "contains no rule"),
    ],
)
def test_an_unreadable_file_is_a_problem_with_its_place(
    name: str, text: str | bytes, told: str, tmp_path: Path
) -> None:
    names, (problem,) = one(tmp_path / name, text)
    assert names == []
    assert told in problem


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    (_, (problem,)) = read(tmp_path / "none.json")
    assert (problem.place, problem.text) == (
        str(tmp_path / "none.json"),
        "No such file or directory; create it, or correct the path",
    )


def test_an_unreadable_rule_does_not_affect_the_next_rules(tmp_path: Path) -> None:
    broken = {**RULE, "name": "Broken", "language": "eql", "query": 'any where a == "'}
    names, problems = one(tmp_path / "rules.json", json.dumps([RULE, broken, RULE]))
    assert names == ["A rule", "A rule"]
    assert len(problems) == 1
    assert "'Broken'" in problems[0]
