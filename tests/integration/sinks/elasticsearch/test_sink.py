"""The sink for Elasticsearch over a real socket, against the fake that speaks `_bulk`. Runs with both clients."""

import asyncio
import base64
import gzip
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator
from email.utils import format_datetime
from typing import Any

import elasticsearch
import msgspec
import pytest
import structlog
from blockbuster import BlockBuster

from forwarder.core.event import Source, StoredEvent, read_event
from forwarder.core.outcome import BatchResult, RejectReason, RetryReason
from forwarder.core.time import to_datetime
from forwarder.ecs.document import DocumentOptions, document
from forwarder.sinks.elasticsearch.connection import LIMIT
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.elasticsearch.sink import ElasticsearchSink
from tests.certificates import Certificate
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.elasticsearch import MAPPING, THROTTLED, FakeElasticsearch, Reply, error

pytestmark = pytest.mark.both_clients
KEY = "c2VjcmV0LWtleS1pZDpzZWNyZXQta2V5"
PASSWORD = "correct horse battery staple"


def stored(seq: int, **more: Any) -> StoredEvent:
    body = {
        "uuid": f"uuid-{seq}",
        "eventType": "user.session.start",
        "published": "2026-01-01T11:59:58.123Z",
        "actor": {"id": "00u1", "alternateId": "a@acme.test", "displayName": "Ada"},
        **more,
    }
    event = read_event(msgspec.json.encode(body), org="acme", source=Source.HOOK, received_at=NOON)
    return StoredEvent(seq, event)


def sink_for(server: FakeElasticsearch, **more: Any) -> ElasticsearchSink:
    settings = ElasticsearchSinkSettings(**{"hosts": (server.url,), **more})
    return ElasticsearchSink(settings, ManualClock())


async def send_once(server: FakeElasticsearch, *batch: StoredEvent, **more: Any) -> BatchResult:
    sink = sink_for(server, **more)
    try:
        return await sink.send(batch)
    finally:
        await sink.close()


@pytest.fixture
async def server() -> AsyncIterator[FakeElasticsearch]:
    async with FakeElasticsearch() as fake:
        yield fake


@pytest.fixture
async def sink(server: FakeElasticsearch) -> AsyncIterator[ElasticsearchSink]:
    made = sink_for(server)
    yield made
    await made.close()


def test_the_client_has_the_major_version_of_this_run() -> None:
    assert elasticsearch.__version__[0] == int(os.environ.get("FORWARDER_CLIENT_MAJOR", "9"))


# --- what is sent


async def test_an_event_is_created_once_as_its_document_under_its_uuid(server: FakeElasticsearch) -> None:
    event = stored(1)
    outcome = await send_once(server, event, namespace="prod", tags=("a", "b"), preserve_original_event=True)
    assert (outcome.delivered, list(outcome.retry), list(outcome.rejected)) == ([1], [], [])
    options = DocumentOptions(namespace="prod", tags=("a", "b"), preserve_original_event=True)
    assert server.data_streams == {"logs-okta.system-prod": {"uuid-1": document(event.event, options)}}


async def test_only_a_data_stream_is_written_and_the_response_is_filtered(server: FakeElasticsearch) -> None:
    await send_once(server, stored(1), pipeline="_none")
    (request,) = server.requests
    assert (request.method, request.path) == ("PUT", "/logs-okta.system-default/_bulk")
    assert request.query == {
        "require_data_stream": "true",
        "pipeline": "_none",
        "filter_path": "errors,items.*._id,items.*.status,items.*.error.type,items.*.error.reason,items.*.failure_store",
    }


