"""Alerts and actions in a real Elasticsearch with security on: what a search finds, and what a missing right does."""

from typing import Any

import pytest
from msgspec.structs import replace

from forwarder.core.action import ActionRequest, ActionState, End, Outcome
from forwarder.core.action_event import to_event
from forwarder.core.event import StoredEvent
from forwarder.core.outcome import RejectReason
from tests.contract.sinks import stored_events
from tests.e2e.prepared import deliver, prepare
from tests.e2e.streams import Stream, seqs
from tests.fakes.action import action
from tests.fakes.alert import alert_event
from tests.fakes.clock import NOON
from tests.stack.elasticsearch import Elasticsearch

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

EXTERNAL_ALERTS = {
    "bool": {
        "filter": [{"term": {"event.kind": "alert"}}],
        "must_not": [{"terms": {"event.module": ["endgame", "endpoint", "cloud_defend"]}}],
    }
}
"""`event.kind:alert and not event.module:(endgame or endpoint or cloud_defend)` over `logs-*`."""


def actions(*seqs: int) -> list[StoredEvent]:
    """That many changes of actions: one undone, all others done."""
    made = [action(alert=f"alert-{seq}", outcome=Outcome.DONE, **STATES) for seq in seqs]
    made[-1] = replace(made[-1], state=ActionState.ENDED, end=End.UNDONE, undone_by="time")
    return [StoredEvent(seq, to_event(one, NOON)) for seq, one in zip(seqs, made, strict=True)]


STATES: dict[str, Any] = {
    "settings": {"for": 3600, "group": "Step-up"},
    "request": ActionRequest("acme", "PUT", "/api/v1/groups/00g1/users/00u1", {"a": [1, {"b.c": True}], "a.b": None}),
    "before": {"member": False},
    "after": ["text", {"status": "x" * 5000}],
}


def alerts(count: int, first_seq: int) -> list[StoredEvent]:
    return [StoredEvent(first_seq + n, alert_event(first=f"first-{n}")) for n in range(count)]


async def test_the_query_of_external_alerts_finds_each_alert_once_with_name_and_severity(
    prepared_elasticsearch: Elasticsearch,
) -> None:
    stream = Stream(prepared_elasticsearch)
    batch = [*stored_events(5), *alerts(3, 6)]
    for _ in range(2):  # the second time as after a lost answer
        await deliver(stream, batch)
    prepared_elasticsearch.call("POST", "/logs-*/_refresh")
    query = {"query": EXTERNAL_ALERTS, "sort": ["@timestamp"], "size": 100}
    found = [hit["_source"] for hit in prepared_elasticsearch.call("POST", "/logs-*/_search", query)["hits"]["hits"]]
    found = [one for one in found if one["data_stream"]["namespace"] == stream.namespace]
    assert len(found) == 3
    assert {(one["message"], one["event"]["severity"]) for one in found} == {("Password spray", 73)}
    assert all("ingested" in one["event"] for one in found)
    assert all(one["threat"]["technique"]["id"] == ["T1110"] for one in found)


async def test_each_change_of_an_action_is_found_once_by_its_outcome_its_user_and_its_alert(
    prepared_elasticsearch: Elasticsearch,
) -> None:
    stream = Stream(prepared_elasticsearch)
    batch = [*stored_events(3), *alerts(1, 4), *actions(5, 6, 7)]
    for _ in range(2):  # the second time as after a lost answer
        await deliver(stream, batch)
    name = f"logs-okta_forwarder.action-{stream.namespace}"
    prepared_elasticsearch.call("POST", f"/{name}/_refresh")

    def count(**terms: Any) -> int:
        query = {"query": {"bool": {"filter": [{"term": {name: value}} for name, value in terms.items()]}}}
        return int(prepared_elasticsearch.call("POST", f"/{name}/_count", query)["count"])

    assert count() == 3
    assert count(**{"event.kind": "event", "event.action": "add_to_group", "event.outcome": "success"}) == 3
    assert count(**{"event.reason": "time", "okta_forwarder.action.change": "undone"}) == 1
    assert count(**{"user.name": "jane@corp.example", "rule.name": "Password spray"}) == 3
    assert count(**{"okta_forwarder.alert.id": "alert-6"}) == 1
    assert count(**{"okta_forwarder.action.before.member": "false"}) == 3
    hits = prepared_elasticsearch.call("POST", f"/{name}/_search", {"size": 9})["hits"]["hits"]
    assert all("ingested" in hit["_source"]["event"] for hit in hits)
    assert not [hit for hit in hits if "_ignored" in hit and "event" in str(hit["_ignored"])]


async def test_without_the_right_on_their_stream_only_alerts_and_actions_are_dead_letters(
    prepared_elasticsearch: Elasticsearch,
) -> None:
    key = prepared_elasticsearch.call(
        "POST",
        "/_security/api_key",
        {
            "name": "events-only",
            "role_descriptors": {
                "events": {
                    "indices": [{"names": ["logs-okta.system-*"], "privileges": ["create_doc", "auto_configure"]}]
                }
            },
        },
    )["encoded"]
    stream = Stream(prepared_elasticsearch)
    beside = [*alerts(2, 6), *actions(8)]
    for batch in ([*stored_events(5), *beside], beside):
        outcome = await stream.send(*batch, api_key=key)
        assert seqs(outcome) == ([one.seq for one in batch if one.seq < 6], [], [6, 7, 8])
        reasons = {one.seq: one.reason for one in outcome.rejected}
        assert reasons == {6: RejectReason.ALERT_STREAM, 7: RejectReason.ALERT_STREAM, 8: RejectReason.ACTION_STREAM}
        assert "logs-okta_forwarder.alert-*" in outcome.rejected[0].detail
        assert "logs-okta_forwarder.action-*" in outcome.rejected[-1].detail
        assert (outcome.pause, outcome.whole) == (False, False)
    await deliver(stream, beside)  # a replay, after the right was given


async def test_a_key_from_before_there_were_alerts_still_prepares_everything(
    prepared_elasticsearch: Elasticsearch,
) -> None:
    role = {
        "cluster": ["monitor", "manage_index_templates", "manage_ingest_pipelines"],
        "indices": [{"names": ["logs-okta.system-*"], "privileges": ["view_index_metadata"]}],
    }
    key = prepared_elasticsearch.call("POST", "/_security/api_key", {"name": "older", "role_descriptors": {"r": role}})
    told = await prepare(prepared_elasticsearch, api_key=key["encoded"])
    assert told.fine
    for name in ("alert", "action"):
        assert any(f"logs-okta_forwarder.{name}-*" in note for note in told.of("note"))
