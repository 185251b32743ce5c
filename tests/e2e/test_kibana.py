"""The dashboards on a real Elasticsearch: every field is mapped and filled, every panel shows something."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.core.event import Source, read_event
from forwarder.core.time import to_micros
from forwarder.ecs.document import DocumentOptions, document
from forwarder.ecs.health_document import health_document
from forwarder.emulator.events.generator import Generator
from forwarder.setup.elasticsearch import fields as mapped
from forwarder.setup.elasticsearch.data_streams import HEALTH
from tests.conftest import require
from tests.e2e import kql
from tests.e2e.kibana import Json, Shown, objects, panels, request, rows, runtime_fields
from tests.fakes.status import sound_status
from tests.stack import kql as kibanas_kql
from tests.stack.elasticsearch import Elasticsearch
from tools.kibana_dashboards import DASHBOARDS, DELAY
from tools.make_kibana import DATA_VIEW, HEALTH_VIEW, TARGET

FILES = [TARGET / f"{dashboard.name}.ndjson" for dashboard in DASHBOARDS]
PANELS = [shown for path in FILES for shown in panels(path)]
SYSTEM_LOG_ONLY = {
    (dashboard.name, panel.title)
    for dashboard in DASHBOARDS
    for row in dashboard.rows
    for panel in row
    if panel.system_log_only
}
EVENTS = 2_000


def titled(shown: Shown) -> str:
    return f"{shown.dashboard}: {shown.title}"


def made(*, hooks_alone: bool, namespace: str = "default") -> Iterator[Json]:
    """Documents of the demo's events, some of every type, over the last hours. The same ones each time."""
    generator = Generator(Random(4), origin="https://acme.okta.test", edge_case_share=0.02)
    types = [name for name, tags in EVENT_TYPES.items() if HOOK_ELIGIBLE in tags or not hooks_alone]
    types += [generator.event_type() for _ in range(EVENTS)]
    now = datetime.now(UTC)
    for number, event_type in enumerate(types):
        at = now - timedelta(seconds=60 + number * 10)
        happened = generator.event(event_type, to_micros(at))
        body = happened.hook if number % 2 and HOOK_ELIGIBLE in EVENT_TYPES[event_type] else happened.log
        event = read_event(body, org="acme", source=Source.HOOK, received_at=to_micros(at) + 300_000)
        yield document(event, DocumentOptions(namespace=namespace))


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """The dotted name of every value in a document."""
    if isinstance(value, list):
        for item in value:
            yield from paths(item, prefix)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix


@pytest.mark.parametrize("shown", PANELS, ids=titled)
def test_every_field_of_a_panel_is_mapped_as_the_panel_needs_it(shown: Shown) -> None:
    types = HEALTH.types if shown.view == HEALTH_VIEW else mapped.types()
    assert shown.fields - {DELAY} <= set(types)
    assert {types[name] for name in kql.fields(shown.filter)} <= {"keyword", "boolean"}
    for column in shown.buckets:
        expected = {"string": "keyword", "ip": "ip", "date": "date"}[column["dataType"]]
        assert types[column["sourceField"]] == expected


def test_every_field_of_a_panel_is_in_the_documents() -> None:
    filled = {path for found in made(hooks_alone=True) for path in paths(found)}
    used = {name for shown in PANELS if shown.view != HEALTH_VIEW for name in shown.fields}
    assert used - {DELAY} - filled == set()


def test_the_data_view_reads_what_the_forwarder_writes() -> None:
    for path in FILES:
        titles = {view["id"]: view["attributes"]["title"] for view in objects(path, "index-pattern")}
        assert titles.pop(HEALTH_VIEW, HEALTH.pattern) == HEALTH.pattern
        assert titles == {DATA_VIEW: "logs-okta.system-*"}
        assert set(runtime_fields(path)) == {DELAY}


def beats(namespace: str) -> Iterator[Json]:
    """The heartbeats of the last hour."""
    now = datetime.now(UTC)
    for minutes in range(60):
        yield health_document(sound_status(), to_micros(now - timedelta(minutes=minutes)), "host", namespace)


class Indexed:
    """Events in a data stream of the product's own template and pipeline."""

    def __init__(self, server: Elasticsearch, *, hooks_alone: bool) -> None:
        self._server = server
        namespace = f"t{uuid4().hex[:12]}"
        self._names = {
            DATA_VIEW: f"logs-okta.system-{namespace}",
            HEALTH_VIEW: f"metrics-okta_forwarder.health-{namespace}",
        }
        self._write(DATA_VIEW, made(hooks_alone=hooks_alone, namespace=namespace))
        self._write(HEALTH_VIEW, beats(namespace))

    def _write(self, view: str, documents: Iterable[Json]) -> None:
        body = "".join(f'{{"create":{{}}}}\n{json.dumps(found)}\n' for found in documents)
        done = self._server.call("POST", f"/{self._names[view]}/_bulk?refresh=true", body)
        assert not done["errors"], next(item for item in done["items"] if item["create"]["status"] >= 300)

    def search(self, body: Json, view: str = DATA_VIEW) -> Json:
        answer: Json = self._server.call("POST", f"/{self._names[view]}/_search", body)
        assert answer["_shards"]["failed"] == 0
        return answer

    def rows(self, shown: Shown) -> list[Json]:
        """What a panel shows."""
        path = TARGET / f"{shown.dashboard}.ndjson"
        (dashboard,) = objects(path, "dashboard")
        body = request(shown, dashboard["attributes"]["timeFrom"], runtime_fields(path, shown.view))
        return [row for row in rows(shown, self.search(body, shown.view)) if any(row.values())]

    def count(self, query: Json) -> int:
        return int(self.search({"query": query, "track_total_hits": True})["hits"]["total"]["value"])


