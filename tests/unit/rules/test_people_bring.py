"""Public collections of rules, which also have rules for other products, other languages and broken files."""

import json
import os
from pathlib import Path
from textwrap import dedent

import pytest

from forwarder.rules.conditions.rule import SkipReason
from forwarder.rules.coverage import coverage
from tests import shared_data
from tests.unit.rules.helpers import left_out, read, types

OKTA = """
title: A detection
id: 4f2a
author: [Okta]
detection:
  okta_systemlog:
    OIE: |
      # by Okta's threat team
      eventType eq "zone.create" and outcome.result eq "SUCCESS"
    datadog: source:okta @evt.name:zone.delete
"""
SPLUNK = """
title: Only Splunk can run this
author: Okta
detection:
  explanation: The query counts devices.
  splunk: index=main sourcetype=OktaIM2:log eventType="zone.create" | stats count
"""
WINDOWS = """
title: Two steps
logsource: {product: windows, service: security}
detection:
  first: {EventID: 4624}
  second: {EventID: 4672}
  condition: first near second near
"""
COLLECTION = """
action: global
title: An old collection
logsource: {product: windows}
detection: {condition: 1 of them of these}
---
detection: {a: {EventID: 1}}
---
logsource: {service: sysmon}
detection: {b: {EventID: 11}}
"""
PANTHER = """
AnalysisType: rule
Filename: zones.py
RuleID: Acme.Zones
LogTypes: [Okta.SystemLog]
Tests:
  - Log: {"eventType": "zone.create"}
"""
OSQUERY = """
title: An agent runs
author: someone@okta.com
query: |
  -- processes
  WITH found AS (SELECT * FROM processes) SELECT count(*) FROM found
"""


def named(path: Path) -> set[str]:
    """Return all types that the rules at a path name."""
    rules, problems = read(path)
    assert problems == []
    return {name for rule in rules if (needs := coverage(rule)) for name in types(needs)}


def written(path: Path, text: str) -> Path:
    path.write_text(dedent(text))
    return path


def test_a_rule_of_oktas_catalogue_is_read_as_a_filter_of_the_system_log(tmp_path: Path) -> None:
    assert named(written(tmp_path / "rule.yml", OKTA)) == {"zone.create"}


@pytest.mark.parametrize(
    "detection",
    [
        {"okta_systemlog": 'eventType eq "zone.create"'},
        {"okta_systemlog": {"OIE": 'eventType eq "zone.create"', "Classic": 'eventType eq "zone.create"'}},
        {"okta_systemlog": ['eventType eq "zone.create"']},
        {"OIE": 'eventType eq "zone.create"', "splunk": "index=okta"},
        {"Classic": {"query": 'eventType eq "zone.create"'}},
        {"Okta System Log": 'eventType eq "zone.create"'},
        {"okta-systemlog": {"oie": 'eventType eq "zone.create"'}},
        {"okta_systemlog": {"OIE": 'outcome.result eq ("SUCCESS" OR "ALLOW") and eventType eq "zone.create"'}},
        {"okta_systemlog": {"OIE": 'eventType eq "zone.create" # one\nand actor.id ne "a # b" // two'}},
        {"okta_systemlog": {"OIE": 'eventType eq "zone.create" and outcome.result not in ["DENY"]'}},
        {
            "okta_systemlog": {"OIE": 'eventType eq "zone.create"', "sumologic": "_sourceCategory=okta | count"},
            "crowdstrike": "#Vendor=okta | groupBy(actor.id)",
        },
    ],
)
def test_okta_writes_its_filters_in_several_forms(detection: object, tmp_path: Path) -> None:
    text = json.dumps({"title": "t", "detection": detection})  # JSON is YAML
    assert named(written(tmp_path / "rule.yml", text)) == {"zone.create"}


