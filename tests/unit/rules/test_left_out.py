"""What is left out in a folder: rules and files about other products, but no unusable rule about Okta."""

import json
from pathlib import Path
from typing import Any

import pytest

from forwarder.rules.conditions.rule import SkipReason
from forwarder.rules.coverage import coverage
from tests.unit.rules.helpers import left_out, read, types

SELECTIONS = {"s": {"eventType": "zone.create"}, "condition": "s"}
SIGMA: dict[str, Any] = {"title": "Of Okta", "logsource": {"product": "okta"}, "detection": SELECTIONS}
ELASTIC: dict[str, Any] = {"name": "A rule", "type": "query", "language": "kuery", "integration": ["okta"]}
ZONES = 'eventType eq "zone.create"'
WINDOWS = """title: Registry
logsource: {product: windows, category: registry_set}
detection:
  selection: {EventType: SetValue}
  condition: selection
"""


def in_a_folder(folder: Path, name: str, text: str) -> Path:
    """Return a folder with the given file and a valid rule."""
    (folder / "sound.yml").write_text(json.dumps({**SIGMA, "title": "Sound"}))
    (folder / name).write_text(text)
    return folder


def problem_texts(folder: Path) -> list[str]:
    """Return the problems of a folder, and check that the valid rule is read."""
    rules, problems = read(folder)
    assert "Sound" in [rule.name for rule in rules]
    return [f"{problem.place}: {problem.text}" for problem in problems]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.yml", {**SIGMA, "detection": None}),
        ("a.yml", {**SIGMA, "detection": ZONES}),
        ("a.yml", {**SIGMA, "detection": [SELECTIONS]}),
        ("a.yml", {"title": "t", "logsource": {"product": "okta"}}),
        ("a.yml", {"logsource": {"product": "okta"}, "detection": None}),
        ("a.json", {**SIGMA, "detection": None}),
        ("a.yml", {"title": "Okta", "detection": {"s": {"eventType": "zone.create"}}}),
        ("a.yml", {"title": "Okta", "detection": ZONES}),
        ("a.yml", {"title": "t", "detection": {"okta_systemlog": None}}),
        ("a.yml", {"action": "global", "title": "t", "logsource": {"product": "okta"}}),
        ("a.json", ELASTIC),
        ("a.json", {**ELASTIC, "query": None}),
        ("a.yml", {**ELASTIC, "query": None}),
        ("a.json", {"items": [{**ELASTIC, "type": "saved_query", "saved_id": "x"}]}),
        ("a.json", {"name": "Okta", "rule_id": "1", "type": "eql", "index": ["logs-*"]}),
    ],
)
def test_a_rule_about_okta_that_cannot_be_used_is_named(name: str, found: Any, tmp_path: Path) -> None:
    (problem,) = problem_texts(in_a_folder(tmp_path, name, json.dumps(found)))
    assert name in problem


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.yml", {"rule": SIGMA}),
        ("a.yml", {"okta_zones": SIGMA}),
        ("a.yml", [SIGMA]),
        ("a.yml", {"items": [SIGMA]}),
        ("a.yml", {**SIGMA, "action": "global"}),
        ("a.json", SIGMA),
        ("a.json", [SIGMA]),
        ("a.ndjson", SIGMA),
        ("a.json", {"items": [{**ELASTIC, "query": "event.action: zone.create"}]}),
        ("a.yml", {"name": "n", "type": "query", "index": ["logs-okta*"], "query": "event.action: zone.create"}),
        ("a.yml", {"name": "n", "language": ["EQL"], "query": ['any where event.action == "zone.create"']}),
        ("a.yml", {"title": "t", "Detection": {"okta_systemlog": ZONES}}),
        ("a.yml", {**SIGMA, "logsource": {"product": "identity", "service": "okta"}}),
        ("a.yml", {"title": "t", "detection": {"Okta_SystemLog": {"OIE": ZONES}}}),
    ],
)  # fmt: skip
def test_a_rule_is_read_wherever_its_meaning_is_plain(name: str, found: Any, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(found))
    ((rule,), problems) = read(tmp_path)
    needs = coverage(rule)
    assert needs is not None
    assert (problems, types(needs)) == ([], {"zone.create"})


