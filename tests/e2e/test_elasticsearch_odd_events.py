"""What a sender can put into an event, against a real Elasticsearch: it costs no event, and no time of the cluster."""

import time
from typing import Any
from uuid import uuid4

import pytest

from forwarder.setup.elasticsearch.template_bodies import NAME
from tests.e2e.prepared import deliver, prepare, remove, search
from tests.e2e.streams import Stream, made
from tests.stack.elasticsearch import Elasticsearch
from tests.unit.ecs.odd_keys import ODD_KEYS

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
BROWSER = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"
)


@pytest.fixture
def prepared(prepared_elasticsearch: Elasticsearch) -> Stream:
    return Stream(prepared_elasticsearch)


@pytest.fixture
def unprepared(elasticsearch: Elasticsearch) -> Stream:
    """A data stream by somebody else's template: every field has the type of its first value."""
    stream = Stream(elasticsearch)
    stream.template(message="text")
    return stream


def everywhere(value: Any) -> dict[str, Any]:
    return {
        "debugContext": {"debugData": value},
        "client": {"ipAddress": "192.0.2.7", "ipChain": [value]},
        "device": value,
        "target": [{"id": "x", "type": "User", "detailEntry": value, "changeDetails": {"from": value, "to": value}}],
        "actor": {"id": "1", "detailEntry": value, "displayName": value},
        "transaction": {"detail": value},
        "securityContext": value,
        "authenticationContext": {"authenticatorContext": value},
        "extra": value,
    }


async def test_no_odd_key_costs_an_event_with_our_templates_nor_without(prepared: Stream, unprepared: Stream) -> None:
    batch = [made(seq, **everywhere({"a": "x", key: "y"})) for seq, key in enumerate(ODD_KEYS.values(), 1)]
    await deliver(prepared, batch)
    await deliver(prepared, batch, remove_flattened_debug=True, namespace=f"t{uuid4().hex[:12]}")
    await deliver(unprepared, batch)


@pytest.mark.parametrize("keys", [500, 20_000])
async def test_an_event_with_very_many_keys_is_taken_with_our_templates_and_without(
    prepared: Stream, unprepared: Stream, keys: int
) -> None:
    odd = made(1, debugContext={"debugData": {f"k{number}": "v" for number in range(keys)}})
    await deliver(prepared, [odd])
    await deliver(unprepared, [odd])


async def test_an_event_nested_very_deeply_is_taken_with_our_templates_and_without(
    prepared: Stream, unprepared: Stream
) -> None:
    nest: Any = "v"
    for _ in range(150):
        nest = {"a.b": [nest]}
    odd = made(1, **everywhere({"x": nest}))
    await deliver(prepared, [odd])
    await deliver(unprepared, [odd])


async def test_a_user_agent_of_any_length_costs_no_second_and_stays_whole(prepared: Stream) -> None:
    await deliver(prepared, [made(1, client=_browser(BROWSER))])  # the parser is loaded with the first event
    seconds = []
    for length in (1_000, 16_000, 1_000_000):
        agent = BROWSER + "u" * (length - 6) + str(uuid4().int)[:6]
        began = time.monotonic()
        answer = prepared.server.call(
            "POST", f"/_ingest/pipeline/{NAME}/_simulate", {"docs": [{"_source": {"user_agent": {"original": agent}}}]}
        )
        seconds.append(time.monotonic() - began)
        found = answer["docs"][0]["doc"]["_source"]
        assert (found["user_agent"]["original"], found["user_agent"]["name"]) == (agent, "Chrome")
        assert "_user_agent" not in found
    assert max(seconds) < 1


async def test_what_is_no_user_agent_stays_as_it_is(prepared: Stream) -> None:
    for odd in (7, ["a", BROWSER], {"a": 1}):
        docs = [{"_source": {"user_agent": {"original": odd}, "x": 1}}]
        answer = prepared.server.call("POST", f"/_ingest/pipeline/{NAME}/_simulate", {"docs": docs})
        assert answer["docs"][0]["doc"]["_source"]["user_agent"]["original"] == odd
    answer = prepared.server.call("POST", f"/_ingest/pipeline/{NAME}/_simulate", {"docs": [{"_source": {"x": 1}}]})
    found = answer["docs"][0]["doc"]["_source"]
    assert found.pop("event")["ingested"]
    assert found == {"x": 1}


async def test_a_number_of_an_autonomous_system_of_32_bits_is_found(prepared: Stream) -> None:
    await deliver(prepared, [made(1, securityContext={"asNumber": 4_294_901_908})])
    query = {"query": {"term": {"okta.security_context.as.number": 4_294_901_908}}}
    assert [hit["_id"] for hit in search(prepared, query)["hits"]["hits"]] == ["uuid-1"]


@pytest.mark.both_clients
async def test_a_data_stream_by_somebody_elses_template_is_told_until_setup_has_run(
    prepared: Stream, secured_elasticsearch: Elasticsearch, request: pytest.FixtureRequest
) -> None:
    assert (await prepared.send(made(1))).warning == ""
    server = secured_elasticsearch
    stream = Stream(server)
    everyones = {"index_patterns": ["logs-*-*"], "priority": 100, "data_stream": {}}
    request.addfinalizer(lambda: remove(server, "/_index_template/everyones"))
    server.call("PUT", "/_index_template/everyones", everyones)
    sink = stream.sink()
    assert "run `forwarder setup elasticsearch --rollover`" in (await sink.send([made(1)])).warning
    assert (await prepare(server, namespace=stream.namespace, rollover=True)).fine
    assert (await sink.send([made(2)])).warning == ""
    await sink.close()


def _browser(agent: str) -> dict[str, Any]:
    return {"userAgent": {"rawUserAgent": agent}}
