"""One try of the sink against a real Elasticsearch: what each of its answers does to the events."""

import base64
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import RejectReason, RetryReason
from tests.e2e.prepared import remove
from tests.e2e.streams import UNFIT, Stream, happened, made, seqs
from tests.stack.elasticsearch import Elasticsearch

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
both_clients = pytest.mark.both_clients


@pytest.fixture
def stream(elasticsearch: Elasticsearch) -> Stream:
    """A data stream of the shared server, whose template is there."""
    made_stream = Stream(elasticsearch)
    made_stream.template()
    return made_stream


# --- one try


@both_clients
@pytest.mark.parametrize("compress", [True, False])
async def test_an_event_sent_twice_is_there_once_under_its_uuid(stream: Stream, *, compress: bool) -> None:
    batch = [made(seq) for seq in range(1, 101)]
    for _ in range(2):
        assert seqs(await stream.send(*batch, compress=compress)) == (list(range(1, 101)), [], [])
    assert stream.ids() == sorted(f"uuid-{seq}" for seq in range(1, 101))


@both_clients
@pytest.mark.parametrize("uuid", ['"\\\n\u2028 / ü \U0001f512', "x" * 256, "ü" * 128])
async def test_any_uuid_makes_an_id_that_elasticsearch_takes(stream: Stream, uuid: str) -> None:
    for _ in range(2):
        assert seqs(await stream.send(made(1, uuid=uuid), made(2))) == ([1, 2], [], [])
    assert len(stream.ids()) == 2


@both_clients
async def test_a_mapping_conflict_is_rejected_alone_in_elasticsearchs_words(stream: Stream) -> None:
    outcome = await stream.send(made(1), made(2, displayMessage="no number"), made(3))
    assert seqs(outcome) == ([1, 3], [], [2])
    assert outcome.rejected[0].reason is RejectReason.MAPPING
    assert f"failed to parse field [{UNFIT}] of type [long]" in outcome.rejected[0].detail
    assert stream.ids() == ["uuid-1", "uuid-3"]


@both_clients
async def test_without_a_template_nothing_is_made_and_the_operator_is_told_what_to_run(
    elasticsearch: Elasticsearch,
) -> None:
    stream = Stream(elasticsearch)
    outcome = await stream.send(made(1), made(2))
    assert seqs(outcome) == ([], [1, 2], [])
    assert (outcome.reason, outcome.pause) == (RetryReason.NOT_FOUND, True)
    assert "forwarder setup elasticsearch" in outcome.detail
    with pytest.raises(urllib.error.HTTPError, match="404"):
        elasticsearch.call("GET", f"/{stream.name}/_count")
    stream.template()
    assert seqs(await stream.send(made(1), made(2))) == ([1, 2], [], [])


@both_clients
async def test_a_plain_index_in_the_way_is_not_written(elasticsearch: Elasticsearch) -> None:
    stream = Stream(elasticsearch)
    stream.template(data_stream=False)
    elasticsearch.call("PUT", f"/{stream.name}")
    outcome = await stream.send(made(1))
    assert seqs(outcome) == ([], [1], [])
    assert outcome.pause
    assert "has the name of the data stream" in outcome.detail
    assert elasticsearch.call("GET", f"/{stream.name}/_count")["count"] == 0


@both_clients
async def test_a_blocked_index_pauses_and_costs_no_event(stream: Stream) -> None:
    assert seqs(await stream.send(made(1))) == ([1], [], [])
    stream.settings(**{"index.blocks.write": True})
    outcome = await stream.send(made(1), made(2))
    assert seqs(outcome) == ([], [1, 2], [])
    assert (outcome.reason, outcome.pause) == (RetryReason.FORBIDDEN, True)
    assert "index write" in outcome.detail
    stream.settings(**{"index.blocks.write": None})
    assert seqs(await stream.send(made(1), made(2))) == ([1, 2], [], [])


@both_clients
async def test_a_disk_that_is_nearly_full_makes_events_wait(stream: Stream) -> None:
    await stream.send(made(1))
    stream.settings(**{"index.blocks.read_only_allow_delete": True})
    outcome = await stream.send(made(2))
    assert (seqs(outcome), outcome.reason) == (([], [2], []), RetryReason.THROTTLED)
    stream.settings(**{"index.blocks.read_only_allow_delete": None})
    assert seqs(await stream.send(made(2))) == ([2], [], [])


@both_clients
async def test_a_closed_index_pauses_although_it_says_400(stream: Stream) -> None:
    await stream.send(made(1))
    index = stream.backing_index
    stream.server.call("POST", f"/{index}/_close")
    outcome = await stream.send(made(2))
    assert (seqs(outcome), outcome.pause) == (([], [2], []), True)
    assert "index_closed_exception" in outcome.detail
    stream.server.call("POST", f"/{index}/_open")
    assert seqs(await stream.send(made(2))) == ([2], [], [])


@both_clients
async def test_a_pipeline_that_is_not_there_pauses_although_it_says_400(stream: Stream) -> None:
    name = f"pipeline-{stream.namespace}"
    outcome = await stream.send(made(1), pipeline=name)
    assert (seqs(outcome), outcome.pause) == (([], [1], []), True)
    assert name in outcome.detail
    refusing = {"fail": {"if": "ctx.event.id == 'uuid-2'", "message": "not wanted"}}
    stream.server.call("PUT", f"/_ingest/pipeline/{name}", {"processors": [refusing]})
    outcome = await stream.send(made(1), made(2), pipeline=name)
    assert seqs(outcome) == ([1], [], [2])
    assert "not wanted" in outcome.rejected[0].detail


