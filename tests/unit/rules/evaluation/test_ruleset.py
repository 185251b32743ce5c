"""Which rules an event matches, and what exceptions hold back."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from forwarder.rules.conditions.event_fields import Reading, texts
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.rules.load import RulesError, load

SOURCE = {"product": "okta", "service": "okta"}
EVENT: dict[str, Any] = {
    "eventType": "user.session.start",
    "published": "2026-11-28T10:00:00.000Z",
    "actor": {"alternateId": "Ada.Lovelace@corp.example", "type": "User", "displayName": None},
    "client": {"ipAddress": "192.0.2.17", "device": "Computer"},
    "securityContext": {"isProxy": True, "asNumber": 64500, "risk": {}},
    "outcome": {"result": "FAILURE", "reason": "INVALID_CREDENTIALS"},
    "target": [
        {"type": "User", "displayName": "Ada", "alternateId": "ada.lovelace@corp.example"},
        {"type": "AppInstance", "displayName": "Okta Admin Console", "alternateId": None},
    ],
    "debugContext": {
        "debugData": {
            "score": "80",
            "code": "007",
            "half": 0.5,
            "five": 5.0,
            "path": "C:\\x*y",
            "lines": "a\nb",
            "tags": [["x"], ["y"]],
        }
    },
    "forwarder": {"country": "DE", "new": {"asn": True}},
    "request": {"ipChain": []},
}


def written(folder: Path, *documents: dict[str, Any], name: str = "rules.yml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")
    return path


def rule(title: str = "a rule", **more: Any) -> dict[str, Any]:
    detection = more.pop("detection", None) or {
        "selection": {"eventType": EVENT["eventType"]},
        "condition": "selection",
    }
    return {"title": title, "logsource": SOURCE, "detection": detection, **more}


def exception(**more: Any) -> dict[str, Any]:
    section = {"rules": "any", "selection": {"actor.type": "User"}, "condition": "not selection"}
    more["filter"] = section | more.get("filter", {})
    return {"title": "an exception", "logsource": SOURCE, **more}


def titles(found: Ruleset, event: dict[str, Any] = EVENT) -> list[str]:
    return [match.rule.title for match in found.matches(event) if not match.exception]


def is_match(folder: Path, selection: Any, event: dict[str, Any] = EVENT, **lists: list[str]) -> bool:
    detection = {"selection": selection, "condition": "selection"}
    return bool(load([written(folder, rule(detection=detection))], lists).matches(event))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"eventType": "USER.session.Start"}, True),
        ({"eventType|cased": "USER.session.start"}, False),
        ({"eventType": ["user.session.end", "user.session.start"]}, True),
        ({"EVENTTYPE": "user.session.start"}, True),
        ({"actor.alternateid": "ada.lovelace@corp.example"}, False),
        ({"actor.alternateId": "ada.*@corp.example"}, True),
        ({"actor.alternateId": "ada?lovelace@*"}, True),
        ({"actor.alternateId|contains": "LOVELACE"}, True),
        ({"actor.alternateId|startswith": "ada"}, True),
        ({"actor.alternateId|endswith": "corp.example"}, True),
        ({"actor.alternateId|contains|all": ["ada", "corp"]}, True),
        ({"actor.alternateId|contains|all": ["ada", "lab"]}, False),
        ({"actor.alternateId|neq": "someone"}, True),
        ({"actor.alternateId|contains|neq": ["x@", "ada"]}, False),
        ({"target.displayName": "Okta Admin Console"}, True),
        ({"target.displayName": ["no", "ada"]}, True),
        ({"target.1.displayName": "ada"}, False),
        ({"target.0.displayName": "ada"}, True),
        ({"target.displayName|contains|all": ["ada", "console"]}, True),
        ({"securityContext.isProxy": "true"}, True),
        ({"securityContext.isProxy": True}, True),
        ({"securityContext.isProxy": "false"}, False),
        ({"securityContext.asNumber": 64500}, True),
        ({"securityContext.asNumber": "64500"}, True),
        ({"securityContext.asNumber": 64500.0}, True),
        ({"debugContext.debugData.code": 7}, False),
        ({"debugContext.debugData.code": "007"}, True),
        ({"debugContext.debugData.half": 0.5}, True),
        ({"debugContext.debugData.five": 5}, True),
        ({"securityContext.asNumber|gt": 64499}, True),
        ({"securityContext.asNumber|lt": 64500}, False),
        ({"debugContext.debugData.score|gte": 80}, True),
        ({"debugContext.debugData.score|lte": 79.5}, False),
        ({"actor.type|gt": 1}, False),
        ({"client.ipAddress|cidr": "192.0.2.0/24"}, True),
        ({"client.ipAddress|cidr": ["10.0.0.0/8", "2001:db8::/32"]}, False),
        ({"client.ipAddress|cidr": "::ffff:192.0.2.0/120"}, True),
        ({"client.ipAddress|cidr": "::ffff:192.0.3.0/120"}, False),
        ({"actor.alternateId|re": "^Ada\\."}, True),
        ({"actor.alternateId|re": "^ada\\."}, False),
        ({"actor.alternateId|re|i": "LACE@"}, True),
        ({"debugContext.debugData.lines|re": "a.b"}, False),
        ({"debugContext.debugData.lines|re|s": "a.b"}, True),
        ({"debugContext.debugData.lines|re|m": "^b$"}, True),
        ({"debugContext.debugData.lines": "a*b"}, True),
        ({"debugContext.debugData.path": r"C:\\x\*y"}, True),
        ({"debugContext.debugData.path": r"C:\x\*?"}, True),
        ({"debugContext.debugData.path": r"C:\\\x*"}, False),
        ({"debugContext.debugData.tags": "y"}, True),
        ({"actor.displayName": None}, True),
        ({"actor.nothing": None}, True),
        ({"actor.type": None}, False),
        ({"actor.displayName|exists": True}, True),
        ({"actor.nothing|exists": True}, False),
        ({"actor.nothing|exists": False}, True),
        ({"request.ipChain|exists": True}, True),
        ({"request.ipChain": None}, True),
        ({"securityContext.risk|exists": True}, True),
        ({"securityContext.risk": "*"}, False),
        ({"actor.type": "*"}, True),
        ({"actor.displayName": "*"}, False),
        ({"actor.alternateId|fieldref": "target.alternateId"}, True),
        ({"actor.alternateId|fieldref": "target.displayName"}, False),
        ({"actor.alternateId|fieldref|startswith": "target.displayName"}, True),
        ({"actor.alternateId|fieldref|neq": "target.alternateId"}, False),
        ({"forwarder.country": ["IR", "DE"], "forwarder.new.asn": True}, True),
        ({"forwarder.new.device": True}, False),
        ({"eventType": "user.session.start", "outcome.result": "SUCCESS"}, False),
        ([{"eventType": "no"}, {"outcome.result": "failure"}], True),
        (["lovelace"], True),
        (["nobody", "admin console"], True),
        (["nobody"], False),
        ({"|all": ["lovelace", "64500"]}, True),
        ({"|re": "Lovel.ce"}, True),
        ({"|cased": "lovelace@CORP"}, False),
        ([64500], True),
    ],
)  # fmt: skip
def test_a_selection_matches_as_sigma_defines(selection: Any, expected: bool, tmp_path: Path) -> None:  # noqa: FBT001
    assert is_match(tmp_path, selection) is expected


def test_the_modifier_expand_uses_the_lists_of_the_operator(tmp_path: Path) -> None:
    selection = {"actor.alternateId|endswith|expand": "@%ours%"}
    assert is_match(tmp_path, selection, ours=["lab.example", "corp.example"])
    assert not is_match(tmp_path, selection, ours=["lab.example"])
    assert not is_match(tmp_path, selection, ours=[])
    assert not is_match(tmp_path, {"actor.alternateId|contains|all|expand": "%ours%"}, ours=[])
    assert is_match(tmp_path, {"actor.alternateId|expand": "%a%@%b%"}, a=["x", "ada*"], b=["corp.example"])
    anchored = {"actor.alternateId|re|i|expand": r"^[a-z*.]+@%ours%$"}
    assert is_match(tmp_path, anchored, ours=[r"other\.example", r"corp\.example"])
    assert not is_match(tmp_path, anchored, ours=[r"corp\.exampl"])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("yes", True), ("not yes", False), ("yes and not no_1", True), ("yes and (no_1 or no_2)", False),
        ("1 of no_*", False), ("1 of *e*", True), ("all of them", False), ("any of them", True), ("not 1 of no_*", True),
        ("no_1 or yes and yes", True), (["no_1", "yes"], True), ("not not yes", True),
    ],
)  # fmt: skip
def test_a_condition_joins_selections(condition: Any, expected: bool, tmp_path: Path) -> None:  # noqa: FBT001
    selections = {
        "yes": {"actor.type": "user"},
        "no_1": {"actor.type": "no"},
        "no_2": {"eventType": "no"},
        "_never": {"actor.type": "x"},
    }
    found = load([written(tmp_path, rule(detection={**selections, "condition": condition}))])
    assert bool(found.matches(EVENT)) is expected


@pytest.mark.long
def test_only_rules_of_the_event_type_are_tried_and_none_is_missed(tmp_path: Path) -> None:
    types = [*(f"a.type.{number}" for number in range(30)), "user.session.start"]
    by_type = [rule(f"of {name}", detection={"s": {"eventType": name}, "condition": "s"}) for name in types]
    without = rule("not of", detection={"s": {"eventType|startswith": "a."}, "condition": "not s"})
    found = load([written(tmp_path, *by_type, without)])
    assert titles(found) == ["of user.session.start", "not of"]
    assert titles(found, {"eventType": "A.TYPE.7"}) == ["of a.type.7"]
    assert titles(found, {"eventType": None}) == titles(found, {}) == ["not of"]
    assert titles(found, {"eventtype": "b"}) == ["not of"]


def test_an_exception_holds_back_what_its_condition_does_not_let_through(tmp_path: Path) -> None:
    about = exception(filter={"rules": ["second"]})
    found = load([written(tmp_path, rule("first"), rule("second", name="second"), about)])
    assert titles(found) == ["first"]
    (held,) = [match for match in found.matches(EVENT) if match.exception]
    assert held.exception
    assert (held.rule.title, held.exception.title) == ("second", "an exception")
    assert titles(found, EVENT | {"actor": {"type": "SystemPrincipal"}}) == ["first", "second"]


def test_an_exception_ends_with_its_day(tmp_path: Path) -> None:
    path = written(tmp_path, rule(), exception(until="2026-11-28"))
    found = load([path], today=date(2026, 11, 28))
    assert titles(found) == []
    assert titles(found, EVENT | {"published": "2026-11-29T00:00:00.000Z"}) == ["a rule"]
    later = load([path], today=date(2026, 11, 29))
    assert titles(later) == ["a rule"]
    assert (len(later.exceptions), [each.title for each in later.expired]) == (0, ["an exception"])


@pytest.mark.parametrize(
    "condition",
    ["selection", "1 of selection*", "not selection and other", "(not selection)", "other or not selection"],
)
def test_an_exception_must_begin_with_not_and_only_exclude_events(condition: str, tmp_path: Path) -> None:
    about = exception(filter={"condition": condition, "other": {"actor.type": "User"}})
    with pytest.raises(RulesError, match=r"must begin with `not` and only exclude events"):
        load([written(tmp_path, rule(), about)])


def test_a_rule_that_feeds_a_correlation_does_not_alert_by_itself(tmp_path: Path) -> None:
    def correlation(name: str, *rules: str, **more: Any) -> dict[str, Any]:
        section = {"type": "event_count", "rules": list(rules), "timespan": "5m", "condition": {"gte": 3}}
        return {"title": name, "name": name, "correlation": section | more}

    many = correlation("many", "one", **{"group-by": ["actor.id"]})
    both = correlation("both", "two", generate=True)
    chain = {"type": "temporal_ordered", "rules": ["many", "two"], "timespan": "1h", "group-by": ["user"]}
    aliases = {"user": {"many": "actor.id", "two": "target.id"}}
    chained = {"title": "chain", "correlation": chain | {"aliases": aliases}}
    names = [rule(name, name=name, id=f"id-{name}") for name in ("one", "two", "three")]
    found = load([written(tmp_path, chained, many, both, *names)])
    assert [(each.title, each.alerts) for each in found.rules] == [("one", False), ("two", True), ("three", True)]
    assert [(each.title, each.alerts) for each in found.correlations] == [
        ("many", False),
        ("both", True),
        ("chain", True),
    ]
    last = found.correlations[-1]
    assert (last.rules, last.operator, last.value, last.timespan) == (("many", "id-two"), "gte", 2, 3600)
    assert last.aliases == {"user": {"many": "actor.id", "id-two": "target.id"}}


def test_a_field_is_read_as_texts_through_lists() -> None:
    reading = Reading(EVENT)
    assert reading[texts("target.displayName")] == ("Ada", "Okta Admin Console")
    assert reading[texts("securityContext.isProxy")] == ("true",)
    assert [reading[texts(path)] for path in ("actor.displayName", "no.such", "actor")] == [(), (), ()]
    assert Reading({"ACTOR": {"id": 7}})[texts("actor.id")] == ("7",)


def test_no_value_of_an_event_breaks_a_rule(tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    selections = {
        "wild": {"actor.alternateId": "a*b*c?d"}, "re": {"actor.alternateId|re": "(a+)+$"}, "in": {"actor.alternateId|cidr": "10.0.0.0/8"},
        "number": {"actor.alternateId|gt": 5}, "words": ["needle"], "reference": {"actor.alternateId|fieldref": "actor.id"},
    }  # fmt: skip
    found = load([written(tmp_path, rule(detection={**selections, "condition": "1 of them"}))])
    odd: list[Any] = [deep, "\ud800", "\x00", {}, {"a": "\ud800"}, [], [None, [{}]], "nan", "9" * 5000, float("nan")]
    for value in odd:
        assert found.matches({"eventType": "x", "actor": {"alternateId": value}}) == []
        assert found.matches({"eventType": "x", "actor": value}) == []
    for number in (10**400, float("inf"), 6):
        assert found.matches({"eventType": "x", "actor": {"alternateId": number}})


def test_a_file_in_a_folder_may_have_all_its_rules_commented_out(tmp_path: Path) -> None:
    written(tmp_path, rule())
    quiet = tmp_path / "quiet.yml"
    quiet.write_text("# title: later\n")
    assert len(load([tmp_path]).rules) == 1
    with pytest.raises(RulesError, match=r"quiet\.yml: holds no rule"):
        load([quiet])


def test_a_document_of_comments_alone_is_no_problem_beside_a_rule(tmp_path: Path) -> None:
    text = written(tmp_path, rule()).read_text()
    for around in ("# license\n---\n{}", "---\n# title: later\n---\n{}", "{}---\n", "{}...\n--- # end\n"):
        file = tmp_path / "one.yml"
        file.write_text(around.format(text))
        assert len(load([file]).rules) == 1


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("- a\n- b\n", ":1: is not a rule; a rule is a mapping"),
        ("title: x\nquery: y\n", ":1: is not a rule that can be run; it has no `detection`"),
        ("title: x\ndetection: {s: {eventType: x}, condition: s}\n", ":1: `logsource` is required"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {eventType: x}}\n", ":3: the rule's `detection` has no condition"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {eventType: x}, condition: t}\n", "the condition names the unknown selection 't'"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {eventType: x}, condition: 2 of s*}\n", "write 1, any or all"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {eventType: x}, condition: s | count() > 3}\n", "write a correlation instead"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {eventType: x}, timeframe: 5m, condition: s}\n", "write a correlation with a `timespan`"),
        ("logsource: {product: okta}\ndetection: {s: {eventType: x}, condition: s}\n", ":1: `title` is required"),
        ("title: x\nlevel: urgent\nlogsource: {product: okta}\ndetection: {s: {eventType: x}, condition: s}\n", ":2: `level` is 'urgent'; write one of"),
        ("title: x\nlogsource: {product: okta}\ndetection:\n  s:\n    a: x\n    a: y\n  condition: s\n", ":6: the key 'a' occurs twice in a selection"),
        ("title: x\nlogsource: {product: okta}\ndetection:\n  s: {a: x, a: y}\n  condition: s\n", ":4: the key 'a' occurs twice in a selection"),
        ("title: x\nlogsource: {product: okta}\ndetection:\n  s: {a: x}\n  s: {a: y}\n  condition: s\n", ":5: the key 's' occurs twice in `detection`"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {forwarder.country: NO}, condition: s}\n", "YAML reads 'NO' as a boolean; for a string, put the value in quotes"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {a|re: '(?=x)'}, condition: s}\n", "cannot read the regular expression '(?=x)'"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {a|cidr: 10.0.0.1/8}, condition: s}\n", "'10.0.0.1/8' is not a network"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {a: 1.0e+400}, condition: s}\n", "'1.0e+400' is not a valid number"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {a|lt: .nan}, condition: s}\n", "'.nan' is not a valid number"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {a|gt: '5'}, condition: s}\n", "the modifier 'gt' needs a number; write it without quotes"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {a|contains: 5}, condition: s}\n", "needs a string; put the value in quotes"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {a|hour: 5}, condition: s}\n", "'hour' is not supported: parts of times"),
        ("title: x\nlogsource: {product: okta}\ndetection: {s: {a: []}, condition: s}\n", "the list of values is empty; write at least one value"),
        ("title: x\ncorrelation: {type: value_sum, rules: [y], timespan: 5m, condition: {gte: 1, field: a}}\n", "the type 'value_sum' is not supported here"),
        ("title: x\ncorrelation: {type: value_count, rules: [y], timespan: 5m, condition: {gte: 1}}\n", "a value_count needs the `field`"),
        ("title: x\ncorrelation: {type: event_count, rules: [y], timeframe: 5m, condition: {gte: 1}}\n", "unknown key 'timeframe' in `correlation`; did you mean 'timespan'?"),
        ("title: x\ncorrelation: {type: temporal, rules: [y], timespan: 5m, condition: y and z}\n", "joins rules with `and` and `or` is not supported"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_run_is_a_problem_with_line_and_hint(document: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(document)
    with pytest.raises(RulesError) as refused:
        load([path])
    assert said in str(refused.value)
    assert all(problem.file == path for problem in refused.value.problems)


def test_correlations_that_lead_back_to_themselves_are_refused(tmp_path: Path) -> None:
    section = {"type": "temporal", "timespan": "5m"}
    one = {"title": "one", "name": "one", "correlation": {**section, "rules": ["two"]}}
    two = {"title": "two", "name": "two", "correlation": {**section, "rules": ["one"]}}
    with pytest.raises(RulesError, match="name each other in a circle"):
        load([written(tmp_path, one, two)])


def test_an_id_that_two_rules_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="'same' is also the id or name of 'first'"):
        load([written(tmp_path, rule("first", id="same"), rule("second", name="same"))])