@pytest.mark.parametrize("compress", [True, False])
async def test_compression_does_not_change_the_documents(server: FakeElasticsearch, *, compress: bool) -> None:
    batch = [stored(seq) for seq in range(1, 51)]
    outcome = await send_once(server, *batch, compress=compress)
    (request,) = server.requests
    assert outcome.delivered == list(range(1, 51))
    assert request.headers.get("content-encoding") == ("gzip" if compress else None)
    assert (int(request.headers["content-length"]) < len(request.body) / 4) is compress
    assert [uuid for uuid, _ in request.documents] == [event.event.uuid for event in batch]


async def test_a_path_before_the_api_is_kept(server: FakeElasticsearch) -> None:
    await send_once(server, stored(1), hosts=(f"{server.url}/es/",))
    assert server.requests[0].path == "/es/logs-okta.system-default/_bulk"


async def test_a_uuid_too_long_for_elasticsearch_gets_a_short_id(server: FakeElasticsearch) -> None:
    long = "u" * 600
    body = stored(1).event.body.replace(b"uuid-1", long.encode())
    event = StoredEvent(1, msgspec.structs.replace(stored(1).event, uuid=long, body=body))  # stored by an older version
    outcome = await send_once(server, event, stored(2))
    assert outcome.delivered == [1, 2]
    (first, second) = await server.received()
    assert (first.startswith("sha256-"), second) == (True, "uuid-2")
    assert server.data_streams["logs-okta.system-default"][first]["okta"]["uuid"] == long
    again = await send_once(server, event)
    assert (again.delivered, len(await server.received())) == ([1], 2)


@pytest.mark.parametrize(("document_format", "documents"), [("ecs", 2), ("raw", 1)])
async def test_one_uuid_from_two_orgs_is_two_documents(
    server: FakeElasticsearch, document_format: str, documents: int
) -> None:
    ours = stored(1)
    theirs = StoredEvent(2, msgspec.structs.replace(ours.event, org="globex"))
    settings = ElasticsearchSinkSettings(hosts=(server.url,), document_format=document_format)
    settings.note_orgs(2)
    sink = ElasticsearchSink(settings, ManualClock())
    for _ in range(2):
        assert (await sink.send([ours, theirs])).delivered == [1, 2]
    await sink.close()
    assert len(await server.received()) == documents


async def test_an_event_that_cannot_be_a_document_is_rejected_alone(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    body = b'{"uuid":"odd","eventType":"a.b","published":"2026-01-01T00:00:00Z","x":%b}'
    deep = body % (b"[" * 100_000 + b"]" * 100_000)  # no version of Python decodes that
    odd = StoredEvent(2, msgspec.structs.replace(stored(2).event, body=deep))
    outcome = await sink.send([stored(1), odd, stored(3)])
    assert outcome.delivered == [1, 3]
    assert [(reject.seq, reject.reason) for reject in outcome.rejected] == [(2, RejectReason.UNMAPPABLE)]
    assert outcome.rejected[0].detail
    alone = await sink.send([odd])
    assert ([reject.seq for reject in alone.rejected], len(server.requests)) == ([2], 1)


@pytest.mark.long
async def test_a_long_batch_lets_other_tasks_run(
    server: FakeElasticsearch, sink: ElasticsearchSink, loop_guard: BlockBuster
) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while not server.requests:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    outcome = await sink.send([stored(seq) for seq in range(1, 2_001)])
    await counting
    assert len(outcome.delivered) == 2_000
    assert turns > 10  # 2,000 documents take at least 40 ms; a slice is 1 ms


# --- credentials


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        ({"api_key": KEY}, f"ApiKey {KEY}"),
        ({"api_key": "the-id:the-key"}, "ApiKey " + base64.b64encode(b"the-id:the-key").decode()),
        (
            {"basic_auth": {"username": "forwarder", "password": PASSWORD}},
            "Basic " + base64.b64encode(f"forwarder:{PASSWORD}".encode()).decode(),
        ),
    ],
)
async def test_credentials_go_into_the_header(server: FakeElasticsearch, credentials: Any, header: str) -> None:
    server.authorization = header
    assert (await send_once(server, stored(1), **credentials)).delivered == [1]


