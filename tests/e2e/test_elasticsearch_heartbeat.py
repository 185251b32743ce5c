"""The heartbeat in a real Elasticsearch with security on: mapped, searchable, and no obstacle where the right is missing."""

import json
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from forwarder.setup.elasticsearch import template_bodies
from forwarder.setup.elasticsearch.data_streams import HEALTH
from tests.e2e.esql_columns import columns
from tests.e2e.okta import envelope, happenings
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.forwarder import SECRET, ForwarderProcess
from tools.kibana_rule import rule

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

EVENTS_ONLY = {"names": ["logs-okta.system-*"], "privileges": ["create_doc", "auto_configure"]}
HEALTH_RIGHTS = {"names": [HEALTH.pattern], "privileges": ["create_doc", "auto_configure"]}


@pytest.fixture
def server(prepared_elasticsearch: Elasticsearch) -> Elasticsearch:
    return prepared_elasticsearch


@pytest.fixture
def forwarder(tmp_path: Path, server: Elasticsearch) -> Iterator[Callable[..., ForwarderProcess]]:
    """Start a forwarder whose key has these rights; its namespace is that of its folder."""
    started: list[ForwarderProcess] = []

    def start(*rights: dict[str, Any]) -> ForwarderProcess:
        role = {"cluster": [], "indices": list(rights)}
        made = server.call("POST", "/_security/api_key", {"name": "sink", "role_descriptors": {"role": role}})
        namespace = f"t{uuid4().hex[:12]}"
        sink = {"kind": "elasticsearch", "hosts": [server.url], "api_key": made["encoded"], "namespace": namespace}
        process = ForwarderProcess(tmp_path / namespace, {"siem": sink}, {"ops": {"heartbeat": "1s"}})
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()


def found(server: Elasticsearch, process: ForwarderProcess, kind: str, query: Any = None) -> list[dict[str, Any]]:
    """The documents of the health or the events of this forwarder."""
    dataset = "metrics-okta_forwarder.health" if kind == "health" else "logs-okta.system"
    name = f"{dataset}-{process.tree['sinks']['siem']['namespace']}"
    path = f"/{name}/_search?ignore_unavailable=true"
    body = {"size": 1000, "query": query or {"match_all": {}}, "sort": [{"@timestamp": "asc"}]}
    try:
        server.call("POST", f"/{name}/_refresh?ignore_unavailable=true")
        return [hit["_source"] for hit in server.call("POST", path, body)["hits"]["hits"]]
    except urllib.error.HTTPError as error:
        if error.code != 503:  # a data stream that is being made
            raise
        return []


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def post(process: ForwarderProcess, count: int) -> None:
    bodies = [body for _, body in happenings(count)]
    answer = httpx.post(process.url, content=envelope(bodies), headers={"Authorization": SECRET}, trust_env=False)
    assert answer.status_code == 200


def test_it_is_mapped_and_says_what_the_ledger_says(
    server: Elasticsearch, forwarder: Callable[..., ForwarderProcess]
) -> None:
    process = forwarder(EVENTS_ONLY, HEALTH_RIGHTS)
    post(process, 20)
    until(lambda: [one for one in found(server, process, "health") if one["okta_forwarder"]["health"]["stored"] == 20])
    until(lambda: found(server, process, "health")[-1]["okta_forwarder"]["health"]["waiting"] == 0)
    last = found(server, process, "health")[-1]
    about = last["okta_forwarder"]["health"]
    ledger = process.ledger()
    assert about["sinks"][0]["delivered"] == ledger["sinks"]["siem"]["delivered"] == 20
    assert (about["verdict"], about["balanced"], last["event"]["outcome"]) == ("ok", True, "success")
    assert last["event"]["ingested"], "the pipeline of setup has run"
    name = f"metrics-okta_forwarder.health-{process.tree['sinks']['siem']['namespace']}"
    (mapping,) = server.call("GET", f"/{name}/_mapping").values()
    assert mapping["mappings"]["_meta"]["okta-forwarder"]["version"] == template_bodies.VERSION
    properties = mapping["mappings"]["properties"]["okta_forwarder"]["properties"]["health"]["properties"]
    assert (properties["waiting"]["type"], properties["states"]["type"]) == ("long", "keyword")
    assert properties["balanced"]["type"] == "boolean"


def test_a_missing_right_is_one_warning_and_events_are_delivered(
    server: Elasticsearch, forwarder: Callable[..., ForwarderProcess]
) -> None:
    process = forwarder(EVENTS_ONLY)
    post(process, 20)
    until(lambda: len(found(server, process, "events")) == 20)
    until(lambda: "heartbeat_failed" in process.log.read_text())
    process.stop()
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    (warned,) = [line for line in lines if line.get("event", {}).get("action") == "heartbeat_failed"]
    assert "metrics-okta_forwarder.health-*" in warned["error"]["message"]
    assert found(server, process, "health") == []


def test_the_last_heartbeat_of_each_forwarder_says_which_has_stopped(
    server: Elasticsearch, forwarder: Callable[..., ForwarderProcess]
) -> None:
    """What the rule of Kibana computes; this server has no ES|QL, so its aggregation is written here."""
    stopped, runs = forwarder(EVENTS_ONLY, HEALTH_RIGHTS), forwarder(EVENTS_ONLY, HEALTH_RIGHTS)
    until(lambda: found(server, stopped, "health") and found(server, runs, "health"))
    stopped.stop()
    limit = found(server, stopped, "health")[-1]["@timestamp"]
    until(lambda: found(server, runs, "health")[-1]["@timestamp"] > limit)
    body = {
        "size": 0,
        "aggs": {
            "by": {
                "terms": {"field": "data_stream.namespace", "size": 100},
                "aggs": {"last": {"max": {"field": "@timestamp"}}},
            }
        },
    }
    buckets = server.call("POST", f"/{HEALTH.pattern}/_search", body)["aggregations"]["by"]["buckets"]
    last = {bucket["key"]: bucket["last"]["value_as_string"] for bucket in buckets}
    namespaces = [process.tree["sinks"]["siem"]["namespace"] for process in (stopped, runs)]
    assert last[namespaces[0]] == limit < last[namespaces[1]]


def test_the_rule_of_kibana_reads_only_columns_that_are_mapped() -> None:
    assert rule()["query"].startswith(f"FROM {HEALTH.pattern}\n")
    names, faults = columns(rule()["query"])
    assert faults == []
    assert {"@timestamp", "host.name"} <= names
    assert names <= set(HEALTH.types)
