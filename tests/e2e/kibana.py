"""What Kibana asks Elasticsearch for each panel of a dashboard, read from the saved objects as they are shipped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.e2e import kql

Json = dict[str, Any]

_OF_A_FIELD = {"unique_count": "cardinality", "max": "max"}


class Shown(msgspec.Struct, frozen=True):
    """A panel as Kibana reads it.

    Attributes:
        dashboard: the name of its file.
        kind: Lens's name of the visualisation, or `search`.
        filter: KQL.
        columns: Lens's columns, the outermost bucket first; for a search, only the names of the fields.
        view: the id of the data view.
    """

    dashboard: str
    title: str
    kind: str
    filter: str
    columns: dict[str, Json]
    view: str = "okta-forwarder-events"

    @property
    def fields(self) -> set[str]:
        """Every field that it uses."""
        shown = {column["sourceField"] for column in self.columns.values()} - {"___records___"}
        filters = [self.filter, *(column["filter"]["query"] for column in self.columns.values() if "filter" in column)]
        return shown.union(*map(kql.fields, filters))

    @property
    def buckets(self) -> list[Json]:
        return [column for column in self.columns.values() if column["isBucketed"]]


def objects(path: Path, kind: str) -> list[Json]:
    """The saved objects of a kind in a file."""
    saved = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [found for found in saved if found["type"] == kind]


def panels(path: Path) -> Iterator[Shown]:
    """The panels of the dashboard in a file."""
    (dashboard,) = objects(path, "dashboard")
    searches = {saved["id"]: saved for saved in objects(path, "search")}
    refers = {reference["name"]: reference["id"] for reference in dashboard["references"]}
    for panel in json.loads(dashboard["attributes"]["panelsJSON"]):
        if panel["type"] == "search":
            search = searches[refers[f"{panel['panelIndex']}:{panel['panelRefName']}"]]["attributes"]
            source = json.loads(search["kibanaSavedObjectMeta"]["searchSourceJSON"])
            columns = {name: {"sourceField": name, "isBucketed": False} for name in search["columns"]}
            yield Shown(path.stem, panel["title"], "search", source["query"]["query"], columns)
            continue
        lens = panel["embeddableConfig"]["attributes"]
        (layer,) = lens["state"]["datasourceStates"]["formBased"]["layers"].values()
        columns = {name: layer["columns"][name] for name in layer["columnOrder"]}
        query = lens["state"]["query"]["query"]
        (view,) = [reference["id"] for reference in lens["references"]]
        yield Shown(path.stem, panel["title"], lens["visualizationType"], query, columns, view)


def runtime_fields(path: Path, name: str = "okta-forwarder-events") -> Json:
    """The fields that the data view computes, as a search takes them."""
    (view,) = [found for found in objects(path, "index-pattern") if found["id"] == name]
    found: Json = json.loads(view["attributes"]["runtimeFieldMap"])
    return found


def request(shown: Shown, since: str, runtime: Json) -> Json:
    """The search for a panel.

    Args:
        shown: the panel.
        since: the beginning of its time, as in `now-24h`.
        runtime: the data view's own fields.
    """
    timed = {"range": {"@timestamp": {"gte": since, "lte": "now"}}}
    body: Json = {
        "query": {"bool": {"filter": [timed, kql.dsl(shown.filter)]}},
        "runtime_mappings": runtime,
        "track_total_hits": True,
        "size": 0,
    }
    if shown.kind == "search":
        fields = [column["sourceField"] for column in shown.columns.values()]
        return {**body, "size": 500, "fields": fields, "_source": False, "sort": [{"@timestamp": "desc"}]}
    inner: Json = {}
    for name, column in shown.columns.items():
        if "filter" in column:
            inner[name] = {"filter": kql.dsl(column["filter"]["query"])}
        elif not column["isBucketed"] and column["operationType"] != "count":
            inner[name] = _number(column)
    for name, column in reversed(shown.columns.items()):
        if column["isBucketed"]:
            inner = {name: {**_bucket(column), "aggs": inner}}
    return {**body, "aggs": inner}


def _number(column: Json) -> Json:
    operation, field = column["operationType"], column["sourceField"]
    if operation in {"median", "percentile"}:
        return {"percentiles": {"field": field, "percents": [column["params"].get("percentile", 50)]}}
    return {_OF_A_FIELD[operation]: {"field": field}}


def _bucket(column: Json) -> Json:
    if column["operationType"] == "terms":
        return {"terms": {"field": column["sourceField"], "size": column["params"]["size"]}}
    return {"auto_date_histogram": {"field": column["sourceField"], "buckets": 50}}


def rows(shown: Shown, answer: Json) -> list[Json]:
    """The rows of the table that a panel draws: a value for each column.

    A panel without a breakdown has one row; one without events has none, or nothing but None and 0 in it.
    """
    if shown.kind == "search":
        return [{name: hit["fields"].get(name) for name in shown.columns} for hit in answer["hits"]["hits"]]
    whole = {"doc_count": answer["hits"]["total"]["value"], **answer.get("aggregations", {})}
    return list(_rows(list(shown.columns.items()), whole, {}))


def _rows(columns: list[tuple[str, Json]], within: Json, row: Json) -> Iterator[Json]:
    (name, column), *further = columns
    if not column["isBucketed"]:
        yield row | {name: _value(column, within.get(name), within) for name, column in columns}
        return
    for bucket in within[name]["buckets"]:
        if bucket["doc_count"]:
            yield from _rows(further, bucket, row | {name: bucket["key"]})


def _value(column: Json, found: Any, within: Json) -> Any:
    if column["operationType"] == "count":
        return found["doc_count"] if "filter" in column else within["doc_count"]
    if "values" in found:
        (value,) = found["values"].values()
        return value
    return found["value"]