@pytest.fixture(scope="module")
def everything(prepared_elasticsearch: Elasticsearch) -> Indexed:
    return Indexed(prepared_elasticsearch, hooks_alone=False)


@pytest.fixture(scope="module")
def hooks_alone(prepared_elasticsearch: Elasticsearch) -> Indexed:
    return Indexed(prepared_elasticsearch, hooks_alone=True)


@pytest.mark.parametrize("shown", PANELS, ids=titled)
def test_no_panel_is_empty(shown: Shown, everything: Indexed) -> None:
    found = everything.rows(shown)
    assert found
    for name in shown.columns:
        assert any(row[name] for row in found), f"nothing in {name}"
    if shown.kind == "lnsPie" or (shown.kind == "lnsXY" and "by1" in shown.columns):
        assert len({row["by1"] for row in found}) > 1, "nothing to tell apart"


@pytest.mark.parametrize("shown", PANELS, ids=titled)
def test_with_hooks_alone_just_the_panels_that_say_so_are_empty(shown: Shown, hooks_alone: Indexed) -> None:
    says_so = (shown.dashboard, shown.title) in SYSTEM_LOG_ONLY
    assert bool(hooks_alone.rows(shown)) != says_so


def test_the_delay_is_that_from_okta_to_the_index(everything: Indexed) -> None:
    delays = {shown.title for shown in PANELS if DELAY in shown.fields}
    assert delays == {"Typical delay", "Long delay", "Delay over time"}
    times = ["@timestamp", "event.ingested"]
    asked = [*({"field": name, "format": "epoch_millis"} for name in times), DELAY]
    body = {"fields": asked, "runtime_mappings": runtime_fields(FILES[0]), "size": 20}
    for hit in everything.search(body)["hits"]["hits"]:
        happened, ingested = (int(hit["fields"][name][0].partition(".")[0]) for name in times)
        assert hit["fields"][DELAY] == pytest.approx([(ingested - happened) / 1000], abs=0.002)


def test_an_event_that_no_pipeline_has_seen_has_no_delay(prepared_elasticsearch: Elasticsearch) -> None:
    name = f"kibana-{uuid4().hex[:12]}"
    prepared_elasticsearch.call("POST", f"/{name}/_doc?refresh=true", {"@timestamp": datetime.now(UTC).isoformat()})
    body = {"fields": [DELAY], "runtime_mappings": runtime_fields(FILES[0])}
    answer = prepared_elasticsearch.call("POST", f"/{name}/_search", body)
    assert (answer["_shards"]["failed"], len(answer["hits"]["hits"])) == (0, 1)
    assert "fields" not in answer["hits"]["hits"][0]


def test_kibanas_own_parser_finds_the_same_events(everything: Indexed) -> None:
    require(kibanas_kql.missing())
    filters = sorted({shown.filter for shown in PANELS if shown.filter})
    for text, query in zip(filters, kibanas_kql.query_dsl(filters), strict=True):
        assert 0 < everything.count(query) == everything.count(kql.dsl(text)), text


@pytest.mark.parametrize(
    "text", ["a: (b or", "a b", "a: b c", "a:", ": b", "a > 3", "a: b and", "not", 'a: "b', "a: {b: c}"]
)
def test_what_is_no_kql_that_the_dashboards_use_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="KQL"):
        kql.dsl(text)


def test_kql_becomes_the_query_that_kibana_makes_of_it() -> None:
    assert kql.dsl("") == {"match_all": {}}
    assert kql.dsl('a.b: c and not (d: "e f" or g: *)') == {
        "bool": {
            "filter": [
                {"match": {"a.b": "c"}},
                {
                    "bool": {
                        "must_not": {
                            "bool": {
                                "should": [{"match_phrase": {"d": "e f"}}, {"exists": {"field": "g"}}],
                                "minimum_should_match": 1,
                            }
                        }
                    }
                },
            ]
        }
    }
    assert kql.dsl("a: (b-c.* or d)")["bool"]["should"] == [
        {"query_string": {"fields": ["a"], "query": r"b\-c.*"}},
        {"match": {"a": "d"}},
    ]
