"""Write dashboards/kibana/*.ndjson: saved objects that Kibana 8.9 and every later one imports, and rules/*.ndjson: detection
rules for Kibana 8.11 and later.

Usage: python -m tools.make_kibana
What the dashboards show stands in tools/kibana_dashboards.py. Each file holds one dashboard and all that it refers to.
Objects carry the versions of the oldest Kibana that understands them: a newer one migrates them as it
imports them, an older one would refuse them.
"""

import json
import re
from pathlib import Path
from typing import Any

from tools.kibana_dashboards import DASHBOARDS, DELAY
from tools.kibana_lens import lens, reference
from tools.kibana_panels import Dashboard, Panel
from tools.kibana_rule import rule

TARGET = Path(__file__).parent.parent / "dashboards" / "kibana"

PREFIX = "okta-forwarder-"
"""Every id starts with it: what does not is none of ours."""

DATA_VIEW = f"{PREFIX}events"
HEALTH_VIEW = f"{PREFIX}health"
WIDTH = 48
_CONTROLS = {
    "namespace": ("Namespace", "data_stream.namespace"),
    "actor": ("Who", "okta.actor.alternate_id"),
    "session": ("Session", "okta.authentication_context.external_session_id"),
}
"""What the reader of a dashboard can choose, by id: title and field."""
_HEIGHT = {"number": 6, "bars": 12, "lines": 13, "donut": 12, "table": 13, "events": 20}
_OBJECT_VERSIONS = {"dashboard": "8.9.0", "index-pattern": "8.0.0", "search": "8.0.0"}
_PANEL_VERSION = "8.9.0"

_DELAY_SCRIPT = """\
if (doc.containsKey('event.ingested') && doc['event.ingested'].size() > 0 && doc['@timestamp'].size() > 0) {
  emit((doc['event.ingested'].value.toInstant().toEpochMilli()
    - doc['@timestamp'].value.toInstant().toEpochMilli()) / 1000.0);
}"""


def files() -> dict[str, str]:
    """The text of every file, by its name."""
    dashboards = {f"{dashboard.name}.ndjson": _lines(_objects(dashboard)) for dashboard in DASHBOARDS}
    return {**dashboards, "rules/no-heartbeat.ndjson": _lines([rule()])}


def _lines(objects: list[dict[str, Any]]) -> str:
    return "".join(
        json.dumps(found, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n" for found in objects
    )


def _objects(dashboard: Dashboard) -> list[dict[str, Any]]:
    """What one dashboard consists of; what is referred to stands before what refers to it."""
    searches = [_search(dashboard, panel) for row in dashboard.rows for panel in row if panel.kind == "events"]
    health = any(panel.health for row in dashboard.rows for panel in row)
    return [_data_view(), *([_health_view()] if health else []), *searches, _dashboard(dashboard)]


def _saved(kind: str, name: str, attributes: dict[str, Any], refers: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "attributes": attributes,
        "coreMigrationVersion": "8.8.0",
        "id": name,
        "managed": False,
        "references": refers,
        "type": kind,
        "typeMigrationVersion": _OBJECT_VERSIONS[kind],
    }


def _data_view() -> dict[str, Any]:
    delay = {DELAY: {"type": "double", "script": {"source": _DELAY_SCRIPT}}}
    attributes = {
        "allowNoIndex": True,  # it may be imported before the first event
        "fieldAttrs": json.dumps({DELAY: {"customLabel": "Delivery delay (s)"}}),
        "fieldFormatMap": "{}",
        "fields": "[]",
        "name": "Okta events",
        "runtimeFieldMap": json.dumps(delay),
        "sourceFilters": "[]",
        "timeFieldName": "@timestamp",
        "title": "logs-okta.system-*",
        "typeMeta": "{}",
    }
    return _saved("index-pattern", DATA_VIEW, attributes, [])


def _health_view() -> dict[str, Any]:
    seen = _data_view()["attributes"]
    own = {"name": "Okta forwarder health", "title": "metrics-okta_forwarder.health-*"}
    return _saved("index-pattern", HEALTH_VIEW, seen | own | {"fieldAttrs": "{}", "runtimeFieldMap": "{}"}, [])


def _search(dashboard: Dashboard, panel: Panel) -> dict[str, Any]:
    to_data_view = "kibanaSavedObjectMeta.searchSourceJSON.index"
    source = {"filter": [], "indexRefName": to_data_view, "query": {"language": "kuery", "query": panel.filter}}
    attributes = {
        "columns": [column.field for column in panel.by],
        "description": panel.description,
        "grid": {"columns": {}},
        "hideChart": False,
        "isTextBasedQuery": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
        "sort": [["@timestamp", "desc"]],
        "title": f"{dashboard.title}: {panel.title.lower()}",
    }
    refers = [{"id": DATA_VIEW, "name": to_data_view, "type": "index-pattern"}]
    return _saved("search", _search_id(dashboard, panel), attributes, refers)


def _dashboard(dashboard: Dashboard) -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    refers: list[dict[str, str]] = []
    top = 0
    for row in dashboard.rows:
        height = max(_HEIGHT[panel.kind] for panel in row)
        left = 0
        for panel, width in zip(row, _widths(row), strict=True):
            grid = {"h": height, "i": panel_index(panel), "w": width, "x": left, "y": top}
            shown, refers_to = _panel(dashboard, panel)
            panels.append({**shown, "gridData": grid})
            refers.append(refers_to)
            left += width
        top += height
    options = {
        "hidePanelTitles": False,
        "syncColors": True,
        "syncCursor": True,
        "syncTooltips": False,
        "useMargins": True,
    }
    attributes = {
        "description": dashboard.question,
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": json.dumps({"filter": [], "query": {"language": "kuery", "query": ""}})
        },
        "optionsJSON": json.dumps(options),
        "controlGroupInput": _controls(),
        "panelsJSON": json.dumps(panels, sort_keys=True, ensure_ascii=False),
        "refreshInterval": {"pause": False, "value": 60_000},
        "timeFrom": dashboard.since,
        "timeRestore": True,
        "timeTo": "now",
        "title": dashboard.title,
        "version": 1,
    }
    refers += [
        {"id": DATA_VIEW, "name": f"controlGroup_{name}:optionsListDataView", "type": "index-pattern"}
        for name in _CONTROLS
    ]
    return _saved("dashboard", f"{PREFIX}{dashboard.name}", attributes, refers)