INDENTED = """
  # Every line is two spaces to the right.
  title: A
  logsource: {product: okta}
  detection:
    s: {eventType: zone.create}
    condition: s
"""


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (INDENTED, 1),
        (f"%YAML 1.1\n---{INDENTED}---\n{INDENTED}", 2),
        (f"{json.dumps(SIGMA)}\n...\n{json.dumps(SIGMA)}\n...\n", 2),
        (f"{json.dumps(SIGMA)}\n... # the end\n---\n{INDENTED}", 2),
        ("# nothing\n  # but comments\n%YAML 1.1\n", 0),
    ],
)
def test_a_document_counts_wherever_its_lines_begin(text: str, rules: int, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(text)
    found = read(tmp_path / "a.yml")
    assert (len(found[0]), len(found[1])) == (rules, 0 if rules else 1)
    assert [each.text for each in found[1]] == ["contains no rule"] * (not rules)


def test_an_array_of_tables_holds_rules(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[metadata]\nintegration = ["okta"]\n' + '[[rule]]\nname = "A"\nquery = "event.action: zone.create"\n' * 2
    )
    assert ([rule.okta for rule in read(tmp_path)[0]], read(tmp_path)[1]) == ([True, True], [])


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.yml", WINDOWS + "  bad: [unclosed\n", SkipReason.UNREADABLE),
        ("a.yml", WINDOWS.replace("  selection", "\tselection"), SkipReason.UNREADABLE),
        ("a.yml", WINDOWS.replace("Registry", "Okta Verify") + "  bad: [unclosed\n", SkipReason.UNREADABLE),
        ("a.yml", WINDOWS.replace("product: windows, ", "").rstrip() + " near x", SkipReason.UNREADABLE),
        ("a.yml", WINDOWS.rstrip() + " near x", SkipReason.OTHER_PRODUCT),
        ("a.yml", json.dumps({**SIGMA, "title": "Okta", "logsource": {"product": "aws"}, "detection": None}), SkipReason.OTHER_PRODUCT),
        ("a.json", '{"eventType": "AwsApiCall",', SkipReason.UNREADABLE),
        ("a.json", '{"name": "Okta Verify", "index": ["winlogbeat-*"], "query": "process.name: (OktaVerify.exe"}', SkipReason.OTHER_PRODUCT),
        ("a.json", '{"name": "n", "data_view_id": "security", "query": "a: (b"}', SkipReason.UNREADABLE),
        ("a.json", '{"items": [{"name": "an Okta org", "type": "org"}]}', SkipReason.NO_RULE),
        ("a.json", '{"detection": {"id": "of-Okta"}, "type": "alert"}', SkipReason.NO_RULE),
        ("a.yml", "rules: [{apiGroups: [okta.example], resources: [orgs]}]\n", SkipReason.NO_RULE),
    ],
)  # fmt: skip
def test_other_peoples_rules_and_files_are_left_out(name: str, text: str, reason: SkipReason, tmp_path: Path) -> None:
    assert problem_texts(in_a_folder(tmp_path, name, text)) == []
    assert left_out(tmp_path) == {reason: 1}


@pytest.mark.parametrize(
    "text", ["bad: [eventType: user.session.start\n", "logsource: {product: okta}\nbad: [\n", "okta_systemlog: [\n"]
)
def test_a_broken_file_that_names_okta_or_an_event_type_is_named(text: str, tmp_path: Path) -> None:
    assert len(problem_texts(in_a_folder(tmp_path, "a.yml", text))) == 1


@pytest.mark.parametrize(
    "query", ["okta.event_type: (", 'event.action: ("user.session.start"', "data_stream.dataset: okta* and ("]
)
def test_a_broken_query_over_oktas_data_is_named_whatever_its_index(query: str, tmp_path: Path) -> None:
    rule = {"name": "n", "index": ["logs-*"], "query": query}
    assert len(problem_texts(in_a_folder(tmp_path, "a.json", json.dumps(rule)))) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("okta.yaml", "{{- if .Values.okta }}\nkind: Secret\ndata: {token: {{ .Values.okta.token }}}\n"),
        ("tsconfig.json", '{\n  // Okta\'s types\n  "compilerOptions": {"paths": {"okta/*": ["a"]},}\n}\n'),
        ("a.toml", "[settings]\nokta = {{ cookiecutter.okta }}\n"),
    ],
)
def test_a_broken_file_without_a_key_of_a_rule_is_no_rule_about_okta(name: str, text: str, tmp_path: Path) -> None:
    assert problem_texts(in_a_folder(tmp_path, name, text)) == []
    assert left_out(tmp_path) == {SkipReason.UNREADABLE: 1}
    assert len(read(tmp_path / name)[1]) == 1


@pytest.mark.parametrize(
    "found",
    [
        {"displayName": "Okta", "kind": "Scheduled", "query": 'OktaSSO\n| where eventType_s in ("zone.create")'},
        {"name": "Okta", "type": "log_detection", "query": "source:okta @evt.name:(zone.create OR zone.delete)"},
        {"name": "Okta", "query": '_sourceCategory=okta | json field=_raw "eventType" | count'},
        {"name": "Okta", "index": ["logs-okta*"], "query": {"bool": {"filter": [{"term": {"a": "b"}}]}}},
    ],
)
def test_a_query_in_json_that_is_not_elastics_is_in_another_language(found: Any, tmp_path: Path) -> None:
    assert problem_texts(in_a_folder(tmp_path, "a.json", json.dumps(found))) == []
    assert left_out(tmp_path) == {SkipReason.OTHER_LANGUAGE: 1}


def test_a_saved_query_of_kibana_is_read(tmp_path: Path) -> None:
    query = {"query": "event.action: zone.create", "language": "kuery"}
    saved = {"type": "query", "attributes": {"title": "Okta's zones", "query": query}}
    (tmp_path / "export.ndjson").write_text(json.dumps(saved))
    ((rule,), problems) = read(tmp_path)
    needs = coverage(rule)
    assert needs is not None
    assert (problems, rule.name, types(needs)) == ([], "Okta's zones", {"zone.create"})
