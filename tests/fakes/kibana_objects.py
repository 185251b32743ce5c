"""What Kibana requires of the saved objects that we ship, written down from its own schemas by hand.

Kibana takes no key that it does not know in the attributes of an object, keeps objects within them as JSON text, and
shows an empty panel where a name leads nowhere. `faults` says what it would refuse or show empty.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

WIDTH = 48
LATEST = {"dashboard": (8, 9, 0), "index-pattern": (8, 0, 0), "search": (8, 0, 0)}
"""The versions of the objects in Kibana 8.9; later ones bring older objects up to date."""

Text = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Takes no key that it does not know."""


class Reference(Strict):
    id: Text
    name: Text
    type: Literal["index-pattern", "search"]


class SavedObject(Strict):
    attributes: dict[str, Any]
    core_migration_version: Literal["8.8.0"]
    id: Annotated[str, msgspec.Meta(pattern="^okta-forwarder-[a-z-]+$")]
    managed: bool
    references: list[Reference]
    type: Literal["dashboard", "index-pattern", "search"]
    type_migration_version: str


class Source(Strict, rename={"search_source": "searchSourceJSON"}):
    search_source: str


class Refresh(Strict):
    pause: bool
    value: Count


class Controls(
    Strict, rename={"chaining": "chainingSystem", "style": "controlStyle", "panels": "panelsJSON",
                    "ignored": "ignoreParentSettingsJSON"}
):  # fmt: skip
    chaining: Literal["HIERARCHICAL", "NONE"]
    style: Literal["oneLine", "twoLine"]
    ignored: str
    panels: str


class Control(Strict):
    order: int
    width: Literal["small", "medium", "large"]
    grow: bool
    type: Literal["optionsListControl"]
    explicit_input: dict[str, Any]


class DashboardAttributes(
    Strict, rename={"panels": "panelsJSON", "options": "optionsJSON", "meta": "kibanaSavedObjectMeta",
                    "time_from": "timeFrom", "time_to": "timeTo", "time_restore": "timeRestore",
                    "refresh_interval": "refreshInterval", "controls": "controlGroupInput"}
):  # fmt: skip
    title: Text
    description: Text
    controls: "Controls"
    meta: Source
    options: str
    panels: str
    refresh_interval: Refresh
    time_from: Text
    time_restore: bool
    time_to: Text
    version: int


class DataViewAttributes(Strict):
    title: Text
    name: Text
    time_field_name: Text
    allow_no_index: bool
    field_attrs: str
    field_format_map: str
    fields: str
    runtime_field_map: str
    source_filters: str
    type_meta: str


class Grid(Strict):
    columns: dict[str, Any]


class SearchAttributes(Strict, rename={"meta": "kibanaSavedObjectMeta", "hide_chart": "hideChart",
                                       "is_text_based_query": "isTextBasedQuery"}):  # fmt: skip
    title: Text
    description: Text
    columns: list[Text]
    grid: Grid
    hide_chart: bool
    is_text_based_query: bool
    meta: Source
    sort: list[tuple[Text, Literal["asc", "desc"]]]


class Place(Strict):
    x: Count
    y: Count
    w: Annotated[int, msgspec.Meta(ge=6, le=WIDTH)]
    h: Annotated[int, msgspec.Meta(ge=4)]
    i: Text


class Panel(Strict):
    type: Literal["lens", "search"]
    panel_index: Text
    grid_data: Place
    title: Text
    version: Literal["8.9.0"]
    embeddable_config: dict[str, Any]
    panel_ref_name: Text | None = None


class Query(Strict):
    language: Literal["kuery"]
    query: str


class Column(Strict):
    data_type: Literal["string", "ip", "number", "date"]
    is_bucketed: bool
    label: Text
    operation_type: Literal["terms", "date_histogram", "count", "unique_count", "median", "percentile", "max"]
    params: dict[str, Any]
    scale: Literal["ordinal", "interval", "ratio"]
    source_field: Text
    custom_label: bool = False
    filter: Query | None = None


class Layer(Strict):
    column_order: list[Text]
    columns: dict[str, Column]
    incomplete_columns: dict[str, Any]
    sampling: int


class Layers(Strict):
    layers: dict[str, Layer]


class Datasources(Strict):
    form_based: Layers
    text_based: Layers


class LensState(Strict):
    ad_hoc_data_views: dict[str, Any]
    internal_references: list[Any]
    filters: list[Any]
    query: Query
    datasource_states: Datasources
    visualization: dict[str, Any]


class Lens(Strict):
    type: Literal["lens"]
    title: Text
    description: Text
    visualization_type: Literal["lnsXY", "lnsPie", "lnsMetric", "lnsDatatable"]
    references: list[Reference]
    state: LensState


_ATTRIBUTES: dict[str, type[Strict]] = {
    "dashboard": DashboardAttributes,
    "index-pattern": DataViewAttributes,
    "search": SearchAttributes,
}


def faults(saved: dict[str, Any]) -> list[str]:
    """What Kibana would refuse, or show empty, in one saved object. References to other objects are not followed."""
    try:
        known = msgspec.convert(saved, SavedObject)
        attributes = msgspec.convert(known.attributes, _ATTRIBUTES[known.type])
    except msgspec.ValidationError as error:
        return [f"{saved.get('id')}: {error}"]
    found: Iterator[str] = iter(())
    if isinstance(attributes, DashboardAttributes):
        found = _dashboard_faults(known, attributes)
    elif isinstance(attributes, SearchAttributes):
        found = _search_faults(known, attributes)
    elif isinstance(attributes, DataViewAttributes):
        for text in (attributes.runtime_field_map, attributes.fields, attributes.field_attrs):
            json.loads(text)
    version = tuple(int(part) for part in known.type_migration_version.split("."))
    late = [f"{known.id}: is of a later Kibana than 8.9"] if version > LATEST[known.type] else []
    return [*late, *found]