@both_clients
async def test_the_indexs_own_pipeline_runs_unless_it_is_turned_off(elasticsearch: Elasticsearch) -> None:
    stream = Stream(elasticsearch)
    mark = {"set": {"field": "labels.pipeline", "value": "default"}}
    elasticsearch.call("PUT", f"/_ingest/pipeline/{stream.namespace}", {"processors": [mark]})
    stream.template(default_pipeline=stream.namespace)
    await stream.send(made(1))
    await stream.send(made(2), pipeline="_none")
    elasticsearch.call("POST", f"/{stream.name}/_refresh")
    found = elasticsearch.call("GET", f"/{stream.name}/_search?q=labels.pipeline:default")
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["uuid-1"]


@both_clients
async def test_what_an_org_sends_is_taken_whole(stream: Stream) -> None:
    batch = [StoredEvent(seq, event) for seq, event in enumerate(happened(500), 1)]
    assert seqs(await stream.send(*batch)) == (list(range(1, 501)), [], [])
    assert stream.ids() == sorted(stored.event.uuid for stored in batch)


# --- a server that guards itself

LARGE = {"userAgent": {"rawUserAgent": "x" * 2_000_000}}


@pytest.fixture
def guarded_stream(secured_elasticsearch: Elasticsearch) -> Iterator[Stream]:
    stream = Stream(secured_elasticsearch)
    stream.template()
    yield stream
    remove(secured_elasticsearch, f"/_index_template/{stream.namespace}")


def api_key(stream: Stream, *privileges: str) -> str:
    """A new key with `privileges` on Okta's data streams."""
    role = {"cluster": [], "indices": [{"names": ["logs-okta.system-*"], "privileges": list(privileges)}]}
    body = {"name": stream.namespace, "role_descriptors": {"role": role}}
    key = stream.server.call("POST", "/_security/api_key", body)
    return str(key["encoded"])


@both_clients
async def test_an_api_key_of_least_privilege_is_enough(guarded_stream: Stream) -> None:
    key = api_key(guarded_stream, "create_doc", "auto_configure")
    raw = base64.b64decode(key).decode()
    assert seqs(await guarded_stream.send(made(1), api_key=key)) == ([1], [], [])
    assert seqs(await guarded_stream.send(made(1), made(2), api_key=raw)) == ([1, 2], [], [])


@both_clients
@pytest.mark.parametrize(
    "wrong",
    [{"api_key": None}, {"api_key": "d3Jvbmc6d3Jvbmc="}, {"basic_auth": {"username": "tester", "password": "wrong"}}],
)
async def test_wrong_credentials_pause_until_new_ones_are_given(guarded_stream: Stream, wrong: Any) -> None:
    sink = guarded_stream.sink(**wrong)
    outcome = await sink.send([made(1)])
    assert (seqs(outcome), outcome.reason) == (([], [1], []), RetryReason.UNAUTHORIZED)
    assert outcome.pause
    await sink.close()
    assert seqs(await guarded_stream.send(made(1))) == ([1], [], [])


@both_clients
async def test_missing_rights_pause_and_are_named(guarded_stream: Stream) -> None:
    async def refused(*privileges: str) -> str:
        outcome = await guarded_stream.send(made(1), api_key=api_key(guarded_stream, *privileges))
        assert (seqs(outcome), outcome.reason) == (([], [1], []), RetryReason.FORBIDDEN)
        assert outcome.pause
        return outcome.detail

    assert "granted by the index privileges [auto_configure," in await refused("create_doc")
    both = api_key(guarded_stream, "create_doc", "auto_configure")
    assert seqs(await guarded_stream.send(made(1), api_key=both)) == ([1], [], [])
    assert "granted by the index privileges [create_doc," in await refused("read")


@both_clients
async def test_a_cluster_that_is_read_only_pauses(guarded_stream: Stream) -> None:
    setting = "cluster.blocks.read_only"
    guarded_stream.server.call("PUT", "/_cluster/settings", {"persistent": {setting: True}})
    try:
        outcome = await guarded_stream.send(made(1), made(2))
    finally:
        guarded_stream.server.call("PUT", "/_cluster/settings", {"persistent": {setting: None}})
    assert (seqs(outcome), outcome.reason) == (([], [1, 2], []), RetryReason.FORBIDDEN)
    assert (outcome.pause, outcome.whole) == (True, True)
    assert seqs(await guarded_stream.send(made(1), made(2))) == ([1, 2], [], [])


@both_clients
@pytest.mark.parametrize("compress", [True, False])
async def test_a_document_beyond_the_limit_of_a_request_is_rejected_alone(
    guarded_stream: Stream, *, compress: bool
) -> None:
    sink = guarded_stream.sink(compress=compress)
    large = made(2, client=LARGE)
    outcome = await sink.send([made(1), large])
    assert (seqs(outcome), outcome.split) == (([], [1, 2], []), True)
    assert seqs(await sink.send([made(1)])) == ([1], [], [])
    alone = await sink.send([large])
    assert seqs(alone) == ([], [], [2])
    assert alone.rejected[0].reason is RejectReason.TOO_LARGE
    await sink.close()
