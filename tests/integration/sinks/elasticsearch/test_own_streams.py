"""Alerts, actions and events in one batch: a problem of the data stream of alerts or actions does not affect events."""

from collections.abc import AsyncIterator, Callable

import pytest

from forwarder.core.action import Outcome
from forwarder.core.action_event import to_event
from forwarder.core.event import StoredEvent
from forwarder.core.outcome import RejectReason, RetryReason
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.elasticsearch.sink import ElasticsearchSink
from tests.contract.sinks import stored_events
from tests.fakes.action import action
from tests.fakes.alert import alert_event
from tests.fakes.clock import NOON, ManualClock
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


def an_action(seq: int) -> StoredEvent:
    return StoredEvent(seq, to_event(action(outcome=Outcome.DONE), NOON))


OWN_STREAMS = pytest.mark.parametrize(
    ("made", "stream", "reason"),
    [
        (an_alert, "logs-okta_forwarder.alert", RejectReason.ALERT_STREAM),
        (an_action, "logs-okta_forwarder.action", RejectReason.ACTION_STREAM),
    ],
    ids=["alert", "action"],
)
Maker = Callable[[int], StoredEvent]


async def test_alerts_go_to_a_data_stream_of_their_own(server: FakeElasticsearch, sink: ElasticsearchSink) -> None:
    events = stored_events(2)
    alert = an_alert(3)
    result = await sink.send([*events, alert])
    assert (sorted(result.delivered), result.reason) == ([1, 2, 3], None)
    assert set(server.data_streams) == {"logs-okta.system-default", "logs-okta_forwarder.alert-default"}
    (document,) = server.data_streams["logs-okta_forwarder.alert-default"].values()
    assert document["event"]["kind"] == "alert"
    assert (await sink.send([alert])).delivered == [3]  # the same again: there once
    assert len(server.data_streams["logs-okta_forwarder.alert-default"]) == 1


async def test_actions_go_to_a_third_one(server: FakeElasticsearch, sink: ElasticsearchSink) -> None:
    action = an_action(4)
    result = await sink.send([*stored_events(2), an_alert(3), action])
    assert sorted(result.delivered) == [1, 2, 3, 4]
    (document,) = server.data_streams["logs-okta_forwarder.action-default"].values()
    assert (document["event"]["kind"], document["event"]["action"]) == ("event", "add_to_group")
    assert len(server.data_streams["logs-okta_forwarder.alert-default"]) == 1
    assert (await sink.send([action])).delivered == [4]
    assert len(server.data_streams["logs-okta_forwarder.action-default"]) == 1


async def test_without_the_right_on_actions_events_and_alerts_go_on(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    action = an_action(4)
    server.items[action.event.uuid] = DENIED
    result = await sink.send([*stored_events(2), an_alert(3), action])
    assert (sorted(result.delivered), [one.seq for one in result.rejected]) == ([1, 2, 3], [4])


@OWN_STREAMS
async def test_without_the_right_on_their_stream_they_are_dead_letters_and_events_go_on(
    server: FakeElasticsearch, sink: ElasticsearchSink, made: Maker, stream: str, reason: RejectReason
) -> None:
    alert = made(3)
    server.items[alert.event.uuid] = DENIED
    result = await sink.send([*stored_events(2), alert])
    assert (sorted(result.delivered), result.retry, result.pause) == ([1, 2], [], False)
    (rejection,) = result.rejected
    assert (rejection.seq, rejection.reason) == (3, reason)
    assert "create_doc" in rejection.detail
    assert f"{stream}-*" in rejection.detail
    assert f"dead-letters replay --all --reason {reason}" in rejection.detail


@OWN_STREAMS
@pytest.mark.parametrize("status", [403, 404])
async def test_a_refused_request_of_them_alone_pauses_nothing(
    server: FakeElasticsearch, sink: ElasticsearchSink, status: int, made: Maker, stream: str, reason: RejectReason
) -> None:
    server.replies.append(error(status, "security_exception", "no"))
    result = await sink.send([made(1)])
    assert [rejection.reason for rejection in result.rejected] == [reason]
    assert f"{stream}-*" in result.rejected[0].detail
    assert (result.retry, result.pause, result.whole) == ([], False, False)


async def test_wrong_credentials_concern_events_too_so_alerts_wait_as_they_do(
    server: FakeElasticsearch, sink: ElasticsearchSink
) -> None:
    server.always = error(401, "security_exception", "unable to authenticate")
    result = await sink.send([*stored_events(1), an_alert(2), an_action(3)])
    assert (result.retry, result.rejected, result.pause) == ([1, 2, 3], [], True)
    without = await sink.send([an_alert(2), an_action(3)])
    assert (sorted(without.retry), without.rejected, without.pause) == ([2, 3], [], True)


@OWN_STREAMS
async def test_an_expired_license_concerns_events_too_so_they_wait(
    server: FakeElasticsearch, sink: ElasticsearchSink, made: Maker, stream: str, reason: RejectReason
) -> None:
    server.replies.append(error(403, "security_exception", "current license is non-compliant for [security]"))
    result = await sink.send([made(1)])
    assert (result.retry, result.rejected, result.pause) == ([1], [], True)
    assert "the license of Elasticsearch" in result.detail


@OWN_STREAMS
async def test_a_busy_stream_of_them_holds_up_no_event(
    server: FakeElasticsearch, sink: ElasticsearchSink, made: Maker, stream: str, reason: RejectReason
) -> None:
    alert = made(2)
    server.items[alert.event.uuid] = ItemError(429, "es_rejected_execution_exception", "busy")
    result = await sink.send([*stored_events(1), alert])
    assert (result.delivered, result.retry, result.whole) == ([1], [2], False)
    assert result.reason is RetryReason.THROTTLED
