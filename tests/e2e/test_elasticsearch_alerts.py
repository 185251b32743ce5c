"""Alerts in a real Elasticsearch with security on: what Elastic's own rule finds, and what a missing right does."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import RejectReason
from tests.conftest import require
from tests.contract.sinks import stored_events
from tests.e2e.prepared import deliver, prepare
from tests.e2e.streams import Stream, seqs
from tests.fakes.alert import alert_event
from tests.stack import elasticsearch as elasticsearch_part
from tests.stack.elasticsearch import Elasticsearch

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

BASIC: dict[str, Any] = {"basic_auth": {"username": "tester", "password": "the-password-of-the-tests"}}
EXTERNAL_ALERTS = {
    "bool": {
        "filter": [{"term": {"event.kind": "alert"}}],
        "must_not": [{"terms": {"event.module": ["endgame", "endpoint", "cloud_defend"]}}],
    }
}
"""`event.kind:alert and not event.module:(endgame or endpoint or cloud_defend)` over `logs-*`."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elasticsearch]:
    require(elasticsearch_part.missing())
    running = Elasticsearch(
        tmp_path_factory.mktemp("alerts"), users={"tester": BASIC["basic_auth"]["password"]}
    )
    running.start()
    yield running
    running.stop()
    shutil.rmtree(running.data_dir)


def alerts(count: int, first_seq: int) -> list[StoredEvent]:
    return [StoredEvent(first_seq + n, alert_event(first=f"first-{n}")) for n in range(count)]


async def test_the_query_of_external_alerts_finds_each_alert_once_with_name_and_severity(
    server: Elasticsearch,
) -> None:
    assert (await prepare(server, **BASIC)).fine
    stream = Stream(server)
    batch = [*stored_events(5), *alerts(3, 6)]
    for _ in range(2):  # the second time as after a lost answer
        await deliver(stream, batch, **BASIC)
    server.call("POST", "/logs-*/_refresh")
    query = {"query": EXTERNAL_ALERTS, "sort": ["@timestamp"], "size": 100}
    found = [hit["_source"] for hit in server.call("POST", "/logs-*/_search", query)["hits"]["hits"]]
    found = [one for one in found if one["data_stream"]["namespace"] == stream.namespace]
    assert len(found) == 3
    assert {(one["message"], one["event"]["severity"]) for one in found} == {("Password spray", 73)}
    assert all("ingested" in one["event"] for one in found)
    assert all(one["threat"]["technique"]["id"] == ["T1110"] for one in found)


async def test_without_the_right_on_their_stream_only_alerts_are_dead_letters(server: Elasticsearch) -> None:
    assert (await prepare(server, **BASIC)).fine
    key = server.call(
        "POST",
        "/_security/api_key",
        {
            "name": "events-only",
            "role_descriptors": {
                "events": {
                    "indices": [
                        {"names": ["logs-okta.system-*"], "privileges": ["create_doc", "auto_configure"]}
                    ]
                }
            },
        },
    )["encoded"]
    stream = Stream(server)
    for batch in ([*stored_events(5), *alerts(2, 6)], alerts(2, 6)):
        outcome = await stream.send(*batch, api_key=key)
        assert seqs(outcome) == ([one.seq for one in batch if one.seq < 6], [], [6, 7])
        assert {one.reason for one in outcome.rejected} == {RejectReason.ALERT_STREAM}
        assert "logs-okta_forwarder.alert-*" in outcome.rejected[0].detail
        assert (outcome.pause, outcome.whole) == (False, False)
    await deliver(stream, alerts(2, 6), **BASIC)  # a replay, after the right was given


async def test_a_key_from_before_there_were_alerts_still_prepares_everything(server: Elasticsearch) -> None:
    role = {
        "cluster": ["monitor", "manage_index_templates", "manage_ingest_pipelines"],
        "indices": [{"names": ["logs-okta.system-*"], "privileges": ["view_index_metadata"]}],
    }
    key = server.call("POST", "/_security/api_key", {"name": "older", "role_descriptors": {"r": role}})
    told = await prepare(server, api_key=key["encoded"])
    assert told.fine
    assert any("logs-okta_forwarder.alert-*" in note for note in told.of("note"))
