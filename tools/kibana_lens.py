"""A panel as a Lens visualisation: what Kibana keeps in a dashboard about it. The form is that of Kibana 8.9."""

from typing import Any

from tools.kibana_panels import Measure, Panel, Top

LAYER = "layer"
TIME = "time"

_VISUALIZATION = {"number": "lnsMetric", "bars": "lnsXY", "lines": "lnsXY", "donut": "lnsPie", "table": "lnsDatatable"}
_OPERATION = {
    "count": "count",
    "unique": "unique_count",
    "median": "median",
    "p95": "percentile",
    "largest": "max",
    "latest": "max",
}


def lens(panel: Panel, data_view: str) -> dict[str, Any]:
    """The attributes of a Lens visualisation.

    Args:
        panel: any but of kind `events`.
        data_view: its id.
    """
    columns = _columns(panel)
    return {
        "type": "lens",
        "title": panel.title,
        "description": panel.description,
        "visualizationType": _VISUALIZATION[panel.kind],
        "references": [reference(data_view)],
        "state": {
            "adHocDataViews": {},
            "internalReferences": [],
            "filters": [],
            "query": {"language": "kuery", "query": panel.filter},
            "datasourceStates": {
                "formBased": {
                    "layers": {
                        LAYER: {
                            "columnOrder": list(columns),
                            "columns": columns,
                            "incompleteColumns": {},
                            "sampling": 1,
                        }
                    }
                },
                "textBased": {"layers": {}},
            },
            "visualization": _visualization(panel),
        },
    }


def reference(data_view: str, panel_index: str = "") -> dict[str, str]:
    """How a visualisation names its data view; with `panel_index`, how the dashboard around it does."""
    prefix = f"{panel_index}:" if panel_index else ""
    return {"id": data_view, "name": f"{prefix}indexpattern-datasource-layer-{LAYER}", "type": "index-pattern"}


def _columns(panel: Panel) -> dict[str, dict[str, Any]]:
    """Lens's columns: buckets first, the outermost at the front, then the numbers."""
    measures = {f"number{n}": _measure(measure, panel) for n, measure in enumerate(panel.measures, 1)}
    by = {f"by{n}": _top(top) for n, top in enumerate(panel.by, 1)}
    if panel.kind in {"bars", "lines"}:
        # The breakdown stands before the time, so that a colour is one value over the whole time.
        return {**by, TIME: _time(), **measures}
    return {**by, **measures}


def _time() -> dict[str, Any]:
    return {
        "dataType": "date",
        "isBucketed": True,
        "label": "@timestamp",
        "operationType": "date_histogram",
        "params": {"dropPartials": False, "includeEmptyRows": True, "interval": "auto"},
        "scale": "interval",
        "sourceField": "@timestamp",
    }


def _top(top: Top) -> dict[str, Any]:
    return {
        "customLabel": True,
        "dataType": top.of,
        "isBucketed": True,
        "label": top.label,
        "operationType": "terms",
        "params": {
            "exclude": [],
            "excludeIsRegex": False,
            "include": [],
            "includeIsRegex": False,
            "missingBucket": False,
            "orderBy": {"columnId": "number1", "type": "column"},
            "orderDirection": "desc",
            "otherBucket": False,
            "parentFormat": {"id": "terms"},
            "size": top.size,
        },
        "scale": "ordinal",
        "sourceField": top.field,
    }


def _measure(measure: Measure, panel: Panel) -> dict[str, Any]:
    params: dict[str, Any] = {"emptyAsNull": False} if measure.kind in {"count", "unique"} else {}
    if measure.kind == "p95":
        params["percentile"] = 95
    if measure.kind in {"median", "p95"}:
        params["format"] = {"id": "number", "params": {"decimals": 1}}
    return {
        "customLabel": True,
        "dataType": "date" if measure.kind == "latest" else "number",
        "isBucketed": False,
        "label": panel.title if panel.kind == "number" else measure.label,
        "operationType": _OPERATION[measure.kind],
        "params": params,
        **({"filter": {"language": "kuery", "query": measure.filter}} if measure.filter else {}),
        "scale": "ratio",
        "sourceField": measure.field or "___records___",
    }


def _visualization(panel: Panel) -> dict[str, Any]:
    base = {"layerId": LAYER, "layerType": "data"}
    by = [f"by{n}" for n in range(1, len(panel.by) + 1)]
    numbers = [f"number{n}" for n in range(1, len(panel.measures) + 1)]
    if panel.kind == "number":
        return {**base, "metricAccessor": numbers[0]}
    if panel.kind == "table":
        columns = [{"columnId": column, "isTransposed": False} for column in (*by, *numbers)]
        return {**base, "columns": columns, "paging": {"enabled": True, "size": 10}}
    if panel.kind == "donut":
        return {"shape": "donut", "layers": [_slices(base, by, numbers)]}
    return _over_time(panel, base, by, numbers)


def _slices(base: dict[str, Any], by: list[str], numbers: list[str]) -> dict[str, Any]:
    return {
        **base,
        "categoryDisplay": "default",
        "legendDisplay": "default",
        "metrics": numbers,
        "nestedLegend": False,
        "numberDisplay": "percent",
        "primaryGroups": by,
    }


def _over_time(panel: Panel, base: dict[str, Any], by: list[str], numbers: list[str]) -> dict[str, Any]:
    series = "bar_stacked" if panel.kind == "bars" else "line"
    layer = {
        **base,
        "accessors": numbers,
        "position": "top",
        "seriesType": series,
        "showGridlines": False,
        "xAccessor": TIME,
        **({"splitAccessor": by[0]} if by else {}),
    }
    shown = {"x": True, "yLeft": True, "yRight": True}
    return {
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": False, "yRight": False},
        "fittingFunction": "None" if panel.kind == "bars" else "Linear",
        "gridlinesVisibilitySettings": shown,
        "labelsOrientation": {"x": 0, "yLeft": 0, "yRight": 0},
        "layers": [layer],
        "legend": {"isVisible": True, "position": "right"},
        "preferredSeriesType": series,
        "tickLabelsVisibilitySettings": shown,
        "valueLabels": "hide",
    }
