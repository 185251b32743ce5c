"""The live stream over a real socket."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
import pytest

from forwarder.clock import SystemClock
from forwarder.core.event import Event, Source
from forwarder.http.server import Server
from forwarder.ops.event_view import Form
from forwarder.ops.streams import MAX_CLIENTS, StreamQuery, Streams
from tests.fakes.clock import NOON
from tests.integration.ops.helpers import DEADLINE, TOKEN, FakeStatus, MemoryEvents, Tail, serving
from tests.integration.store.helpers import events


def okta_event(number: int, event_type: str, actor: str = "ada@example.com", result: str = "SUCCESS") -> Event:
    body = {
        "uuid": f"u{number}",
        "eventType": event_type,
        "published": "2026-01-01T12:00:00.000Z",
        "actor": {"id": "00u1", "alternateId": actor, "displayName": actor},
        "outcome": {"result": result},
        "client": {"ipAddress": "192.0.2.7", "userAgent": {"rawUserAgent": "<img src=x onerror=alert(1)>"}},
    }
    raw = json.dumps(body, indent=1).encode()
    return Event("acme", f"u{number}", event_type, NOON, NOON, Source.HOOK, "", raw)


async def test_a_client_gets_the_status_and_each_event_as_it_comes() -> None:
    store = MemoryEvents()
    async with serving(store) as (server, _), Tail.open(server.address) as tail:
        assert tail.response.headers["content-type"].startswith("text/event-stream")
        assert (await tail.next()).data == {"ready": True, "sinks": {}}
        store.append([okta_event(1, "user.session.start")])
        message = await tail.next("event")
        assert (message.id, message.data["seq"], message.data["event_type"]) == (1, 1, "user.session.start")
        assert (message.data["actor"], message.data["outcome"]) == ("ada@example.com", "SUCCESS")
        assert message.data["user_agent"] == "<img src=x onerror=alert(1)>"


@pytest.mark.long
async def test_a_filter_selects_on_the_server() -> None:
    store = MemoryEvents()
    query = "type=user.session.*&type=policy.*&actor=ADA&outcome=failure&org=acme&source=hook&status=false"
    async with serving(store) as (server, _), Tail.open(server.address, query) as tail:
        store.append(
            [
                okta_event(1, "user.session.start"),
                okta_event(2, "user.account.lock", result="FAILURE"),
                okta_event(3, "user.session.start", actor="bob@example.com", result="FAILURE"),
                okta_event(4, "policy.rule.update", result="FAILURE"),
            ]
        )
        assert (await tail.next("event")).data["uuid"] == "u4"


@pytest.mark.long
@pytest.mark.parametrize("view", ["raw", "ecs", "otlp"])
async def test_the_whole_event_comes_along_in_the_form_that_is_asked_for(view: str) -> None:
    store = MemoryEvents()
    async with serving(store) as (server, _), Tail.open(server.address, f"view={view}") as tail:
        store.append([okta_event(1, "user.session.start")])
        whole = (await tail.next("event")).data[view]
    names = {"raw": "published", "ecs": "@timestamp", "otlp": "attributes"}
    assert names[view] in whole


@pytest.mark.long
async def test_a_client_resumes_after_the_last_event_that_it_has_seen() -> None:
    store = MemoryEvents()
    store.append(events(5))
    async with serving(store) as (server, _):
        async with Tail.open(server.address, "since=0", **{"Last-Event-ID": "3"}) as tail:
            assert [(await tail.next("event")).id for _ in range(2)] == [4, 5]
        async with Tail.open(server.address, "since=-1") as tail:
            assert (await tail.next("event")).id == 5
        async with Tail.open(server.address) as tail:
            store.append(events(1))
            assert (await tail.next("event")).id == 6


async def test_a_client_that_resumes_too_late_is_told_how_many_events_it_does_not_get() -> None:
    store = MemoryEvents()
    store.append(events(30))
    store.drop(until=12)
    async with serving(store) as (server, _):
        async with Tail.open(server.address, "since=10") as tail:
            assert (await tail.next("skipped")).data == {"events": 2}
            assert (await tail.next("event")).id == 13
        async with Tail.open(server.address, "since=10&backlog=5") as tail:
            assert (await tail.next("skipped")).data == {"events": 15}
            assert (await tail.next("event")).id == 26


@asynccontextmanager
async def raw_stream(server: Server, query: str = "") -> AsyncIterator[asyncio.StreamReader]:
    """A stream of which nothing is read but its head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.address.port, limit=2**16)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    writer.write(f"GET /api/events?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def crowd(store: MemoryEvents) -> None:
    """Store more than the buffers of both sides of a connection hold."""
    for _ in range(12):
        store.append(events(1000, size=2000))
        await asyncio.sleep(0.1)


@pytest.mark.long
async def test_a_client_that_does_not_read_is_skipped_and_told() -> None:
    store = MemoryEvents()
    async with serving(store) as (server, _), raw_stream(server, "view=raw&status=false") as reader:
        await crowd(store)
        seen = b""
        async with asyncio.timeout(DEADLINE):
            while b"event: skipped" not in seen:
                seen = seen[-100:] + await reader.read(2**16)


async def test_a_parameter_that_is_not_known_or_not_valid_is_named() -> None:
    async with serving(MemoryEvents()) as (server, _), httpx.AsyncClient(trust_env=False) as client:
        for query, word in {
            "typo=1": "typo", "since=x": "since", "view=xml": "view", "source=x": "source", "status=1": "status"
        }.items():  # fmt: skip
            answer = await client.get(f"http://{server.address}/api/events?{query}")
            assert (answer.status_code, word in answer.json()["error"]) == (400, True)


@pytest.mark.long
async def test_the_status_is_gathered_once_for_all_clients_and_never_without_any() -> None:
    store, status = MemoryEvents(), FakeStatus()
    async with serving(store, status) as (server, ops):
        assert (status.gathered, store.reads) == (0, 0)
        async with (
            Tail.open(server.address) as one,
            Tail.open(server.address) as two,
            Tail.open(server.address) as three,
        ):
            for tail in (one, two, three):
                await tail.next("status")
            assert status.gathered == 1
        async with asyncio.timeout(DEADLINE):
            while ops.clients:
                await asyncio.sleep(0.01)
        gathered, reads = status.gathered, store.reads
        store.append(events(3))
        await asyncio.sleep(0.3)
        assert (status.gathered, store.reads) == (gathered, reads)


@pytest.mark.long
async def test_streams_above_the_limit_are_refused() -> None:
    async with serving(MemoryEvents()) as (server, ops), AsyncExitStack() as streams:
        for _ in range(MAX_CLIENTS - 1):
            await streams.enter_async_context(raw_stream(server))
        async with raw_stream(server), httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://{server.address}/api/events")
            assert (answer.status_code, "close a status page" in answer.json()["error"]) == (503, True)
        async with asyncio.timeout(DEADLINE):
            while ops.clients == MAX_CLIENTS:
                await asyncio.sleep(0.01)
        async with Tail.open(server.address) as tail:
            await tail.next("status")


@pytest.mark.long
async def test_a_stop_ends_open_streams_at_once_also_one_that_is_not_read() -> None:
    store = MemoryEvents()
    loop = asyncio.get_running_loop()
    async with serving(store) as (server, ops), Tail.open(server.address) as tail:
        async with raw_stream(server, "view=raw"):
            await crowd(store)
            began = loop.time()
            ops.close_streams()
            await server.stop()
            assert loop.time() - began < 2
        assert await tail.ended()


@pytest.mark.long
async def test_a_stop_during_a_backlog_that_is_not_read_logs_no_error(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryEvents()
    store.append(events(8000, size=3000))
    async with serving(store) as (server, ops), raw_stream(server, "view=raw&since=0&backlog=8000"):
        await asyncio.sleep(1)
        ops.close_streams()
        await server.stop()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.long
async def test_a_client_that_does_not_read_keeps_few_events_in_memory() -> None:
    store = MemoryEvents()
    store.append(events(1000, size=3000))
    streams = Streams(store, FakeStatus(), SystemClock())
    sent: list[bytes] = []

    async def send(chunk: bytes) -> None:
        sent.append(chunk)

    query = StreamQuery(since=0, backlog=1000, status=False, form=Form.RAW)
    producer = asyncio.create_task(streams.produce(query, send))
    async with asyncio.timeout(DEADLINE):
        while sum(chunk.count(b"event: event") for chunk in sent) < 1000:
            await asyncio.sleep(0.01)
    producer.cancel()
    assert max(map(len, sent)) < 1024 * 1024


async def test_head_ends_at_once() -> None:
    async with serving(MemoryEvents()) as (server, _), httpx.AsyncClient(trust_env=False) as client:
        answer = await client.head(f"http://{server.address}/api/events")
        assert answer.status_code == 200


@pytest.mark.long
@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1"}, {"Via": "1.1 proxy"}, {"Host": "siem.internal"}],
)
async def test_what_comes_from_elsewhere_needs_the_token(headers: dict[str, str]) -> None:
    async with serving(MemoryEvents()) as (server, _), httpx.AsyncClient(trust_env=False) as client:
        url = f"http://{server.address}/api/status"
        for given, status in {"": 401, "Bearer wrong": 401, f"Bearer {TOKEN}": 200, f"Basic {TOKEN}": 401}.items():
            answer = await client.get(url, headers={**headers, **({"Authorization": given} if given else {})})
            assert answer.status_code == status
        assert (await client.get(url)).status_code == 200
