"""Alerts and events in one batch: what happens to the alerts' data stream concerns alerts only."""

from collections.abc import AsyncIterator

import pytest

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import RejectReason, RetryReason
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.elasticsearch.sink import ElasticsearchSink
from tests.contract.sinks import stored_events
from tests.fakes.alert import alert_event
from tests.fakes.clock import ManualClock
from tests.fakes.elasticsearch import FakeElasticsearch, ItemError, error

DENIED = ItemError(403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized")


@pytest.fixture
async def server() -> AsyncIterator[FakeElasticsearch]:
    async with FakeElasticsearch() as running:
        yield running


@pytest.fixture
async def sink(server: FakeElasticsearch) -> AsyncIterator[ElasticsearchSink]:
    made = ElasticsearchSink(ElasticsearchSinkSettings(hosts=(server.url,)), ManualClock())
    yield made
    await made.close()


def an_alert(seq: int, first: str = "uuid-1") -> StoredEvent:
    return StoredEvent(seq, alert_event(first=first))


async def test_alerts_go_to_a_data_stream_of_their_own(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    events = stored_events(2)
    alert = an_alert(3)
    result = await sink.send([*events, alert])
    assert (sorted(result.delivered), result.reason) == ([1, 2, 3], None)
    assert set(server.data_streams) == {"logs-okta.system-default", "logs-okta_forwarder.alert-default"}
    (document,) = server.data_streams["logs-okta_forwarder.alert-default"].values()
    assert document["event"]["kind"] == "alert"
    assert (await sink.send([alert])).delivered == [3]  # the same again: there once
    assert len(server.data_streams["logs-okta_forwarder.alert-default"]) == 1


async def test_without_the_right_on_their_stream_alerts_are_dead_letters_and_events_go_on(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    alert = an_alert(3)
    server.items[alert.event.uuid] = DENIED
    result = await sink.send([*stored_events(2), alert])
    assert (sorted(result.delivered), result.retry, result.pause) == ([1, 2], [], False)
    (rejection,) = result.rejected
    assert (rejection.seq, rejection.reason) == (3, RejectReason.ALERT_STREAM)
    assert "create_doc" in rejection.detail
    assert "logs-okta_forwarder.alert-*" in rejection.detail


@pytest.mark.parametrize("status", [403, 404])
async def test_a_refused_request_of_alerts_alone_pauses_nothing(
    server: FakeElasticsearch, sink: ElasticsearchSink, status: int
) -> None:
    server.replies.append(error(status, "security_exception", "no"))
    result = await sink.send([an_alert(1)])
    assert [rejection.reason for rejection in result.rejected] == [RejectReason.ALERT_STREAM]
    assert (result.retry, result.pause, result.whole) == ([], False, False)


async def test_wrong_credentials_concern_events_too_so_alerts_wait_as_they_do(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    server.always = error(401, "security_exception", "unable to authenticate")
    result = await sink.send([*stored_events(1), an_alert(2)])
    assert (result.retry, result.rejected, result.pause) == ([1, 2], [], True)


async def test_a_busy_stream_of_alerts_holds_up_no_event(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    alert = an_alert(2)
    server.items[alert.event.uuid] = ItemError(429, "es_rejected_execution_exception", "busy")
    result = await sink.send([*stored_events(1), alert])
    assert (result.delivered, result.retry, result.whole) == ([1], [2], False)
    assert result.reason is RetryReason.THROTTLED
