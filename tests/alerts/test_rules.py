"""The alerts against the code: every metric and label exists, every alert has a section that names what fixes it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import promql_parser
import pytest
import yaml

from forwarder.cli.main import main
from forwarder.doctor.all_checks import CHECKS
from forwarder.metrics import Metrics

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "config" / "prometheus" / "forwarder.rules.yml"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")

GROUPS = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
ALERTS: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
RECORDED = {rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"] if "record" in rule}
DECLARED = {metric.name: metric for metric in Metrics().declared}
FOREIGN = {"up": {"job", "instance"}, "process_start_time_seconds": {"job"}, "ALERTS": {"alertname", "alertstate"}}
OF_PROMETHEUS = {"job", "instance", "le"}
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}
WRAPPERS = (promql_parser.AggregateExpr, promql_parser.ParenExpr, promql_parser.SubqueryExpr, promql_parser.UnaryExpr)
RATES = {"rate", "increase", "irate"}
COMPARISONS = {"==", "!=", ">", "<", ">=", "<="}


NEWBORN = "series that were not there before"
"""As `x unless x offset 1h`: what a counter has that begins with 1, of which no rate sees an increase."""


def is_newborn(expression: promql_parser.BinaryExpr) -> bool:
    """Whether `expression` is a metric without the series that it had a while ago."""
    left, right = expression.lhs, expression.rhs
    if not (isinstance(left, promql_parser.VectorSelector) and isinstance(right, promql_parser.VectorSelector)):
        return False
    return str(expression.op) == "unless" and left.name == right.name and right.offset is not None


def nodes(expression: Any, inside: str = "") -> Iterator[tuple[Any, str]]:
    """Every part of `expression`, with the function that it is an argument of."""
    yield expression, inside
    if isinstance(expression, promql_parser.BinaryExpr):
        inside = NEWBORN if is_newborn(expression) else ""
        yield from nodes(expression.lhs, inside)
        yield from nodes(expression.rhs, inside)
    elif isinstance(expression, WRAPPERS):
        yield from nodes(expression.expr)
    elif isinstance(expression, promql_parser.Call):
        for argument in expression.args:
            yield from nodes(argument, expression.func.name)


def selectors(text: str) -> Iterator[tuple[str, set[str], str]]:
    """Each metric that is read, with the labels that select from it and the function around it."""
    for node, inside in nodes(promql_parser.parse(text)):
        selector = node.vector_selector if isinstance(node, promql_parser.MatrixSelector) else node
        if isinstance(selector, promql_parser.VectorSelector):
            yield selector.name or "", {matcher.name for matcher in selector.matchers.matchers}, inside


def declared(name: str) -> tuple[str, set[str]] | None:
    """Kind and labels of a metric, of which `name` is a series; None if there is none."""
    for metric in DECLARED.values():
        if name == metric.name or name in [metric.name + suffix for suffix in SUFFIXES.get(metric.kind, ())]:
            kind = "counter" if name != metric.name else metric.kind
            return kind, set(metric.labels)
    return None


@pytest.mark.parametrize("expression", [*RECORDED.values(), *(alert["expr"] for alert in ALERTS)])
def test_an_expression_reads_only_what_the_forwarder_has(expression: str) -> None:
    found = list(selectors(expression))
    assert found
    for name, labels, inside in found:
        if name in RECORDED:
            continue
        if name in FOREIGN:
            assert labels <= FOREIGN[name]
            continue
        known = declared(name)
        assert known is not None, name
        kind, has = known
        assert labels <= has | OF_PROMETHEUS, (name, labels)
        assert (inside in RATES | {NEWBORN}) == (kind == "counter"), f"{inside}({name}), a {kind}"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}")
def test_an_alert_compares_and_says_what_to_do(alert: dict[str, Any]) -> None:
    name, annotations = alert["alert"], alert["annotations"]
    assert re.fullmatch(r"Forwarder[A-Z]\w+", name)
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    expressions = [node for node, _ in nodes(promql_parser.parse(alert["expr"]))]
    compares = any(isinstance(node, promql_parser.BinaryExpr) and str(node.op) in COMPARISONS for node in expressions)
    assert compares or "absent(" in alert["expr"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert annotations["summary"].endswith(".")
    assert "{{" not in annotations["summary"]
    assert annotations["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    assert f"\n## {name}\n" in RUNBOOK


def test_every_section_of_the_runbook_is_an_alert_or_of_the_doctor() -> None:
    sections = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    alerts = list(dict.fromkeys(each["alert"] for each in ALERTS))
    assert sections[: len(alerts)] == alerts
    of_the_status = {"Rules"}  # forwarder/health_verdict
    assert set(sections[len(alerts) :]) == {check.heading for check in CHECKS} - set(alerts) | of_the_status


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`forwarder ([^`]+)`", RUNBOOK))))
def test_a_command_of_the_runbook_exists(command: str) -> None:
    words = command.split()
    found: click.Command = main
    while isinstance(found, click.Group):
        found = found.commands[words.pop(0)]
    options = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_every_section_names_a_command() -> None:
    assert [text[:40] for text in RUNBOOK.split("\n## ")[1:] if "`forwarder " not in text] == []
