"""A panel as Grafana keeps it, built with Grafana's own SDK."""

from collections.abc import Callable, Sequence
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    geomap,
    heatmap,
    piechart,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_options
from grafana_foundation_sdk.models import piechart as piechart_options
from grafana_foundation_sdk.models import prometheus as prometheus_options

from tools.grafana_panels import PLAIN, Panel, Query, Search
from tools.grafana_searches import data_query

_KINDS: dict[str, Callable[[], Any]] = {
    "stat": stat.Panel,
    "lines": timeseries.Panel,
    "bars": timeseries.Panel,
    "heatmap": heatmap.Panel,
    "table": table.Panel,
    "documents": table.Panel,
    "share": piechart.Panel,
    "top": bargauge.Panel,
    "map": geomap.Panel,
}


def draw(panel: Panel, reads: str, place: models.GridPos, number: int) -> Any:
    """Return the builder of a panel.

    Args:
        panel: what it shows.
        reads: the kind of its data source.
        place: on the dashboard.
        number: its id there.
    """
    drawn = (
        _KINDS[panel.kind]()
        .id(number)
        .title(panel.title)
        .description(panel.description)
        .datasource(source(reads))
        .grid_pos(place)
        .unit(panel.unit)
        .links([_runbook(panel)])
        .targets([_target(panel, query, reads, chr(65 + n)) for n, query in enumerate(panel.queries)])
    )
    if panel.none:
        drawn.no_value(panel.none)
    if panel.most is not None:
        drawn.min(0).max(panel.most)
    if panel.words:
        drawn.mappings([_words(panel)])
    if panel.steps:
        drawn.thresholds(_steps(panel.steps))
    elif panel.kind == "stat":
        drawn.thresholds(_steps(((0, PLAIN),)))
    _finish(drawn, panel)
    return drawn


def source(reads: str) -> models.DataSourceRef:
    """The data source that the reader has chosen."""
    return models.DataSourceRef(type_val=reads, uid="${datasource}")


def _runbook(panel: Panel) -> dashboard.DashboardLink:
    url = f"${{runbook:raw}}#{panel.runbook.lower()}"
    link = dashboard.DashboardLink(f"Runbook: {panel.runbook}").type(models.DashboardLinkType.LINK)
    return link.url(url).target_blank(True)


def _target(panel: Panel, query: Query | Search, reads: str, name: str) -> Builder[Any]:
    if isinstance(query, Search):
        return data_query(query).ref_id(name).datasource(source(reads))
    target = prometheus.Dataquery().expr(query.expr).ref_id(name).datasource(source(reads))
    target = target.instant() if query.now else target.range()
    if query.legend:
        target.legend_format(query.legend)
    if panel.kind == "table":
        target.format(prometheus_options.PromQueryFormat.TABLE)
    elif panel.kind == "heatmap":
        target.format(prometheus_options.PromQueryFormat.HEATMAP)
    return target.editor_mode(prometheus_options.QueryEditorMode.CODE)


def _words(panel: Panel) -> models.ValueMap:
    found = {
        value: models.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(panel.words.items())
    }
    return models.ValueMap(options=found)


def _steps(steps: Sequence[tuple[float, str]]) -> dashboard.ThresholdsConfig:
    # The first step has no lower bound.
    made = [
        models.Threshold(value=from_ if number else None, color=color) for number, (from_, color) in enumerate(steps)
    ]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def _finish(drawn: Any, panel: Panel) -> None:
    """Set what only this kind of panel has."""
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    if panel.kind == "stat":
        _finish_stat(drawn, panel, last)
    elif panel.kind in {"lines", "bars"}:
        _finish_over_time(drawn, panel)
    elif panel.kind == "heatmap":
        color = heatmap.HeatmapColorOptions().scheme("Blues").mode(heatmap_options.HeatmapColorMode.SCHEME)
        axis = heatmap.YAxisConfig().unit(panel.unit)
        drawn.calculate(False).color(color.steps(64).exponent(0.5)).y_axis(axis).hide_y_histogram()
    elif panel.kind == "share":
        legend = piechart.PieChartLegendOptions().show_legend(True).placement(options.LegendPlacement.RIGHT)
        legend.display_mode(options.LegendDisplayMode.LIST).values([piechart_options.PieChartLegendValues.PERCENT])
        drawn.reduce_options(last).legend(legend).display_labels([piechart_options.PieChartLabels.PERCENT])
    elif panel.kind == "top":
        drawn.reduce_options(last).orientation(options.VizOrientation.HORIZONTAL)
        drawn.display_mode(options.BarGaugeDisplayMode.BASIC)
    elif panel.kind in {"table", "documents"}:
        _finish_table(drawn, panel)
    elif panel.kind == "map":
        (search,) = panel.queries
        assert isinstance(search, Search)
        _finish_map(drawn, search.by[0].field)