async def test_no_secret_is_seen_in_a_log_an_outcome_or_a_repr(
    server: FakeElasticsearch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for more in ({"api_key": KEY}, {"basic_auth": {"username": "u", "password": PASSWORD}}):
        sink = sink_for(server, **more)
        server.replies.append(error(401, "security_exception", "unable to authenticate"))
        outcome = await sink.send([stored(1)])
        await server.hang_up()
        refused = await sink.send([stored(1)])
        await server.listen()
        settings = ElasticsearchSinkSettings(**{"hosts": (server.url,), **more})
        seen = f"{caplog.text} {outcome} {refused} {settings!r} {settings} {sink!r} {settings.model_dump()}"
        await sink.close()
        encoded = base64.b64encode(f"u:{PASSWORD}".encode()).decode()
        assert not [secret for secret in (KEY, PASSWORD, encoded) if secret in seen]


# --- tries whose answer is lost


async def test_a_try_whose_response_was_lost_is_sent_again_and_stored_once(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    server.replies.append(Reply(None, obeyed=True))
    batch = [stored(1), stored(2)]
    lost = await sink.send(batch)
    assert (lost.retry, lost.reason, lost.whole) == ([1, 2], RetryReason.CONNECTION, True)
    assert lost.detail
    assert (await sink.send(batch)).delivered == [1, 2]
    assert await server.received() == ["uuid-1", "uuid-2"]


async def test_the_client_sends_nothing_again_by_itself(server: FakeElasticsearch, sink: ElasticsearchSink) -> None:
    for reply in (Reply(None), error(429, "x", "busy"), error(503, "x", "down"), Reply(None, obeyed=True)):
        await sink.send([stored(1)])  # so that a connection is kept
        before = len(server.requests)
        server.replies.append(reply)
        assert (await sink.send([stored(2)])).retry == [2]
        assert len(server.requests) == before + 1


async def test_a_connection_that_the_server_closed_while_idle_costs_no_event(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    await sink.send([stored(1)])
    server.drop_connections()
    await asyncio.sleep(0)
    outcome = await sink.send([stored(2)])
    if outcome.retry:  # the reset was not seen in time: then the next try is on a new connection
        outcome = await sink.send([stored(2)])
    assert outcome.delivered == [2]
    assert await server.received() == ["uuid-1", "uuid-2"]


@pytest.mark.parametrize("seconds", [-1.0, 2.0**32])
async def test_events_are_delivered_though_the_clock_is_before_1970_or_after_2106(
    server: FakeElasticsearch, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(time, "time", lambda: seconds)
    assert (await send_once(server, stored(1), compress=True)).delivered == [1]


@pytest.mark.parametrize("status", [429, 503, 401, 404])
async def test_after_refusals_the_host_name_is_resolved_again_for_a_new_connection(
    server: FakeElasticsearch, sink: ElasticsearchSink, status: int
) -> None:
    server.replies.extend([error(status, "x", "elsewhere now")] * 2)
    for seq in (1, 2):
        assert (await sink.send([stored(seq)])).retry == [seq]
    assert server.connections == 1
    for seq in (1, 2, 3):
        assert (await sink.send([stored(seq)])).delivered == [seq]
    assert (len(server.requests), server.connections) == (5, 3)


async def test_a_silent_host_times_out(server: FakeElasticsearch) -> None:
    server.always = Reply(silent=True)
    outcome = await send_once(server, stored(1), delivery={"timeout": "250ms"})
    assert (outcome.retry, outcome.reason, outcome.whole) == ([1], RetryReason.TIMEOUT, True)


async def test_the_next_try_goes_to_a_host_that_answers(server: FakeElasticsearch) -> None:
    async with FakeElasticsearch() as other:
        sink = sink_for(server, hosts=(server.url, other.url))
        await server.hang_up()
        outcomes = [await sink.send([stored(seq)]) for seq in range(1, 7)]
        await sink.close()
        assert sum(bool(outcome.retry) for outcome in outcomes) <= 1
        assert len(await other.received()) >= 5


async def test_a_redirect_is_not_followed(server: FakeElasticsearch, sink: ElasticsearchSink) -> None:
    async with FakeElasticsearch() as other:
        for status in (301, 302, 303, 307, 308):
            target = f"{other.url}/logs-okta.system-default/_bulk"
            server.replies.append(Reply(status, "moved", {"Location": f"{target}?token=secret"}))
            outcome = await sink.send([stored(1)])
            assert (outcome.retry, outcome.reason, outcome.pause) == ([1], RetryReason.REDIRECT, True)
            assert f"HTTP {status} to {target}: moved" == outcome.detail
        assert other.requests == []


async def test_a_proxy_of_the_environment_is_not_used(
    server: FakeElasticsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await send_once(server, stored(1))).delivered == [1]


# --- answers


async def test_outcomes_split_a_batch_item_by_item(server: FakeElasticsearch, sink: ElasticsearchSink) -> None:
    server.items = {"uuid-2": MAPPING, "uuid-4": THROTTLED}
    server.failure_store = {"uuid-5"}
    await sink.send([stored(3)])
    outcome = await sink.send([stored(seq) for seq in range(1, 6)])
    assert (outcome.delivered, outcome.retry) == ([1, 3], [4])
    assert (outcome.reason, outcome.pause, outcome.whole) == (RetryReason.THROTTLED, False, False)
    assert [(reject.seq, reject.reason) for reject in outcome.rejected] == [
        (2, RejectReason.MAPPING),
        (5, RejectReason.FAILURE_STORE),
    ]
    assert "failed to parse field [n]" in outcome.rejected[0].detail


async def test_without_an_index_template_the_events_wait_and_the_detail_names_the_command(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    server.templates = False
    outcome = await sink.send([stored(1), stored(2)])
    assert (outcome.retry, list(outcome.rejected)) == ([1, 2], [])
    assert (outcome.reason, outcome.pause) == (RetryReason.NOT_FOUND, True)
    assert "forwarder setup elasticsearch" in outcome.detail
    server.templates = True
    assert (await sink.send([stored(1), stored(2)])).delivered == [1, 2]


async def test_a_document_that_is_too_large_even_alone_is_rejected(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    server.max_content_length = 20_000
    large = stored(2, displayMessage="x" * 30_000)
    outcome = await sink.send([stored(1), large])
    assert (outcome.retry, outcome.split, outcome.reason) == ([1, 2], True, RetryReason.TOO_LARGE)
    alone = await sink.send([large])
    assert [(reject.seq, reject.reason) for reject in alone.rejected] == [(2, RejectReason.TOO_LARGE)]
    assert (await sink.send([stored(1)])).delivered == [1]


async def test_another_server_than_elasticsearch_pauses_the_sink_and_nothing_is_delivered(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    created = {"errors": False, "items": [{"create": {"status": 201}}]}
    server.always = Reply(200, created, {"X-elastic-product": ""}, obeyed=True)
    outcome = await sink.send([stored(1)])
    assert (outcome.retry, outcome.pause, outcome.whole) == ([1], True, True)
    assert "not Elasticsearch" in outcome.detail
    server.always = None
    assert (await sink.send([stored(1)])).delivered == [1]


@pytest.mark.parametrize(
    "body",
    [
        {"errors": False},
        {"errors": False, "items": []},
        {"errors": False, "items": [{"create": {"status": 201}}] * 3},
        "<html>all is well</html>",
        None,
    ],
)
async def test_a_response_that_does_not_name_every_event_is_not_a_delivery(
    server: FakeElasticsearch, sink: ElasticsearchSink, body: Any
) -> None:
    server.replies.append(Reply(200, body, obeyed=True))
    outcome = await sink.send([stored(1), stored(2)])
    assert (outcome.retry, outcome.reason, outcome.whole) == ([1, 2], RetryReason.UNKNOWN, True)
    assert (await sink.send([stored(1), stored(2)])).delivered == [1, 2]


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("7", 7.0),
        (format_datetime(to_datetime(NOON + 90_000_000), usegmt=True), 90.0),
        ("soon", None),
        ("Thu, 01 Jan 2026 12:00:00 +99999999999999", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", None),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", None),
    ],
)
async def test_retry_after_is_passed_on(
    server: FakeElasticsearch, sink: ElasticsearchSink, asked: str, wait: float | None
) -> None:
    server.replies.append(error(429, "es_rejected_execution_exception", "busy", {"Retry-After": asked}))
    outcome = await sink.send([stored(1)])
    assert (outcome.reason, outcome.wait) == (RetryReason.THROTTLED, wait)


@pytest.mark.parametrize(
    "kind", ["application/json", "text/html", "Text/HTML", "application/xml", "image/png", "x", ""]
)
async def test_the_status_counts_whatever_the_body_of_a_proxy_is(
    server: FakeElasticsearch, sink: ElasticsearchSink, kind: str
) -> None:
    server.replies.append(Reply(503, "<html>no upstream", {"content-type": kind}))
    outcome = await sink.send([stored(1)])
    assert (outcome.reason, outcome.pause) == (RetryReason.SERVER, False)
    assert outcome.detail == "HTTP 503: <html>no upstream"


async def test_a_whole_request_of_400_pauses_and_rejects_nothing(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    server.replies.append(error(400, "media_type_header_exception", "Accept version must be 8 or 7"))
    outcome = await sink.send([stored(1)])
    assert (outcome.retry, list(outcome.rejected), outcome.pause) == ([1], [], True)
    assert "elasticsearch<9" in outcome.detail


async def test_a_warning_of_the_server_harms_nothing(server: FakeElasticsearch, sink: ElasticsearchSink) -> None:
    warning = '299 Elasticsearch-9.4.3 "this request accesses something old"'
    server.replies.append(Reply(200, {"errors": False, "items": [{"create": {"status": 201}}]}, {"Warning": warning}))
    assert (await sink.send([stored(1)])).delivered == [1]


async def test_the_servers_text_is_shortened(server: FakeElasticsearch, sink: ElasticsearchSink) -> None:
    server.replies.append(error(503, "x", "y" * 100_000))
    assert len((await sink.send([stored(1)])).detail) <= 1_000


# --- whose template made the data stream


@pytest.mark.parametrize("others", [[], ["logs@default-pipeline"]])
async def test_events_that_land_by_somebody_elses_template_are_told_until_it_is_ours(
    server: FakeElasticsearch, sink: ElasticsearchSink, others: list[str]
) -> None:
    server.pipelines = others
    warned = await sink.send([stored(1)])
    assert warned.delivered == [1]
    assert "run `forwarder setup elasticsearch" in warned.warning
    assert all(name in warned.warning for name in others)
    assert (await sink.send([stored(1)])).warning == warned.warning  # a copy tells nothing
    server.pipelines = ["okta-forwarder"]
    assert (await sink.send([stored(2)])).warning == ""
    assert (await sink.send([stored(3)])).warning == ""
    asked = ["list_executed_pipelines" in request.query for request in server.requests]
    assert asked == [True, True, True, False]


async def test_raw_events_that_no_pipeline_turns_into_documents_are_told(server: FakeElasticsearch) -> None:
    server.pipelines = []
    assert "by no pipeline" in (await send_once(server, stored(1), document_format="raw")).warning
    server.pipelines = ["logs-okta.system-3.14.0"]
    assert (await send_once(server, stored(2), document_format="raw")).warning == ""


async def test_a_server_that_cannot_tell_the_pipelines_gets_the_events_at_once(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    server.pipelines = None
    for seq in (1, 2):
        outcome = await sink.send([stored(seq)])
        assert (outcome.delivered, outcome.warning) == ([seq], "")
    assert len(server.requests) == 3


async def test_who_names_a_pipeline_in_the_sink_is_not_warned(server: FakeElasticsearch) -> None:
    server.pipelines = ["mine"]
    assert (await send_once(server, stored(1), pipeline="mine")).warning == ""
    assert "list_executed_pipelines" not in server.requests[0].query


# --- answers of a hostile or broken peer


def _twice_compressed(size: int) -> bytes:
    return gzip.compress(gzip.compress(b" " * size))


@pytest.mark.parametrize(("body", "coding"), [(b" " * (LIMIT + 1), ""), (gzip.compress(b" " * (LIMIT + 1)), "gzip")])
async def test_a_response_beyond_the_limit_is_not_read_to_its_end_and_the_batch_is_halved(
    server: FakeElasticsearch, sink: ElasticsearchSink, body: bytes, coding: str
) -> None:
    server.always = Reply(200, body, {"content-encoding": coding})
    outcome = await sink.send([stored(1), stored(2)])
    assert (outcome.retry, outcome.split, outcome.reason) == ([1, 2], True, RetryReason.UNKNOWN)
    alone = await sink.send([stored(1)])
    assert (alone.retry, alone.split, alone.whole) == ([1], False, True)
    assert "larger than 3 MiB" in alone.detail
    server.always = None
    assert (await sink.send([stored(1), stored(2)])).delivered == [1, 2]


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "zstd", "deflate", "gzip;q=1", "x" * 10_000])
async def test_a_coding_that_was_not_asked_for_is_not_inflated(
    server: FakeElasticsearch, sink: ElasticsearchSink, coding: str
) -> None:
    server.replies.append(Reply(200, _twice_compressed(1_000), {"content-encoding": coding}))
    outcome = await sink.send([stored(1)])
    assert (outcome.retry, outcome.reason) == ([1], RetryReason.UNKNOWN)
    assert "content encoding" in outcome.detail


async def test_a_proxy_that_compresses_unasked_costs_nothing(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    created = gzip.compress(b'{"errors":false,"items":[{"create":{"status":201}}]}')
    server.replies.append(Reply(200, created, {"content-encoding": "gzip"}))
    assert (await sink.send([stored(1)])).delivered == [1]
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_a_body_that_cannot_be_inflated_is_sent_again(server: FakeElasticsearch, sink: ElasticsearchSink) -> None:
    server.replies.append(Reply(200, b'{"errors":false}', {"content-encoding": "gzip"}))
    outcome = await sink.send([stored(1)])
    assert (outcome.retry, outcome.reason) == ([1], RetryReason.UNKNOWN)


@pytest.mark.long
async def test_a_response_that_drips_times_out_as_a_whole(server: FakeElasticsearch) -> None:
    server.always = Reply(200, b"{", drip=0.02)
    outcome = await send_once(server, stored(1), delivery={"timeout": "500ms"})
    assert (outcome.retry, outcome.reason, outcome.whole) == ([1], RetryReason.TIMEOUT, True)


@pytest.mark.parametrize("status", [0, -1, 1, 99, 100, 199, 300, 600, 10**30, True, "201", None, 201.0, [201]])
async def test_an_item_whose_status_is_no_success_is_never_delivered(
    server: FakeElasticsearch, sink: ElasticsearchSink, status: Any
) -> None:
    items = [{"create": {"status": value}} for value in (201, status)]
    server.replies.append(Reply(200, {"errors": False, "items": items}))
    outcome = await sink.send([stored(1), stored(2)])
    assert (outcome.delivered, outcome.retry, list(outcome.rejected)) == ([1], [2], [])


async def test_an_item_with_an_error_is_not_delivered_although_its_status_says_so(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    item = {"create": {"status": 200, "error": {"type": "some_exception", "reason": "no"}}}
    server.replies.append(Reply(200, {"errors": False, "items": [item]}))
    outcome = await sink.send([stored(1)])
    assert (outcome.delivered, outcome.retry) == ([], [1])
    assert "some_exception" in outcome.detail


@pytest.mark.parametrize(
    "item",
    [
        '{"create":{"status":400,"status":201}}',
        '{"create":{"status":201,"status":201}}',
        '{"create":{"status":400,"\\u0073tatus":201}}',
        '{"create":{"status":400}, "create":{"status":201}}',
        '{"create":{"_id":"uuid-1","_id":"uuid-2","status":201}}',
        '{"create":{"status":409,"error":{"type":"x","type":"version_conflict_engine_exception"}}}',
        '{"create":{"failure_store":"used","failure_store":"not_applicable_or_unknown","status":201}}',
        '{"create":{"status":201},"index":{"status":400}}',
        '{"index":{"status":400},"create":{"status":201}}',
    ],
)
async def test_an_item_that_says_two_things_is_never_a_delivery(
    server: FakeElasticsearch, sink: ElasticsearchSink, item: str
) -> None:
    body = '{"errors":false,"items":[{"create":{"status":201}},' + item + "]}"
    server.replies.append(Reply(200, body.encode(), {"content-type": "application/json"}))
    outcome = await sink.send([stored(1), stored(2)])
    assert (outcome.delivered, outcome.retry, list(outcome.rejected)) == ([1], [2], [])


async def test_a_response_with_two_lists_of_items_is_not_a_delivery(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    body = b'{"items":[{"create":{"status":400}}],"errors":false,"items":[{"create":{"status":201}}]}'
    server.replies.append(Reply(200, body, {"content-type": "application/json"}))
    outcome = await sink.send([stored(1)])
    assert (outcome.delivered, outcome.retry, outcome.reason) == ([], [1], RetryReason.UNKNOWN)


@pytest.mark.parametrize("ids", [("uuid-2", "uuid-1"), ("uuid-1", "uuid-1"), ("other", "another"), (7, None)])
async def test_an_item_that_names_another_document_is_never_a_delivery(
    server: FakeElasticsearch, sink: ElasticsearchSink, ids: tuple[str, str]
) -> None:
    items = [{"create": {"_id": id_, "status": 201}} for id_ in ids]
    server.replies.append(Reply(200, {"errors": False, "items": items}))
    outcome = await sink.send([stored(1), stored(2)])
    wrong = [seq for seq, id_ in enumerate(ids, 1) if id_ not in (f"uuid-{seq}", None)]
    assert (outcome.retry, outcome.pause) == (wrong, True)
    assert "must not change `_id`" in outcome.detail


@pytest.mark.parametrize("status", [204, 206, 299])
async def test_a_success_without_items_is_not_a_delivery(
    server: FakeElasticsearch, sink: ElasticsearchSink, status: int
) -> None:
    server.replies.append(Reply(status, {"errors": False}))
    outcome = await sink.send([stored(1)])
    assert (outcome.delivered, outcome.retry, outcome.reason) == ([], [1], RetryReason.UNKNOWN)


@pytest.mark.parametrize("status", [203, 205, 206, 207, 226])
async def test_a_success_that_does_not_mean_accepted_is_not_a_delivery_whatever_its_items_say(
    server: FakeElasticsearch, sink: ElasticsearchSink, status: int
) -> None:
    server.replies.append(Reply(status, {"items": [{"create": {"_id": "uuid-1", "status": 201}}]}))
    outcome = await sink.send([stored(1)])
    assert (outcome.delivered, outcome.retry, outcome.reason) == ([], [1], RetryReason.UNKNOWN)
    assert (outcome.pause, outcome.whole) == (True, True)
    assert f"HTTP {status}" in outcome.detail


# --- TLS


@pytest.fixture
async def tls_server(certificate: Certificate) -> AsyncIterator[FakeElasticsearch]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with FakeElasticsearch(context) as fake:
        yield fake


async def test_a_certificate_of_the_ca_file_is_trusted(tls_server: FakeElasticsearch, certificate: Certificate) -> None:
    assert (await send_once(tls_server, stored(1), ca_file=certificate.cert)).delivered == [1]


async def test_an_untrusted_certificate_pauses_the_sink_and_gets_no_event(tls_server: FakeElasticsearch) -> None:
    outcome = await send_once(tls_server, stored(1))
    assert (outcome.retry, outcome.reason, outcome.pause) == ([1], RetryReason.CONNECTION, True)
    assert "certificate verify failed" in outcome.detail
    assert tls_server.requests == []


async def test_a_certificate_for_another_name_is_not_trusted(
    tls_server: FakeElasticsearch, certificate: Certificate
) -> None:
    other = tls_server.url.replace("127.0.0.1", "localhost")
    outcome = await send_once(tls_server, stored(1), ca_file=certificate.cert, hosts=(other,))
    assert (outcome.reason, outcome.pause) == (RetryReason.CONNECTION, True)
    assert tls_server.requests == []


@pytest.mark.long
async def test_the_usual_mistakes_are_one_sentence_with_the_address_once_and_what_to_do(
    server: FakeElasticsearch, tls_server: FakeElasticsearch, certificate: Certificate
) -> None:
    closed = FakeElasticsearch()
    await closed.listen()
    await closed.hang_up()
    tls_port = tls_server.port
    for url, ca_file, mend in (
        (tls_server.url, None, "set `ca_file` to the PEM file of its CA"),
        (f"https://localhost:{tls_port}", certificate.cert, "in `hosts`, write a name that is in the certificate"),
        (server.url.replace("http:", "https:"), None, "write `http://` in `hosts`"),
        (closed.url, None, "check `hosts`, and that the server runs"),
        ("http://nowhere.invalid:9200", None, "cannot be resolved"),
    ):
        outcome = await send_once(server, stored(1), hosts=(url,), ca_file=ca_file)
        assert outcome.reason is RetryReason.CONNECTION
        assert mend in outcome.detail
        assert (outcome.detail.startswith(url), outcome.detail.count(url)) == (True, 1)
        assert "\n" not in outcome.detail


async def test_a_server_that_hangs_up_may_expect_tls(server: FakeElasticsearch, sink: ElasticsearchSink) -> None:
    server.replies.append(Reply(None))
    outcome = await sink.send([stored(1)])
    assert "if this port expects TLS, write `https://` in `hosts`" in outcome.detail


@pytest.mark.parametrize(("status", "mend"), [(401, "set `api_key` to a valid key"), (403, "`auto_configure`")])
async def test_a_refused_key_is_told_with_what_to_do(
    server: FakeElasticsearch, sink: ElasticsearchSink, status: int, mend: str
) -> None:
    server.replies.append(error(status, "security_exception", "words of the server"))
    outcome = await sink.send([stored(1)])
    assert outcome.pause
    assert mend in outcome.detail
    assert "words of the server" in outcome.detail


async def test_turning_verification_off_works_and_logs_a_warning(tls_server: FakeElasticsearch) -> None:
    with structlog.testing.capture_logs() as lines:
        outcome = await send_once(tls_server, stored(1), verify_certificate=False)
    assert outcome.delivered == [1]
    assert [(line["log_level"], line["action"]) for line in lines] == [("warning", "certificate_not_verified")]


async def test_a_cookie_of_the_server_is_not_sent_back(server: FakeElasticsearch) -> None:
    sink = sink_for(server)
    for seq in (1, 2):
        server.replies.append(Reply(503, "busy", {"set-cookie": "a=b"}))
        await sink.send([stored(seq)])
    await sink.close()
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]
