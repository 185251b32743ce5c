"""A System Log filter has the same results as a rule and as the parameter `filter` of the emulated org."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from forwarder.emulator.http.errors import OktaApiError
from forwarder.emulator.system_log.query import read_filter
from forwarder.rules.documents import yaml_documents
from forwarder.rules.load import RulesError, load
from forwarder.rules.rule_objects import okta_filters
from tests import shared_data

EVENTS: list[dict[str, Any]] = [
    {"eventType": "user.session.start", "outcome": {"result": "FAILURE", "reason": None}, "securityContext": {"isProxy": True}},
    {"eventType": "user.session.start", "outcome": {"result": "SUCCESS"}, "actor": {"alternateId": "Ada@corp.example"}},
    {"eventType": "user.account.privilege.grant", "target": [{"displayName": "Ada"}, {"displayName": "Reset passwords"}]},
    {"eventType": "zone.delete", "target": [], "actor": {"alternateId": "system@okta.com", "id": None}},
    {"eventType": "user.risk.detect", "debugContext": {"debugData": {"risk": "{level=HIGH}", "score": 80}}},
]  # fmt: skip
ATTRIBUTES = ["eventType", "outcome.result", "outcome.reason", "securityContext.isProxy", "actor.alternateId", "actor.id",
              "target.displayName", "target.1.displayName", "debugContext.debugData.score"]  # fmt: skip
VALUES = [
    '"user.session.start"',
    '"user."',
    '"FAILURE"',
    '"true"',
    "true",
    "null",
    '"Ada"',
    '"passwords"',
    "80",
    '"SYSTEM"',
]


def comparison(chance: random.Random) -> str:
    operator = chance.choice(["eq", "ne", "co", "sw", "ew", "gt", "le", "pr"])
    value = "" if operator == "pr" else f" {chance.choice(VALUES)}"
    return f"{chance.choice(ATTRIBUTES)} {operator}{value}"


def query(chance: random.Random) -> str:
    parts = [chance.choice(["", "not "]) + comparison(chance) for _ in range(chance.randint(1, 3))]
    return f"({parts[0]})" + "".join(f" {chance.choice(['and', 'or', 'AND'])} {part}" for part in parts[1:])


@pytest.mark.long
def test_generated_filters_agree(tmp_path: Path) -> None:
    chance = random.Random(7)
    queries = sorted({query(chance) for _ in range(300)})
    path = tmp_path / "rules.txt"
    path.write_text("\n".join(["# generated", "", *queries]))
    found = load([path])
    by_line = {rule.line: number for number, rule in enumerate(found.rules)}
    assert len(by_line) == len(queries)
    for event in EVENTS:
        matched = {by_line[match.rule.line] for match in found.matches(event)}
        assert matched == {number for number, each in enumerate(queries) if read_filter(each)(event)}


@pytest.mark.long
@shared_data.needs(shared_data.DETECTIONS)
def test_oktas_catalogue_loads_and_agrees() -> None:
    files = sorted(shared_data.DETECTIONS.glob("*.yml"))
    found = load([shared_data.DETECTIONS])
    assert (len(files), len(found.rules), found.left_out) == (16, 14, 2)
    events = [json.loads(fixture.line) for fixture in shared_data.fixtures()] + EVENTS
    for rule in found.rules:
        (document,) = yaml_documents(rule.file.read_text(encoding="utf-8"))
        (written,) = okta_filters(document.value["detection"])
        expected = read_filter(written)
        assert [rule in [match.rule for match in found.matches(event)] for event in events] == [
            expected(event) for event in events
        ]


@pytest.mark.parametrize(
    ("text", "event", "expected"),
    [
        ('eventType in ["zone.delete", "zone.create"]', EVENTS[3], True),
        ('eventType eq ("a" or "zone.delete")', EVENTS[3], True),
        ('eventType ne ("a" or "zone.delete")', EVENTS[3], False),
        ('result eq "FAILURE"', EVENTS[0], True),
        ('EVENTTYPE eq "zone.delete"', {"eventtype": "zone.delete"}, True),
        ('eventType eq "Zone.delete"', EVENTS[3], False),
    ],
)
def test_comparisons_with_sets_are_accepted_although_the_api_refuses_them(
    text: str,
    event: dict[str, Any],
    expected: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    path = tmp_path / "rules.txt"
    path.write_text(text)
    assert bool(load([path]).matches(event)) is expected


def test_a_filter_that_cannot_be_evaluated_is_refused_by_both(tmp_path: Path) -> None:
    path = tmp_path / "rules.txt"
    path.write_text('target[type eq "User"]')
    with pytest.raises(RulesError, match="cannot be evaluated"):
        load([path])
    with pytest.raises(OktaApiError):
        read_filter('target[type eq "User"]')


def test_a_value_without_quotes_is_refused_by_both(tmp_path: Path) -> None:
    path = tmp_path / "rules.txt"
    path.write_text("eventType eq user.session.start")
    with pytest.raises(RulesError, match=r"rules\.txt:1: Expected a value in quotes instead of 'user\.session\.start'"):
        load([path])
    with pytest.raises(OktaApiError, match="Expected a value in quotes"):
        read_filter("eventType eq user.session.start")


NULLS: dict[str, Any] = {"outcome": {"reason": None}, "client": {"userAgent": {"os": None}}, "target": [{"id": None}]}
NUMBERS: dict[str, Any] = {
    "securityContext": {"asNumber": 100},
    "client": {"geographicalContext": {"geolocation": {"lat": -0.5, "lon": 9}}},
    "debugContext": {"debugData": {"score": "80", "number": "4294901908", "code": "007"}},
}


@pytest.mark.parametrize(
    "text",
    [
        'outcome.reason eq "null"',
        'outcome.reason co "ul"',
        'outcome.reason gt "a"',
        'outcome.reason sw ""',
        "outcome.reason ne null",
        "outcome.reason pr",
        '(client.userAgent.os lt "iOS" or client.userAgent.os gt "iOS")',
        'target.id ew "l"',
    ],
)
def test_a_filter_gives_a_null_of_the_system_log_and_a_key_that_a_hook_left_out_the_same_result(text: str) -> None:
    is_match = read_filter(text)
    assert [is_match(NULLS), is_match({})] == [False, False]


@pytest.mark.parametrize("text", ["outcome.reason eq null", 'outcome.reason ne "null"', "not outcome.reason pr"])
def test_a_filter_for_no_value_matches_a_null_and_a_missing_key(text: str) -> None:
    is_match = read_filter(text)
    assert [is_match(NULLS), is_match({})] == [True, True]


@pytest.mark.parametrize(
    "event",
    [
        {"actor": {"detailEntry": ""}},
        {"actor": {"detailEntry": {}}},
        {"actor": {"detailEntry": {"a": None, "b": {"c": ""}}}},
    ],
)
def test_an_empty_value_is_not_present(event: dict[str, Any]) -> None:
    assert not read_filter("actor.detailEntry pr")(event)
    assert read_filter("actor.detailEntry pr")({"actor": {"detailEntry": {"a": None, "b": False}}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("securityContext.asNumber gt 9", True),
        ('securityContext.asNumber gt "9"', True),
        ("securityContext.asNumber lt 20", False),
        ("securityContext.asNumber eq 100.0", True),
        ('securityContext.asNumber eq "100"', True),
        ('securityContext.asNumber eq "100.0"', False),
        ("securityContext.asNumber ne 100.0", False),
        ("client.geographicalContext.geolocation.lat lt 0", True),
        ("client.geographicalContext.geolocation.lon ge 59.33", False),
        ("debugContext.debugData.score gt 9", True),
        ('debugContext.debugData.score gt "9"', False),
        ("debugContext.debugData.number eq 4294901908", True),
        ("debugContext.debugData.code eq 7", False),
        ("debugContext.debugData.code le 7", True),
    ],
)
def test_a_filter_compares_numbers_as_numbers(text: str, expected: bool) -> None:  # noqa: FBT001
    assert read_filter(text)(NUMBERS) is expected
