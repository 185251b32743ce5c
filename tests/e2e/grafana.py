"""What Grafana asks for each panel of a dashboard, read from the files as they are shipped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

Json = dict[str, Any]

SHOWN = 60
"""Seconds that the tests' Grafana shows."""
VARIABLES = {
    "$__rate_interval": "5s",
    "$__interval": "2s",
    "$__range": f"{SHOWN}s",
    "$job": ".+",
    "$instance": ".+",
    "$org": ".+",
    "$sink": ".+",
}
"""As Grafana fills them in when everything is chosen; the data source is scraped twice a second."""


class OpenPrompts(msgspec.Struct, frozen=True):
    """A query of a panel, as it is in the file."""

    dashboard: str
    panel: Json
    target: Json

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel['title']} {self.target['refId']}"


def dashboard(path: Path) -> Json:
    """A dashboard as it is shipped."""
    found: Json = json.loads(path.read_text(encoding="utf-8"))
    return found


def panels(path: Path) -> list[Json]:
    """The panels of a dashboard, without its rows."""
    return [panel for panel in dashboard(path)["panels"] if panel["type"] != "row"]


def asked(path: Path) -> Iterator[OpenPrompts]:
    """Every query of a dashboard."""
    for panel in panels(path):
        for target in panel["targets"]:
            yield OpenPrompts(path.stem, panel, target)


def search(target: Json, namespace: str, since: str) -> Json:
    """The search of Elasticsearch that Grafana makes of a query, over the time from `since`."""
    text = target["query"].replace("$namespace", namespace).replace("$session", "*")
    timed = {"range": {target["timeField"]: {"gte": since, "lte": "now"}}}
    asked = {"query_string": {"analyze_wildcard": True, "query": text}}
    body: Json = {"size": 0, "query": {"bool": {"filter": [timed, asked]}}}
    (first, *_) = target["metrics"]
    if first["type"] == "raw_data":
        return {**body, "size": int(first["settings"]["size"]), "sort": [{target["timeField"]: "desc"}]}
    aggs: Json = {
        metric["id"]: {metric["type"]: {"field": metric["field"]}}
        for metric in target["metrics"]
        if metric["type"] != "count"
    }
    for bucket in reversed(target["bucketAggs"]):
        aggs = {bucket["id"]: {**_bucket(bucket), "aggs": aggs}}
    return {**body, "aggs": aggs}


def _bucket(bucket: Json) -> Json:
    settings = bucket["settings"]
    if bucket["type"] == "date_histogram":
        return {"date_histogram": {"field": bucket["field"], "fixed_interval": "10m", "min_doc_count": 0}}
    assert bucket["type"] == "terms"
    order = {settings["orderBy"]: settings["order"]}
    return {"terms": {"field": bucket["field"], "size": int(settings["size"]), "order": order}}


def rows(target: Json, answer: Json) -> list[Json]:
    """The rows of the table that a panel draws: by the name of each bucket's field, and of each metric."""
    if target["metrics"][0]["type"] == "raw_data":
        return [hit["_source"] for hit in answer["hits"]["hits"]]
    return list(_rows(target, target["bucketAggs"], answer["aggregations"], {}))


def _rows(target: Json, buckets: list[Json], within: Json, row: Json) -> Iterator[Json]:
    if buckets:
        bucket, *further = buckets
        for found in within[bucket["id"]]["buckets"]:
            yield from _rows(target, further, found, {**row, bucket["field"]: found["key"]})
        return
    values = {
        metric["type"]: within["doc_count"] if metric["type"] == "count" else within[metric["id"]]["value"]
        for metric in target["metrics"]
    }
    if within["doc_count"]:
        yield {**row, **values}


def filled(expression: str) -> str:
    """The expression as Grafana sends it."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression
