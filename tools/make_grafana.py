"""Write dashboards/grafana/*.json: what Grafana 11 and every later one imports.

Usage: python -m tools.make_grafana
What the dashboards show stands in tools/grafana_health.py and its neighbours. They take their data source and the place
of the runbook from variables, so that one file fits every Grafana.
"""

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from tools.grafana_activity import ACTIVITY
from tools.grafana_drawing import Built, draw, source
from tools.grafana_health import HEALTH
from tools.grafana_panels import HERE, ORG, SINK, Dashboard, Panel
from tools.grafana_security import SECURITY

TARGET = Path(__file__).parent.parent / "dashboards" / "grafana"
DASHBOARDS = (HEALTH, ACTIVITY, SECURITY)
PREFIX = "okta-forwarder-"
"""Every uid starts with it."""
WIDTH = 24
RUNBOOK = "docs/runbook.md"
"""As in the alerts: point it to your own copy, in the dashboard's settings or with `setup grafana --runbook-url`."""


def files() -> dict[str, str]:
    """The text of every file, by its name."""
    return {f"{shown.name}.json": _text(_dashboard(shown)) for shown in DASHBOARDS}


def _text(drawn: builders.Dashboard) -> str:
    found = json.loads(json.dumps(drawn.build(), cls=JSONEncoder))
    for variable in found["templating"]["list"]:
        for key in ("auto", "auto_count", "auto_min"):  # only intervals have them, but the SDK writes them everywhere
            variable.pop(key, None)
    for panel in found["panels"]:
        panel.get("options", {}).pop("footer", None)  # of tables, empty; newer Grafanas have none
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _dashboard(shown: Dashboard) -> builders.Dashboard:
    drawn = (
        builders.Dashboard(shown.title)
        .uid(f"{PREFIX}{shown.name}")
        .description(shown.question)
        .tags(["okta-forwarder"])
        .timezone("browser")
        .readonly()
        .refresh("1m")
        .time(shown.since, "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .variables(_variables(shown))
        .annotations(_annotations(shown))
        .link(_others())
    )
    top, number = 0, 1
    for row in shown.rows:
        place = models.GridPos(h=1, w=WIDTH, x=0, y=top)
        drawn.with_row(builders.Row(row.question).id(number).grid_pos(place))
        top, number = top + 1, number + 1
        for line in row.lines:
            left = 0
            for panel, width in zip(line, _widths(line), strict=True):
                place = models.GridPos(h=row.height, w=width, x=left, y=top)
                drawn.with_panel(draw(panel, shown.reads, place, number))
                left, number = left + width, number + 1
            top += row.height
    return drawn


def _widths(line: tuple[Panel, ...]) -> list[int]:
    free = WIDTH - sum(panel.width for panel in line)
    shares = sum(not panel.width for panel in line)
    return [panel.width or free // shares for panel in line]


def _others() -> builders.DashboardLink:
    link = builders.DashboardLink("Okta dashboards").type(models.DashboardLinkType.DASHBOARDS)
    return link.tags(["okta-forwarder"]).as_dropdown(True).keep_time(True).include_vars(False)


def _variables(shown: Dashboard) -> list[Any]:
    chosen: list[Any] = [builders.DatasourceVariable("datasource").label("Data source").type(shown.reads)]
    if shown.reads == "prometheus":
        chosen += [
            _values("job", "Job", "label_values(forwarder_build_info, job)"),
            _values("instance", "Instance", 'label_values(forwarder_build_info{job=~"$job"}, instance)'),
            _values("org", "Org", f"label_values(forwarder_org_source_enabled{{{HERE}}}, org)"),
        ]
        if shown.sinks:
            chosen.append(_values("sink", "Sink", f"label_values(forwarder_sink_backlog_events{{{HERE}}}, sink)"))
    else:
        spaces = {"find": "terms", "field": "data_stream.namespace", "query": "event.module:okta"}
        session = models.VariableOption(text="*", value="*", selected=True)
        chosen += [
            _values("namespace", "Namespace", json.dumps(spaces), "elasticsearch", "*"),
            builders.TextBoxVariable("session").label("Session").default_value("*").current(session),
        ]
    runbook = models.VariableModel(
        type_val=models.VariableType.CONSTANT,
        name="runbook",
        label="Runbook",
        query=RUNBOOK,
        hide=models.VariableHide.HIDE_VARIABLE,
        skip_url_sync=True,
    )
    return [*chosen, Built(runbook)]


def _values(
    name: str, label: str, query: str, reads: str = "prometheus", all_value: str = ".+"
) -> builders.QueryVariable:
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    return (
        builders.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(source(reads))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(all_value)
        .current(everything)
    )


def _annotations(shown: Dashboard) -> list[Any]:
    if not shown.sinks:
        return []
    return [
        _annotation("Restarts", f"changes(process_start_time_seconds{{{HERE}}}[$__interval]) > 0", "blue"),
        _annotation("Sink down", f"forwarder_sink_up{{{SINK}}} == 0", "red"),
        _annotation("Hook down", f"forwarder_hook_verified{{{ORG}}} == 0", "orange"),
    ]


def _annotation(name: str, expr: str, color: str) -> builders.AnnotationQuery:
    made = builders.AnnotationQuery().name(name).datasource(source("prometheus")).enable(True)
    return made.expr(expr).icon_color(color)


if __name__ == "__main__":
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (TARGET / name).write_text(text, encoding="utf-8")
