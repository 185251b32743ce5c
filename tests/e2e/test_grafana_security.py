"""The searches of the dashboard of Okta's events on a real Elasticsearch: none fails, none is empty."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from forwarder.core.time import to_micros
from forwarder.ecs.health_document import health_document
from tests.e2e.grafana import Json, OpenPrompts, asked, dashboard, rows, search
from tests.e2e.test_kibana import made
from tests.fakes.status import org, sound_status
from tests.stack.elasticsearch import Elasticsearch
from tools.make_grafana import TARGET

FILE = TARGET / "security.json"
SEARCHES = list(asked(FILE))
READS = "logs-okta.system-*,metrics-okta_forwarder.health-*"
"""The index of the data source, as docs and compose name it."""


def health_documents(namespace: str) -> list[Json]:
    """What two hours of heartbeats have written."""
    now = datetime.now(UTC)
    broken = sound_status(okta={"acme": org(hook={"condition": "unverified"})})
    return [
        health_document(broken if n < 3 else sound_status(), to_micros(now - timedelta(minutes=n)), "h", namespace)
        for n in range(120)
    ]


def attacked(namespace: str) -> list[Json]:
    """Documents of a person who fails six times and then gets in."""
    (document,) = [one for one, _ in zip(made(hooks_alone=True, namespace=namespace), range(1), strict=False)]
    found = []
    for n in range(7):
        one = json.loads(json.dumps(document))
        one["event"].update(action="user.session.start", outcome="failure" if n else "success")
        one["okta"]["actor"]["alternate_id"] = "victim@example.com"
        one["@timestamp"] = (datetime.now(UTC) - timedelta(minutes=n + 1)).isoformat()
        found.append(one)
    return found


@pytest.fixture(scope="module")
def namespace(prepared_elasticsearch: Elasticsearch) -> str:
    """A namespace with events of every type and the health of a forwarder."""
    name = f"t{uuid4().hex[:12]}"
    for stream, documents in (
        (f"logs-okta.system-{name}", [*made(hooks_alone=False, namespace=name), *attacked(name)]),
        (f"metrics-okta_forwarder.health-{name}", health_documents(name)),
    ):
        body = "".join(f'{{"create":{{}}}}\n{json.dumps(found)}\n' for found in documents)
        done = prepared_elasticsearch.call("POST", f"/{stream}/_bulk?refresh=true", body)
        assert not done["errors"], next(item for item in done["items"] if item["create"]["status"] >= 300)
    return name


def shown(server: Elasticsearch, query: OpenPrompts, namespace: str) -> list[Json]:
    since = dashboard(FILE)["time"]["from"]
    answer: Any = server.call("POST", f"/{READS}/_search", search(query.target, namespace, since))
    # The data streams of other tests may have other types, or a shard that has not started.
    failures = [one for one in answer["_shards"].get("failures", ()) if namespace in str(one["index"])]
    assert not failures, failures
    return rows(query.target, answer)


@pytest.mark.parametrize("query", SEARCHES, ids=str)
def test_a_search_finds_what_its_panel_shows(
    query: OpenPrompts, prepared_elasticsearch: Elasticsearch, namespace: str
) -> None:
    found = shown(prepared_elasticsearch, query, namespace)
    assert found
    for metric in query.target["metrics"]:
        if metric["type"] != "raw_data":
            assert any(row[metric["type"]] is not None for row in found), metric
    if query.panel["title"] == "Hooks and sinks":
        assert {row["okta_forwarder.health.states"] for row in found} >= {
            "hook of acme: unverified",
            "sink siem: running",
        }


def test_who_got_in_after_failures_is_the_one_that_did(prepared_elasticsearch: Elasticsearch, namespace: str) -> None:
    (query,) = [one for one in SEARCHES if one.panel["title"] == "Success after failures"]
    matrix, chosen, _ = query.panel["transformations"]
    assert matrix["options"]["rowField"] == "okta.actor.alternate_id"
    numbers: dict[str, Json] = {}
    for row in shown(prepared_elasticsearch, query, namespace):
        numbers.setdefault(row["okta.actor.alternate_id"], {})[row["event.outcome"]] = row["count"]
    least = {one["fieldName"]: one["config"]["options"]["value"] for one in chosen["options"]["filters"]}
    assert least == {"failure": 5, "success": 1}
    who = {name for name, of in numbers.items() if all(of.get(key, 0) >= value for key, value in least.items())}
    assert "victim@example.com" in who
    assert len(who) < len(numbers)
