"""Countries, regions, addresses and networks in a form that never matches: refused, or reported as a warning."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.rules.load import RulesError, load
from forwarder.rules.probable_mistakes import value_warnings

COUNTRIES = ("KP", "IR", "US", "??")


def ruleset(folder: Path, test: dict[str, Any], embargo: Sequence[str] = ()) -> Ruleset:
    rule = {
        "title": "A country",
        "logsource": {"product": "okta", "service": "okta"},
        "detection": {"selection": test, "condition": "selection"},
    }
    (folder / "rule.yml").write_text(json.dumps(rule))
    return load([folder / "rule.yml"], {"embargo": embargo})


def matched(rules: Ruleset) -> list[str]:
    return [code for code in COUNTRIES if list(rules.matches({"forwarder": {"country": code}}))]


def refusal(folder: Path, test: dict[str, Any], embargo: Sequence[str] = ()) -> str:
    with pytest.raises(RulesError) as caught:
        ruleset(folder, test, embargo)
    (problem,) = caught.value.problems
    return problem.text


@pytest.mark.parametrize(
    ("embargo", "countries"),
    [(["KP", "ir"], ["KP", "IR"]), (["??"], ["??"]), (["KP", "??"], ["KP", "??"]), (["K*"], ["KP"]), ([], [])],
)
def test_a_list_of_countries_matches_these_and_question_marks_only_unknown_ones(
    tmp_path: Path, embargo: list[str], countries: list[str]
) -> None:
    assert matched(ruleset(tmp_path, {"forwarder.country|expand": "%embargo%"}, embargo)) == countries


def test_question_marks_in_a_rule_are_unknown_countries_too(tmp_path: Path) -> None:
    assert matched(ruleset(tmp_path, {"forwarder.country": "??"})) == ["??"]
    assert matched(ruleset(tmp_path, {"forwarder.country|neq": "??"})) == ["KP", "IR", "US"]
    assert matched(ruleset(tmp_path, {"forwarder.country|re": "^[KI]"})) == ["KP", "IR"]


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("North Korea", "write KP"),
        ("Iran, Islamic Republic of", "write IR"),
        ("PRK", "write KP"),
        ("UK", "write GB"),
        ("EU", "write one, as in KP"),
        ("Atlantis", "write one, as in KP"),
        ("KP,IR", "write one, as in KP"),
        ("North*", "write one, as in KP"),
    ],
)
def test_a_country_that_never_matches_is_refused_with_its_code(tmp_path: Path, written: str, hint: str) -> None:
    text = refusal(tmp_path, {"forwarder.country|expand": "%embargo%"}, ["IR", written])
    assert text.startswith(f"forwarder.country|expand: {written!r} is not an ISO 3166 code of two letters")
    assert hint in text
    assert text.endswith("(in `rules.lists`: %embargo%)")
    text = refusal(tmp_path, {"forwarder.country": ["IR", written]})
    assert hint in text
    assert "rules.lists" not in text


def test_a_code_in_lower_case_is_refused_where_the_case_counts(tmp_path: Path) -> None:
    assert "write KP" in refusal(tmp_path, {"forwarder.country|cased": "kp"})
    (tmp_path / "one.txt").write_text('forwarder.country eq "kp"\n')
    with pytest.raises(RulesError, match="write KP"):
        load([tmp_path / "one.txt"])
    (tmp_path / "one.txt").write_text('forwarder.country eq "KP" or forwarder.country eq "??"\n')
    assert matched(load([tmp_path / "one.txt"])) == ["KP", "??"]


@pytest.mark.parametrize(
    ("field", "written", "hint"),
    [
        ("client.geographicalContext.country", "KP", "compare forwarder.country with KP"),
        ("client.geographicalContext.country", "North Korea", None),
        ("client.geographicalContext.state", "UA-43", "the name of a region"),
        ("client.geographicalContext.state", "Crimea", None),
        ("client.ipAddress", "198.51.100.0/24", "use the modifier `cidr`"),
        ("request.ipChain.ip", "198.51.100.1-198.51.100.9", "writes an IP address"),
        ("client.ipAddress", "198.51.100.7", None),
        ("client.ipAddress", "2001:db8::7", None),
        ("client.ipAddress", "198.51.100.*", None),
        ("securityContext.asNumber", "AS64496", "write 64496"),
        ("securityContext.asNumber", "64496", None),
        ("forwarder.country", "KP", None),
    ],
)
def test_a_value_in_a_form_that_okta_does_not_write_is_a_warning(
    tmp_path: Path, field: str, written: str, hint: str | None
) -> None:
    for test, embargo in (({field: written}, []), ({f"{field}|expand": "%embargo%"}, [written])):
        found = [problem.text for problem in value_warnings(ruleset(tmp_path, test, embargo))]
        assert len(found) == (hint is not None)
        assert all(f"{field} is never {written!r}: " in text and str(hint) in text for text in found)


def test_the_same_value_in_a_filter_is_a_warning_too(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text('client.ipAddress eq "198.51.100.0/24"\nclient.ipAddress co "198.51"\n')
    (found,) = value_warnings(load([tmp_path / "one.txt"]))
    assert "cidr" in found.text


def test_a_list_of_networks_is_compared_behind_cidr(tmp_path: Path) -> None:
    offices = ["198.51.100.0/24", "203.0.113.7", "2001:db8::/32"]
    rules = ruleset(tmp_path, {"client.ipAddress|cidr|expand": "%embargo%"}, offices)
    addresses = ["198.51.100.9", "198.51.101.9", "203.0.113.7", "203.0.113.8", "2001:db8::1"]
    found = [each for each in addresses if list(rules.matches({"client": {"ipAddress": each}}))]
    assert found == ["198.51.100.9", "203.0.113.7", "2001:db8::1"]
    assert list(ruleset(tmp_path, {"client.ipAddress|cidr|expand": "%embargo%"}, []).rules)
    wrong = refusal(tmp_path, {"client.ipAddress|cidr|expand": "%embargo%"}, ["198.51.100.9/24"])
    assert "'198.51.100.9/24' is not a network" in wrong
    assert value_warnings(rules) == []
