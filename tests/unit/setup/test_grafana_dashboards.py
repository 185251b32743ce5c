"""The Grafana dashboards as they are shipped: what the tool makes, and what Grafana's own linter asks of a dashboard."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from forwarder.setup.elasticsearch import fields
from forwarder.setup.elasticsearch.data_streams import HEALTH
from tests.alerts.test_rules import FOREIGN, OF_PROMETHEUS, RUNBOOK, declared, nodes
from tests.e2e.grafana import OpenPrompts, asked, dashboard, filled, panels
from tests.stack.process import ROOT
from tools.make_grafana import DASHBOARDS, TARGET, files

FILES = sorted(TARGET.glob("*.json"))
PANELS = [(path.stem, panel) for path in FILES for panel in panels(path)]
QUERIES = [one for path in FILES for one in asked(path)]
PROMQL = [one for one in QUERIES if "expr" in one.target]
WINDOWED = {"rate", "increase", "irate", "changes"}
PROCESS = {
    "process_start_time_seconds": "gauge",
    "process_resident_memory_bytes": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
    "up": "gauge",
}
WITHOUT_JOB = {"ALERTS"}
"""An alert for an absent forwarder has no job."""

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
each_panel = pytest.mark.parametrize(
    ("name", "panel"), PANELS, ids=[f"{name}: {panel['title']}" for name, panel in PANELS]
)
each_query = pytest.mark.parametrize("query", PROMQL, ids=str)


def selectors(expression: str) -> Iterator[tuple[Any, str]]:
    """Every selector, with the function around it."""
    for node, inside in nodes(promql_parser.parse(filled(expression))):
        if isinstance(node, promql_parser.MatrixSelector):
            yield node.vector_selector, inside
        elif isinstance(node, promql_parser.VectorSelector):
            yield node, inside


@pytest.mark.long
def test_the_files_are_what_the_tool_makes() -> None:
    shipped = {path.name: path.read_text(encoding="utf-8") for path in TARGET.iterdir()}
    assert shipped == files(), "run `python -m tools.make_grafana`"


@each_file
def test_a_dashboard_is_complete(path: Path) -> None:
    shown = dashboard(path)
    assert shown["uid"] == f"okta-forwarder-{path.stem}"
    assert shown["title"]
    assert shown["description"]
    assert shown["editable"] is False
    assert "id" not in shown
    ids = [panel["id"] for panel in shown["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in panels(path)]
    assert len(titles) == len(set(titles))


@each_file
def test_a_dashboard_lets_the_reader_choose(path: Path) -> None:
    shown = dashboard(path)
    variables = {variable["name"]: variable for variable in shown["templating"]["list"]}
    reads = variables["datasource"]["query"]
    assert (variables["datasource"]["type"], reads) == ("datasource", reads)
    assert {"datasource", "runbook"} <= variables.keys()
    assert variables["runbook"]["hide"] == 2
    if reads == "prometheus":
        assert {"job", "instance", "org"} <= variables.keys()
    else:
        assert {"namespace", "session"} <= variables.keys()
    for variable in variables.values():
        if variable["type"] != "query":
            continue
        assert variable["datasource"] == {"type": reads, "uid": "${datasource}"}
        assert (variable["multi"], variable["includeAll"]) == (True, True)
        assert variable["refresh"] == 2, "the values must follow the time shown"
        assert variable["current"]["value"] == "$__all"


@each_file
def test_panels_fill_the_width_and_do_not_overlap(path: Path) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard(path)["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & own, panel["title"]
        cells |= own
    bottom = max(y for _, y in cells) + 1
    assert cells == {(x, y) for x in range(24) for y in range(bottom)}


@each_panel
def test_a_panel_says_what_it_shows_and_where_help_is(name: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert "?" in panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    assert panel["targets"]
    (link,) = panel["links"]
    base, _, heading = link["url"].partition("#")
    assert base == "${runbook:raw}"
    assert heading in {found.lower() for found in re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)}
    assert panel["description"].endswith(f"Runbook: {link['title'].removeprefix('Runbook: ')}.")


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_reads_the_chosen_data_source(query: OpenPrompts) -> None:
    assert query.target["datasource"] == query.panel["datasource"]


@pytest.mark.long
@each_query
def test_a_query_selects_by_what_is_chosen_and_reads_what_the_forwarder_has(query: OpenPrompts) -> None:
    for selector, inside in selectors(query.target["expr"]):
        found = {matcher.name for matcher in selector.matchers.matchers}
        if selector.name in WITHOUT_JOB:
            assert found <= FOREIGN[selector.name]
            continue
        assert {"job", "instance"} <= found, selector.name
        if selector.name in PROCESS:
            kind, labels = PROCESS[selector.name], set[str]()
        else:
            known = declared(selector.name)
            assert known is not None, selector.name
            kind, labels = known
            if "org" in labels:
                assert "org" in found, selector.name
        assert found <= labels | OF_PROMETHEUS, selector.name
        if kind == "counter" and not _only_asks_whether_it_exists(query.target["expr"]):
            assert inside in WINDOWED, f"{selector.name} is a counter"


def _only_asks_whether_it_exists(expression: str) -> bool:
    return "unless" in expression


@pytest.mark.long
@each_query
def test_what_is_drawn_over_time_follows_the_interval(query: OpenPrompts) -> None:
    windows = re.findall(r"\[(\$?[a-z0-9_]+)\]", query.target["expr"])
    if query.target.get("instant"):
        assert "$__rate_interval" not in windows, "it would show the last moments only"
    else:
        assert set(windows) <= {"$__rate_interval"}


@pytest.mark.parametrize("query", [one for one in QUERIES if "expr" not in one.target], ids=str)
def test_a_search_says_which_documents_it_wants_and_groups_what_it_counts(query: OpenPrompts) -> None:
    text, of_events = query.target["query"], "event.dataset:okta.system AND " in query.target["query"]
    assert of_events != ("event.dataset:okta_forwarder.health AND " in text)
    assert "data_stream.namespace:$namespace" in text
    # Grafana refuses a number without a bucket.
    assert query.target["bucketAggs"] or query.target["metrics"][0]["type"] == "raw_data"
    known = fields.types() if of_events else HEALTH.types
    named = set(re.findall(r"([a-z_@][\w.]*):", text))
    named |= {part["field"] for part in (*query.target["bucketAggs"], *query.target["metrics"]) if "field" in part}
    assert named <= known.keys()
    assert {known[part["field"]] for part in query.target["bucketAggs"]} <= {"keyword", "ip", "date"}


def test_a_query_that_is_not_sound_is_found() -> None:
    bad = 'sum(forwarder_events_received_total{job=~"$job"})'
    ((selector, inside),) = selectors(bad)
    assert "instance" not in {matcher.name for matcher in selector.matchers.matchers}
    assert inside not in WINDOWED


SCHEMAS: dict[str, Any] = json.loads((ROOT / "tests" / "schemas" / "grafana.json").read_text(encoding="utf-8"))


def faults(schema: str, value: Any) -> list[str]:
    """What Grafana's published types do not allow."""
    from jsonschema import Draft7Validator  # noqa: PLC0415  # takes 0.2 s

    found = Draft7Validator(SCHEMAS[schema]).iter_errors(value)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in found]