def _search_faults(saved: SavedObject, attributes: SearchAttributes) -> Iterator[str]:
    source = json.loads(attributes.meta.search_source)
    msgspec.convert(source["query"], Query)
    if [reference.name for reference in saved.references] != [source["indexRefName"]]:
        yield f"{saved.id}: names its data view {source['indexRefName']}, and refers to {saved.references}"


def _dashboard_faults(saved: SavedObject, attributes: DashboardAttributes) -> Iterator[str]:
    try:
        panels = msgspec.json.decode(attributes.panels, type=list[Panel])
    except msgspec.ValidationError as error:
        yield f"{saved.id}: {error}"
        return
    json.loads(attributes.options)
    json.loads(attributes.meta.search_source)
    for index, count in Counter(panel.panel_index for panel in panels).items():
        if count > 1:
            yield f"{saved.id}: {count} panels are named {index}"
    yield from _overlaps(panels)
    json.loads(attributes.controls.ignored)
    controls = msgspec.json.decode(attributes.controls.panels, type=dict[str, Control])
    for name, control in controls.items():
        if control.explicit_input["id"] != name:
            yield f"{saved.id}: the control {name} says that it is {control.explicit_input['id']}"
    wanted = [name for panel in panels for name in _names_wanted(panel)]
    wanted += [f"controlGroup_{name}:optionsListDataView" for name in controls]
    given = [reference.name for reference in saved.references]
    if sorted(wanted) != sorted(given):
        yield f"{saved.id}: its panels name {set(wanted) ^ set(given)}, its references do not, or the other way round"
    for panel in panels:
        yield from _panel_faults(panel)


def _names_wanted(panel: Panel) -> list[str]:
    """The names of references that the dashboard must have for this panel."""
    if panel.type == "search":
        return [f"{panel.panel_index}:{panel.panel_ref_name}"]
    layers = panel.embeddable_config["attributes"]["state"]["datasourceStates"]["formBased"]["layers"]
    return [f"{panel.panel_index}:indexpattern-datasource-layer-{layer}" for layer in layers]


def _overlaps(panels: list[Panel]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        place = panel.grid_data
        if place.x + place.w > WIDTH:
            yield f"{panel.panel_index}: reaches over the right edge"
        for x in range(place.x, place.x + place.w):
            for y in range(place.y, place.y + place.h):
                if (x, y) in taken:
                    yield f"{panel.panel_index}: lies over {taken[x, y]}"
                    return
                taken[x, y] = panel.panel_index


def _panel_faults(panel: Panel) -> Iterator[str]:
    if panel.grid_data.i != panel.panel_index:
        yield f"{panel.panel_index}: its place is that of {panel.grid_data.i}"
    if panel.type == "search":
        return
    try:
        lens = msgspec.convert(panel.embeddable_config["attributes"], Lens)
    except msgspec.ValidationError as error:
        yield f"{panel.panel_index}: {error}"
        return
    layers = lens.state.datasource_states.form_based.layers
    expected = [f"indexpattern-datasource-layer-{layer}" for layer in layers]
    if [reference.name for reference in lens.references] != expected:
        yield f"{panel.panel_index}: refers to {lens.references} for its layers {list(layers)}"
    for layer, state in layers.items():
        if sorted(state.column_order) != sorted(state.columns):
            yield f"{panel.panel_index}: the order of its columns is not that of its columns"
        bucketed = [state.columns[name].is_bucketed for name in state.column_order]
        if bucketed != sorted(bucketed, reverse=True):
            yield f"{panel.panel_index}: a number stands before a bucket"
        shown = _columns_shown(lens, layer)
        if sorted(shown) != sorted(state.columns):
            yield f"{panel.panel_index}: shows {shown} of {sorted(state.columns)}"
        for name, column in state.columns.items():
            yield from _column_faults(f"{panel.panel_index}.{name}", column, state)


def _columns_shown(lens: Lens, layer: str) -> list[str]:
    """The columns that the visualisation shows, each as often as it does."""
    shown = lens.state.visualization
    if lens.visualization_type in {"lnsXY", "lnsPie"}:
        (shown,) = shown["layers"]
    if shown["layerId"] != layer or shown["layerType"] != "data":
        return []
    if lens.visualization_type == "lnsXY":
        split = [shown["splitAccessor"]] if "splitAccessor" in shown else []
        return [shown["xAccessor"], *shown["accessors"], *split]
    if lens.visualization_type == "lnsPie":
        return [*shown["primaryGroups"], *shown["metrics"]]
    if lens.visualization_type == "lnsMetric":
        return [shown["metricAccessor"]]
    return [column["columnId"] for column in shown["columns"]]


def _column_faults(name: str, column: Column, layer: Layer) -> Iterator[str]:
    if column.is_bucketed != (column.operation_type in {"terms", "date_histogram"}):
        yield f"{name}: {column.operation_type} and isBucketed do not fit"
    if (column.operation_type == "count") != (column.source_field == "___records___"):
        yield f"{name}: {column.operation_type} of {column.source_field}"
    if column.operation_type == "terms":
        order = layer.columns.get(column.params["orderBy"]["columnId"])
        if order is None or order.is_bucketed:
            yield f"{name}: is ordered by a column that is no number"
    if column.operation_type == "percentile" and not 0 < column.params.get("percentile", 0) < 100:
        yield f"{name}: which percentile?"