def test_a_rule_of_oktas_catalogue_that_cannot_be_read_stays_a_problem(tmp_path: Path) -> None:
    _, problems = read(written(tmp_path / "rule.yml", OKTA.replace(" eq ", " equals ")))
    assert ["'A detection'" in problem.text and "equals" in problem.text for problem in problems] == [True]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.yml", SPLUNK, SkipReason.OTHER_LANGUAGE),
        ("a.yml", SPLUNK.replace("splunk:", "logscale:").replace("explanation", "summary"), SkipReason.OTHER_LANGUAGE),
        ("a.yml", "title: t\ndetection: {okta_systemlog: {logscale: '#Vendor=okta | head()'}}\n", SkipReason.OTHER_LANGUAGE),
        ("a.yml", "title: t\ndetection: {sigma: {selection: {eventType: zone.create}}}\n", SkipReason.OTHER_LANGUAGE),
        ("a.yml", PANTHER, SkipReason.OTHER_LANGUAGE),
        ("a.json", '{"AnalysisType": "rule", "RuleID": "a", "LogTypes": ["Okta.SystemLog"]}', SkipReason.OTHER_LANGUAGE),
        ("a.yml", OSQUERY, SkipReason.OTHER_LANGUAGE),
        ("a.yml", PANTHER.replace("Okta", "AWS").replace("eventType", "x"), SkipReason.OTHER_PRODUCT),
        ("a.yml", WINDOWS, SkipReason.OTHER_PRODUCT),
        ("a.yml", "title: t\ncorrelation: {type: event_count, rules: [a]}\n", SkipReason.REFERENCE),
        ("a.yml", "title: t\nfilter: {rules: [a], selection: {b: c}, condition: not selection}\n", SkipReason.REFERENCE),
        ("a.toml", '[hunt]\nname = "h"\nintegration = ["endpoint"]\nlanguage = ["SQL"]\nquery = ["select 1"]\n', SkipReason.OTHER_PRODUCT),
        ("a.toml", '[hunt]\nname = "Okta h"\nlanguage = ["SQL"]\nquery = ["select 1"]\n', SkipReason.OTHER_LANGUAGE),
        ("a.json", '{"name": "Okta", "language": "splunk", "query": "index=okta | head"}', SkipReason.OTHER_LANGUAGE),
        ("a.json", '{"name": "n", "index": ["winlogbeat-*"], "query": "a: (b"}', SkipReason.OTHER_PRODUCT),
        ("a.json", '{"name": "n", "tags": ["Windows"], "language": "eql", "query": "any where ((("}', SkipReason.OTHER_PRODUCT),
    ],
)  # fmt: skip
def test_rules_that_need_no_reader_of_ours_are_left_out_and_counted(
    name: str, text: str, reason: SkipReason, tmp_path: Path
) -> None:
    path = written(tmp_path / name, text)
    for place in (path, tmp_path):
        assert (read(place)[1], left_out(place)) == ([], {reason: 1})


def test_an_old_collection_about_another_product_is_left_out(tmp_path: Path) -> None:
    assert left_out(written(tmp_path / "a.yml", COLLECTION)) == {SkipReason.OTHER_PRODUCT: 2}


def test_the_documents_of_an_old_collection_share_what_is_global(tmp_path: Path) -> None:
    text = """
        action: global
        title: Shared
        logsource: {product: okta}
        detection: {condition: one}
        ---
        detection: {one: {eventtype: zone.create}}
        ---
        detection: {one: {eventtype: zone.delete}}
        ---
        action: repeat
        detection: {one: {eventtype: zone.update}}
        ---
        action: reset
        ---
        title: Alone
        logsource: {product: okta}
        detection: {two: {eventtype: zone.activate}, condition: two}
        """
    path = written(tmp_path / "a.yml", text)
    assert [rule.name for rule in read(path)[0]] == ["Shared", "Shared", "Shared", "Alone"]
    assert named(path) == {"zone.create", "zone.delete", "zone.update", "zone.activate"}