@pytest.mark.long
@each_file
def test_grafanas_published_types_allow_the_dashboard(path: Path) -> None:
    shown = dashboard(path)
    # Prometheus's own part of an annotation is not in the types of the core.
    expressions = [annotation.pop("expr") for annotation in shown["annotations"].get("list", [])]
    assert all(expressions)
    assert faults("dashboard", shown) == []


@pytest.mark.long
@each_panel
def test_grafanas_published_types_allow_the_panel(name: str, panel: dict[str, Any]) -> None:
    options = f"{panel['type']}.Options"
    if options in SCHEMAS:
        found = faults(options, panel["options"])
        # Newer than the oldest Grafana that we write for, which sorts by value as well.
        assert [fault for fault in found if fault != ": 'sort' is a required property"] == []
    custom = panel["fieldConfig"]["defaults"].get("custom")
    if custom is not None and f"{panel['type']}.FieldConfig" in SCHEMAS:
        assert faults(f"{panel['type']}.FieldConfig", custom) == []


@pytest.mark.long
def test_a_dashboard_that_grafana_would_not_understand_is_found() -> None:
    shown = dashboard(FILES[0])
    shown["panels"][1]["gridPos"]["w"] = "wide"
    shown["refresh"] = 5
    shown["colour"] = "red"
    assert len(faults("dashboard", shown)) >= 3


def test_the_readme_lists_each_dashboard() -> None:
    readme = (ROOT / "dashboards" / "README.md").read_text(encoding="utf-8")
    for shown in DASHBOARDS:
        assert f"`grafana/{shown.name}.json`" in readme
        assert shown.title in readme


def test_no_panel_of_prometheus_shows_personal_data() -> None:
    labels = {label for query in PROMQL for label in re.findall(r"by \(([^)]*)\)", query.target["expr"])}
    names = {name.strip() for some in labels for name in some.split(",")}
    assert names <= {
        "alertname", "bucket", "code", "event_type", "family", "instance", "job", "le", "level", "listener", "operation",
        "org", "outcome", "reason", "severity", "sink", "via",
    }  # fmt: skip
