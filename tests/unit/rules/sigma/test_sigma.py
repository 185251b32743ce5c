"""Sigma: the event types that a rule names."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from forwarder.core.errors import RuleFileError
from forwarder.rules.conditions.rule import SkipReason
from forwarder.rules.coverage import coverage
from forwarder.rules.sigma.detections import sigma_rule
from tests.unit.rules.helpers import left_out, read, types, under

START, END, LOCK = "user.session.start", "user.session.end", "user.account.lock"


def named(condition: Any = "selection", product: str | None = "okta", **detection: Any) -> set[str] | None:
    source = {"service": "okta"} | ({"product": product} if product else {})
    rule = {"title": "t", "logsource": source, "detection": {**detection, "condition": condition}}
    needs = coverage(sigma_rule(rule))
    return types(needs) if needs else None


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"eventtype": START}, {START}),
        ({"eventType": [START, LOCK], "outcome.result": "FAILURE"}, {START, LOCK}),
        ({"event_type": "User.Session.START"}, {START}),
        ({"eventtype|startswith": "user.session."}, under("user.session.")),
        ({"eventtype|endswith": "r.session.end"}, {END}),
        ({"eventtype|contains": "ccount.lock"}, {LOCK, f"{LOCK}.limit"}),
        ({"eventtype|contains|all": ["user.", ".session.", "start"]}, {START}),
        ({"eventtype": "user.session.s*"}, {START}),
        ({"eventtype|re": r"^user\.session\.(start|end)$"}, {START, END}),
        ({"eventtype|re|i": r"R\.SESSION\.START"}, {START}),
        ({"eventtype|base64": "dXNlcg=="}, set()),
        ({"eventtype|exists": True}, set()),
        ({"eventtype": None}, set()),
        ([{"eventtype": START}, {"eventtype": LOCK}], {START, LOCK}),
        (["user.session.start", "a keyword"], set()),
    ],
)
def test_a_selection_names_types(selection: Any, expected: set[str]) -> None:
    assert named(selection=selection) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("one", {START, END}),
        ("one and not two", {START}),
        ("one AND NOT (two or three)", {START}),
        ("1 of t*", {END, LOCK}),
        ("any of them", {START, END, LOCK}),
        ("all of t*", set()),
        ("1 OF THEM", {START, END, LOCK}),
        (["two", "three"], {END, LOCK}),
        ("one | count() by actor.id > 5", {START, END}),
    ],
)
def test_the_condition_says_which_selections_count(condition: Any, expected: set[str]) -> None:
    selections: dict[str, Any] = {
        "one": {"eventtype": [START, END]},
        "two": {"eventtype": END},
        "three": {"eventtype": LOCK},
    }
    assert named(condition, **selections, timeframe="5m") == expected


@pytest.mark.parametrize("condition", ["other", "1 of other*", "(selection", "selection selection", None, ""])
def test_a_condition_that_cannot_be_read_is_refused(condition: Any) -> None:
    with pytest.raises(RuleFileError):
        named(condition, selection={"eventtype": START})


def test_a_rule_about_another_product_is_left_out() -> None:
    assert named(product="windows", selection={"eventtype": START}) is None
    assert named(product=None, selection={"eventtype": START}) == {START}


def test_a_file_may_hold_several_rules_and_correlations(tmp_path: Path) -> None:
    rule = {"title": "a", "logsource": {"product": "okta"}, "detection": {"s": {"eventtype": LOCK}, "condition": "s"}}
    broken = {**rule, "title": "b", "detection": {"s": {"eventtype": LOCK}, "condition": "other"}}
    correlation = {"title": "c", "correlation": {"type": "event_count", "rules": ["a"]}}
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump_all([rule, broken, correlation, rule]))
    found, problems = read(path)
    assert [each.name for each in found] == ["a", "a"]
    assert left_out(path) == {SkipReason.REFERENCE: 1}
    assert ["'b'" in problem.text and "'other'" in problem.text for problem in problems] == [True]
