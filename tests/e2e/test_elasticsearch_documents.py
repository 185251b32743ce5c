"""Our documents in a real Elasticsearch, behind our own template and pipeline."""

import json
from typing import Any

import msgspec
import pytest

from forwarder.core.event import Source, StoredEvent, read_event
from forwarder.setup.elasticsearch.fields import FALLBACKS
from tests import shared_data
from tests.e2e.prepared import deliver, ids, of_every_type, prepare, search
from tests.e2e.streams import Stream, made, seqs
from tests.fakes.clock import NOON
from tests.shared_data import Fixture, flat
from tests.stack.elasticsearch import Elasticsearch
from tests.unit.ecs.wanted_differences import USER_AGENT

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

LACKED = {"constant_keyword", "match_only_text"}
"""Types that the server of the tests does not have."""


@pytest.fixture
def stream(prepared_elasticsearch: Elasticsearch) -> Stream:
    """A data stream of the test's own, made by our template."""
    return Stream(prepared_elasticsearch)


@pytest.mark.parametrize("remove_flattened_debug", [False, True])
@pytest.mark.parametrize("shape", ["hook", "log"])
async def test_an_event_of_each_type_is_taken_whole(
    stream: Stream, shape: str, *, remove_flattened_debug: bool
) -> None:
    batch = of_every_type(shape)
    assert len(batch) == 1178
    await deliver(stream, batch, remove_flattened_debug=remove_flattened_debug, preserve_original_event=True)
    assert len(ids(stream)) == 1178
    ignored = search(stream, {"size": 5_000, "_source": False, "query": {"exists": {"field": "_ignored"}}})["hits"]
    # A list of changed attributes may be longer than what a keyword indexes; nothing else is left out.
    left_out = {"okta.debug_context.debug_data.changedAttributes"} if remove_flattened_debug else set()
    assert {name for hit in ignored["hits"] for name in hit["_ignored"]} == left_out
    found = search(
        stream,
        {
            "size": 0,
            "query": {"range": {"event.ingested": {"gt": "now-5m"}}},
            "aggs": {"types": {"terms": {"field": "event.action", "size": 2_000}}},
        },
    )
    assert found["hits"]["total"]["value"] == 1178
    assert len(found["aggregations"]["types"]["buckets"]) == 1178


@shared_data.needs(shared_data.FIELDS)
async def test_every_field_that_a_rule_a_dashboard_or_a_hunt_names_has_elastics_type(stream: Stream) -> None:
    await deliver(stream, [made(1)])
    listed = stream.server.call("GET", f"/{stream.name}/_field_caps?fields=*")["fields"]
    elastic = {entry["field"]: entry["type"] for entry in msgspec.json.decode(shared_data.FIELDS.read_bytes())}
    rules = msgspec.json.decode(shared_data.RULES.read_bytes())
    named = {field for rule in rules for field in rule["fields"]} | DASHBOARD
    assert len(named) > 50
    for field in sorted(named):
        flattened = field.rpartition(".")[0]
        if flattened in listed and "flattened" in listed[flattened]:
            continue  # a key of a flattened field is no field of its own
        wanted = elastic.get(field, "keyword")  # what Elastic's list leaves out are keywords of other indices
        here = FALLBACKS[wanted] if wanted in LACKED else wanted
        assert list(listed.get(field, {})) == [here], field


DASHBOARD = {
    "@timestamp",
    "client.geo.location",
    "data_stream.dataset",
    "event.created",
    "event.outcome",
    "okta.actor.type",
    "okta.transaction.type",
}


@shared_data.needs(shared_data.FIXTURES)
async def test_the_pipeline_reads_browsers_as_elastics_does(stream: Stream) -> None:
    fixtures = shared_data.fixtures()
    assert len(fixtures) == 74
    await deliver(stream, [_stored(seq, fixture) for seq, fixture in enumerate(fixtures, 1)])
    hits = search(stream, {"size": 100, "_source": ["user_agent"]})["hits"]["hits"]
    found = {hit["_id"]: _agent(flat(hit["_source"])) for hit in hits}
    for fixture in fixtures:
        wanted = _agent(flat(fixture.expected))
        for difference in USER_AGENT:
            difference.amend(wanted, json.loads(fixture.line))
        assert found[str(fixture)] == wanted, str(fixture)


def _stored(seq: int, fixture: Fixture) -> StoredEvent:
    line = json.dumps({**json.loads(fixture.line), "uuid": str(fixture)})  # two of them share one
    return StoredEvent(seq, read_event(line.encode(), org="acme", source=Source.LOG, received_at=NOON))


def _agent(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name.startswith("user_agent.")}


async def test_a_late_copy_lands_twice_once_the_index_has_rolled_over(stream: Stream) -> None:
    """What the store's memory of uuids keeps from happening; see docs/elasticsearch.md."""
    for _ in range(2):
        assert seqs(await stream.send(made(1))) == ([1], [], [])
    assert ids(stream) == ["uuid-1"]
    stream.server.call("POST", f"/{stream.name}/_rollover")
    assert seqs(await stream.send(made(1))) == ([1], [], [])
    assert ids(stream) == ["uuid-1", "uuid-1"]


async def test_a_second_run_of_setup_changes_nothing_while_events_are_there(stream: Stream) -> None:
    await deliver(stream, [made(1)])
    told = await prepare(stream.server, namespace=stream.namespace)
    assert told.fine
    assert (told.of("done"), told.of("diff")) == ([], [])
    assert len(told.of("same")) == 10  # pipelines and templates of events, alerts, actions and health


async def test_an_index_that_is_older_than_the_template_asks_for_a_rollover_and_gets_it(stream: Stream) -> None:
    stream.template(message="keyword")  # as somebody had it before
    assert seqs(await stream.send(made(1))) == ([1], [], [])
    stream.server.call("DELETE", f"/_index_template/{stream.namespace}")
    asked = await prepare(stream.server, namespace=stream.namespace)
    assert asked.fine
    assert any("created before this template; run this command with --rollover" in note for note in asked.of("note"))
    dry = await prepare(stream.server, namespace=stream.namespace, rollover=True, dry_run=True)
    assert any("would start a new one" in note for note in dry.of("note"))
    old = stream.backing_index
    done = await prepare(stream.server, namespace=stream.namespace, rollover=True)
    assert len(done.of("done")) == 1
    assert stream.backing_index in done.of("done")[0]
    assert stream.backing_index != old
    again = await prepare(stream.server, namespace=stream.namespace, rollover=True)
    assert (again.of("done"), stream.backing_index.endswith("000002")) == ([], True)
    assert seqs(await stream.send(made(2))) == ([2], [], [])
    assert ids(stream) == ["uuid-1", "uuid-2"]


async def test_an_index_in_the_way_of_the_data_stream_is_a_fault(stream: Stream) -> None:
    stream.template(data_stream=False)
    stream.server.call("PUT", f"/{stream.name}")
    stream.server.call("DELETE", f"/_index_template/{stream.namespace}")
    told = await prepare(stream.server, namespace=stream.namespace)
    assert not told.fine
    assert "has the name of the data stream" in told.of("problem")[0]
