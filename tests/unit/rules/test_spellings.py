"""Files and names of languages, as other programs write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from forwarder.rules.conditions.rule import SkipReason
from forwarder.rules.coverage import coverage
from forwarder.rules.legacy_event_types import became
from tests.unit.rules.helpers import judge, left_out, read, types

RULE = {"name": "A rule", "integration": ["okta"], "query": "event.action: zone.create"}
SIGMA = {
    "title": "t",
    "logsource": {"product": "okta"},
    "detection": {"s": {"eventType": "zone.create"}, "condition": "s"},
}
ANY, FROM = 'any where event.action == "zone.create"', 'FROM logs | WHERE event.action == "zone.create"'


@pytest.mark.parametrize(
    ("language", "query"),
    [
        ("KQL", RULE["query"]), (["KQL"], [RULE["query"]]), (" Kuery", RULE["query"]), ("", RULE["query"]), ("Lucene ", RULE["query"]),
        ("eql ", ANY), ("EQL", ANY), ("ES QL", FROM), ("es_ql", FROM), (["ES|QL "], [FROM]), ("esql", f'SET x = "a"; SET y=true;\n{FROM}'),
    ],
)  # fmt: skip
def test_a_language_is_known_however_it_is_spelled(language: Any, query: Any, tmp_path: Path) -> None:
    found = judge(tmp_path, language, query, integration=["okta"])
    assert types(found) == {"zone.create"}


def test_a_language_called_kql_is_microsofts_unless_the_rule_is_elastics(tmp_path: Path) -> None:
    rule = {"name": "Okta", "language": "KQL", "query": "OktaSSO | where ago(1d) > x"}
    (tmp_path / "a.json").write_text(json.dumps(rule))
    (tmp_path / "a.yml").write_text(json.dumps(rule))
    assert (read(tmp_path)[1], left_out(tmp_path)) == ([], {SkipReason.OTHER_LANGUAGE: 2})


@pytest.mark.parametrize("suffix", ["json", "ndjson"])
@pytest.mark.parametrize("between", ["\n", "\n\n  ", "", "\r\n"])
def test_json_values_may_follow_one_another_in_any_layout(suffix: str, between: str, tmp_path: Path) -> None:
    text = between.join([json.dumps(RULE, indent=2), json.dumps(RULE), json.dumps([RULE], indent=1)])
    (tmp_path / f"a.{suffix}").write_text(text)
    assert (len(read(tmp_path)[0]), read(tmp_path)[1]) == (3, [])


def test_a_broken_json_value_costs_no_other_value(tmp_path: Path) -> None:
    broken = '{"name": "Okta",\n  "query": [\n'
    (tmp_path / "a.ndjson").write_text("\n".join([json.dumps(RULE, indent=1), broken, json.dumps(RULE)]))
    rules, (problem,) = read(tmp_path / "a.ndjson")
    assert (len(rules), problem.place) == (2, f"{tmp_path}/a.ndjson:8")


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_a_file_is_read_in_every_encoding_of_unicode(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(json.dumps(RULE).encode(encoding))
    assert (len(read(tmp_path)[0]), read(tmp_path)[1]) == (1, [])


def test_files_joined_with_their_byte_order_marks_are_read(tmp_path: Path) -> None:
    one = json.dumps(SIGMA) + "\n"
    (tmp_path / "a.yml").write_bytes(f"\ufeff{one}---\n\ufeff{one}\ufeff---\n{one}".encode())
    assert (len(read(tmp_path)[0]), read(tmp_path)[1]) == (3, [])


def test_an_old_name_is_known_with_a_space_behind_it(tmp_path: Path) -> None:
    name = "core.user_auth.login_failed "
    assert became(name) == "user.session.start"
    (tmp_path / "a.txt").write_text(f'eventType eq "{name}" or eventType eq " zone.creat"')
    ((rule,), _) = read(tmp_path / "a.txt")
    needs = coverage(rule)
    assert needs is not None
    assert needs.unknown == {name: "user.session.start", " zone.creat": "zone.create"}
