"""The saved objects as they are shipped: complete, sound, and what the tool makes."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.kibana_objects import faults
from tests.stack.process import ROOT
from tools.kibana_dashboards import DASHBOARDS
from tools.make_kibana import TARGET, files

Saved = dict[str, Any]

FILES = sorted(TARGET.glob("*.ndjson"))


def objects(path: Path) -> list[Saved]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def dashboard(path: Path) -> Saved:
    (found,) = (saved for saved in objects(path) if saved["type"] == "dashboard")
    return found


def test_the_files_are_what_the_tool_makes() -> None:
    shipped = {str(path.relative_to(TARGET)): path.read_text(encoding="utf-8") for path in TARGET.rglob("*.ndjson")}
    assert shipped == files(), "run `python -m tools.make_kibana`"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_kibana_takes_every_object(path: Path) -> None:
    assert [fault for saved in objects(path) for fault in faults(saved)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_holds_one_dashboard_and_all_that_it_refers_to(path: Path) -> None:
    seen: set[tuple[str, str]] = set()
    for saved in objects(path):
        assert {(reference["type"], reference["id"]) for reference in saved["references"]} <= seen
        assert (saved["type"], saved["id"]) not in seen
        seen.add((saved["type"], saved["id"]))
    assert dashboard(path)["id"] == f"okta-forwarder-{path.stem}"


def test_what_stands_in_several_files_is_the_same_in_each() -> None:
    found: dict[tuple[str, str], Saved] = {}
    for path in FILES:
        for saved in objects(path):
            assert found.setdefault((saved["type"], saved["id"]), saved) == saved
    titles = [(kind, saved["attributes"]["title"]) for (kind, _), saved in found.items()]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("shown", DASHBOARDS, ids=lambda shown: shown.name)
def test_every_row_fills_the_width_and_every_panel_asks_a_question(shown: Any) -> None:
    panels = json.loads(dashboard(TARGET / f"{shown.name}.ndjson")["attributes"]["panelsJSON"])
    rows: dict[int, int] = {}
    for panel in panels:
        rows[panel["gridData"]["y"]] = rows.get(panel["gridData"]["y"], 0) + panel["gridData"]["w"]
    assert set(rows.values()) == {48}
    heights = {panel["gridData"]["y"]: panel["gridData"]["h"] for panel in panels}
    assert all(upper + heights[upper] == lower for upper, lower in pairwise(sorted(rows)))
    assert all(panel.question.rstrip(".").count("?") == 1 for row in shown.rows for panel in row)
    assert shown.question.endswith("?")


def test_the_readme_tells_the_question_of_each_dashboard() -> None:
    readme = (ROOT / "dashboards" / "README.md").read_text(encoding="utf-8")
    for shown in DASHBOARDS:
        assert f"`kibana/{shown.name}.ndjson`" in readme
        assert shown.question in readme
        for panel in (panel for row in shown.rows for panel in row if panel.system_log_only):
            assert f"*{panel.title}*" in readme


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda saved: saved["attributes"].update(color="red"), "unknown field `color`"),
        (lambda saved: saved["references"].pop(), "its references do not"),
        (lambda saved: saved.update(typeMigrationVersion="8.10.0"), "later Kibana"),
        (lambda saved: saved.update(id="dashboard-1"), "id"),
        (lambda saved: _move(saved, x=4), "lies over"),
        (lambda saved: _move(saved, x=44), "right edge"),
        (lambda saved: _name(saved, "actors"), "2 panels are named actors"),
        (lambda saved: _column(saved, "number1", sourceField="okta.uuid"), "count of okta.uuid"),
        (lambda saved: _column(saved, "number1", operationType="date_histogram"), "isBucketed do not fit"),
    ],
)
def test_a_damaged_dashboard_is_told(damage: Any, told: str) -> None:
    saved = dashboard(TARGET / "overview.ndjson")
    damage(saved)
    assert told in "\n".join(faults(saved))


def _change(saved: Saved, change: Any) -> None:
    panels = json.loads(saved["attributes"]["panelsJSON"])
    change(panels[0])
    saved["attributes"]["panelsJSON"] = json.dumps(panels)


def _move(saved: Saved, **place: int) -> None:
    _change(saved, lambda panel: panel["gridData"].update(place))


def _name(saved: Saved, index: str) -> None:
    _change(saved, lambda panel: panel.update(panelIndex=index))


def _column(saved: Saved, name: str, **values: str) -> None:
    def change(panel: Saved) -> None:
        layers = panel["embeddableConfig"]["attributes"]["state"]["datasourceStates"]["formBased"]["layers"]
        layers["layer"]["columns"][name].update(values)

    _change(saved, change)


def test_the_rule_is_one_that_kibana_imports() -> None:
    (rule,) = objects(TARGET / "rules" / "no-heartbeat.ndjson")
    # What Kibana's API requires of a rule, and what keeps an import from making a second one.
    assert {"name", "description", "risk_score", "severity", "type", "query", "language", "rule_id"} <= rule.keys()
    assert (rule["type"], rule["language"]) == ("esql", "esql")
    assert rule["severity"] in {"low", "medium", "high", "critical"}
    assert "5 minutes" in rule["name"]
    assert "NOW() - 5 minutes" in rule["query"]