def test_an_unreadable_rule_about_okta_stays_a_problem(tmp_path: Path) -> None:
    sigma = WINDOWS.replace("windows", "okta").replace("first near second near", "first near second")
    elastic = '{"name": "n", "index": ["logs-okta*"], "query": "a: (b"}'
    for name, text in (("a.yml", sigma), ("a.json", elastic), ("a.yml", "title: Okta\nquery: [\n")):
        written(tmp_path / name, text)
        assert len(read(tmp_path)[1]) == 1
        (tmp_path / name).unlink()


def test_a_broken_document_costs_no_other_document_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(OKTA + "\n---\nbroken: [\n---" + OKTA)
    assert (len(read(tmp_path)[0]), left_out(tmp_path)) == (2, {SkipReason.UNREADABLE: 1})
    rules, problems = read(tmp_path / "a.yml")
    assert len(rules) == 2
    assert "a.yml:14: is not YAML" in problems[0].place + ": " + problems[0].text


@pytest.mark.parametrize("name", ["README.md", "notes.txt", "a.json", "a.yml"])
def test_a_folder_without_a_rule_is_a_problem(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    ((problem,), found) = read(tmp_path)[1], read(tmp_path)[0]
    assert (problem.place, found) == (str(tmp_path), [])
    assert "contains no rule" in problem.text


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    assert len(read(tmp_path)[1]) == 1


@pytest.mark.long
def test_a_checkout_is_read_with_all_its_files(tmp_path: Path) -> None:
    written(tmp_path / "okta.yml", OKTA)
    (tmp_path / "bom.yml").write_bytes(b"\xef\xbb\xbf" + OKTA.replace("\n", "\r\n").encode())
    (tmp_path / "latin.yml").write_bytes(OKTA.replace("[Okta]", "[José, Okta]").encode("latin-1"))
    (tmp_path / "utf16.yml").write_bytes(OKTA.encode("utf-16"))
    (tmp_path / "empty.json").write_bytes(b"")
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    (tmp_path / "image.png").write_bytes(b"\x89PNG\0")
    (tmp_path / ".git").mkdir()
    written(tmp_path / ".git" / "config.yml", "okta: [")
    os.mkfifo(tmp_path / "fifo.yml")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "itself.json").symlink_to("itself.json")
    (tmp_path / "null.yml").symlink_to("/dev/null")
    assert (len(read(tmp_path)[0]), read(tmp_path)[1]) == (4, [])
    assert left_out(tmp_path) == {
        SkipReason.NO_RULE: 1,
        SkipReason.UNREADABLE: 1,
        SkipReason.OTHER_FORMAT: 1,
        SkipReason.NO_FILE: 3,
    }


@pytest.mark.parametrize("name", ["fifo.txt", "fifo.yml"])
def test_a_fifo_is_refused_at_once(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    (_, (problem,)) = read(tmp_path / name)
    assert "FIFO" in problem.text


def test_a_link_to_itself_and_a_name_with_nul_are_problems(tmp_path: Path) -> None:
    (tmp_path / "loop.yml").symlink_to("loop.yml")
    assert "symbolic links" in read(tmp_path / "loop.yml")[1][0].text
    assert "null byte" in read(tmp_path / "a\0b.yml")[1][0].text


def test_a_binary_file_of_filters_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "filters").write_bytes(bytes(range(256)) * 20)
    assert [problem.text for problem in read(tmp_path / "filters")[1]] == ["is a binary file"]


@pytest.mark.long
@shared_data.needs(shared_data.RULES)
def test_oktas_public_catalogue_is_read() -> None:
    folder = shared_data.RULES.parent.parent / "okta" / "detections"
    rules, problems = read(folder)
    assert problems == []
    assert (len(rules), left_out(folder)) == (14, {SkipReason.OTHER_LANGUAGE: 2})
    assert {coverage(rule).unknown != {} for rule in rules} == {False}  # type: ignore[union-attr]