def _controls() -> dict[str, Any]:
    """What the reader can choose above the panels."""
    shown = {
        name: {
            "order": order,
            "width": "medium",
            "grow": True,
            "type": "optionsListControl",
            "explicitInput": {"id": name, "fieldName": field, "title": title, "enhancements": {}},
        }
        for order, (name, (title, field)) in enumerate(_CONTROLS.items())
    }
    ignored = dict.fromkeys(("ignoreFilters", "ignoreQuery", "ignoreTimerange", "ignoreValidations"), False)
    return {
        "chainingSystem": "HIERARCHICAL",
        "controlStyle": "oneLine",
        "ignoreParentSettingsJSON": json.dumps(ignored),
        "panelsJSON": json.dumps(shown, sort_keys=True),
    }


def _panel(dashboard: Dashboard, panel: Panel) -> tuple[dict[str, Any], dict[str, str]]:
    """The panel without its place, and its reference."""
    index = panel_index(panel)
    shown: dict[str, Any] = {"panelIndex": index, "title": panel.title, "version": _PANEL_VERSION}
    config: dict[str, Any] = {"enhancements": {}}
    view = HEALTH_VIEW if panel.health else DATA_VIEW
    if panel.kind == "events":
        name = f"panel_{index}"
        refers = {"id": _search_id(dashboard, panel), "name": f"{index}:{name}", "type": "search"}
        return {**shown, "type": "search", "panelRefName": name, "embeddableConfig": config}, refers
    config |= {
        "attributes": lens(panel, view),
        "description": panel.description,
        # A number shows its own label.
        "hidePanelTitles": panel.kind == "number",
    }
    return {**shown, "type": "lens", "embeddableConfig": config}, reference(view, index)


def panel_index(panel: Panel) -> str:
    """What names a panel on its dashboard: its title, as in an address."""
    return re.sub(r"[^a-z0-9]+", "-", panel.title.lower()).strip("-")


def _search_id(dashboard: Dashboard, panel: Panel) -> str:
    return f"{PREFIX}{dashboard.name}-{panel_index(panel)}"


def _widths(row: tuple[Panel, ...]) -> list[int]:
    free = WIDTH - sum(panel.width for panel in row)
    shares = sum(not panel.width for panel in row)
    return [panel.width or free // shares for panel in row]


if __name__ == "__main__":
    (TARGET / "rules").mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (TARGET / name).write_text(text, encoding="utf-8")