def _finish_stat(drawn: Any, panel: Panel, last: common.ReduceDataOptions) -> None:
    mode = options.BigValueTextMode.AUTO
    if panel.names:
        mode = options.BigValueTextMode.NAME
    elif len(panel.queries) > 1 or any(isinstance(one, Query) and "{{" in one.legend for one in panel.queries):
        mode = options.BigValueTextMode.VALUE_AND_NAME
    drawn.reduce_options(last).graph_mode(options.BigValueGraphMode.NONE).text_mode(mode)
    colored = panel.words or panel.steps
    drawn.color_mode(options.BigValueColorMode.BACKGROUND if colored else options.BigValueColorMode.NONE)


def _finish_over_time(drawn: Any, panel: Panel) -> None:
    bars = panel.kind == "bars"
    drawn.draw_style(options.GraphDrawStyle.BARS if bars else options.GraphDrawStyle.LINE)
    drawn.fill_opacity(60 if bars else 10).legend(_legend())
    if bars:
        drawn.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    if panel.lines_at:
        style = common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED)
        drawn.thresholds_style(style)
    if panel.most is None:
        drawn.min(0)
    tooltip = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)
    drawn.tooltip(tooltip.sort(options.SortOrder.DESCENDING))


def _finish_table(drawn: Any, panel: Panel) -> None:
    drawn.show_header(True)
    for name, unit in panel.units.items():
        drawn.override_by_name(name, [models.DynamicConfigValue(id_val="unit", value=unit)])
    if len(panel.queries) > 1:
        drawn.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    if panel.pivot:
        _pivot(drawn, panel, *panel.pivot)
        return
    hidden = dict.fromkeys(panel.hidden, True)
    shape: dict[str, Any] = {"excludeByName": hidden, "renameByName": dict(panel.columns)}
    if panel.kind == "documents":
        shape["indexByName"] = {name: place for place, name in enumerate(panel.fields)}
        drawn.with_transformation(
            models.DataTransformerConfig(
                id_val="filterFieldsByName", options={"include": {"names": list(panel.fields)}}
            )
        )
    if panel.hidden or panel.columns or panel.fields:
        drawn.with_transformation(models.DataTransformerConfig(id_val="organize", options=shape))


def _pivot(drawn: Any, panel: Panel, rows: str, columns: str, numbers: str) -> None:
    matrix = {"rowField": rows, "columnField": columns, "valueField": numbers, "emptyValue": "zero"}
    drawn.with_transformation(models.DataTransformerConfig(id_val="groupingToMatrix", options=matrix))
    wanted = [
        {"fieldName": name, "config": {"id": "greaterOrEqual", "options": {"value": least}}}
        for name, least in panel.at_least
    ]
    chosen = {"type": "include", "match": "all", "filters": wanted}
    drawn.with_transformation(models.DataTransformerConfig(id_val="filterByValue", options=chosen))
    name = {f"{rows}\\{columns}": panel.columns.get(rows, rows)}
    drawn.with_transformation(models.DataTransformerConfig(id_val="organize", options={"renameByName": name}))


def _finish_map(drawn: Any, field: str) -> None:
    place = common.MapLayerOptions().type("markers").name("Events")
    found = options.FrameGeometrySource(
        mode=options.FrameGeometrySourceMode.LOOKUP, lookup=field, gazetteer="public/gazetteer/countries.json"
    )
    drawn.basemap(common.MapLayerOptions().type("default").name("Map"))
    drawn.layers([place.location(Built(found))])


class Built(Builder[Any]):
    """A finished model where the SDK wants a builder."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def build(self) -> Any:
        return self._model


def _legend() -> common.VizLegendOptions:
    shown = common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM)
    return shown.display_mode(options.LegendDisplayMode.LIST)
