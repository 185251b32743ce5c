"""Connections that are accepted and go no further: their number is limited, and the forwarder says so."""

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog

from forwarder.clock import SystemClock
from forwarder.http.connections import CLOSING_ROOM, HARD_LIMIT_FACTOR
from forwarder.http.server import most_connections
from forwarder.http.settings import TlsSettings, tls_context
from tests.certificates import Certificate
from tests.fakes.clock import ManualClock, settle
from tests.fakes.store import MemoryStore
from tests.integration.receive.helpers import Client, Listening, envelope, event, listening, post
from tests.waiting import until

HELLO = bytes.fromhex("1603010200010001fc0303")
"""The first bytes of a TLS handshake."""


@pytest.fixture
def tls(certificate: Certificate) -> ssl.SSLContext:
    return tls_context(TlsSettings(cert=certificate.cert, key=certificate.key))


@pytest.fixture
def trust(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.cert))


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def actions(lines: list[Any]) -> set[str]:
    return {line["action"] for line in lines}


@contextlib.asynccontextmanager
async def crowd(port: int, count: int, first: bytes) -> AsyncIterator[list[socket.socket]]:
    """That many connections, each of which sends `first` and no more."""
    loop = asyncio.get_running_loop()
    clients = [socket.socket() for _ in range(count)]
    try:
        for client in clients:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, first)
        yield clients
    finally:
        for client in clients:
            client.close()
        await settle()


async def post_by_tls(served: Listening, trust: ssl.SSLContext, uuid: str) -> int:
    async with await served.connect(ssl=trust, server_hostname="127.0.0.1") as client:
        client.send(post(envelope(event(uuid))))
        return (await client.answer()).status


@pytest.mark.long
@pytest.mark.parametrize("first", [b"", HELLO, b"GET / HTTP/1.1\r\n\r\n"])
async def test_half_tls_handshakes_are_counted_and_evicted_so_that_a_post_is_answered(
    tls: ssl.SSLContext, trust: ssl.SSLContext, first: bytes, lines: list[Any]
) -> None:
    store = MemoryStore()
    async with (
        listening(store, clock=SystemClock(), tls=tls, max_connections=8) as served,
        crowd(served.port, 200, first),
    ):
        for number in range(5):
            assert await post_by_tls(served, trust, str(number)) == 200
            sockets = len(served.limiter.connections) + len(served.limiter.closing)
            assert sockets <= HARD_LIMIT_FACTOR * 8 + min(CLOSING_ROOM, 8)
    assert len(store.events) == 5
    if first.startswith(b"GET"):
        assert "tls_handshake_failed" in actions(lines)
    else:
        evicted = [line for line in lines if line["action"] == "connections_evicted"]
        assert {(line["reason"], line["max_connections"]) for line in evicted} == {("handshake", 8)}
        assert str(served.port) in evicted[0]["listener"]
        assert (served.value("connections_evicted_total", reason="handshake") or 0) >= 180


@pytest.mark.parametrize("drips", [False, True])
async def test_a_tls_handshake_has_a_deadline_however_it_drips(tls: ssl.SSLContext, *, drips: bool) -> None:
    clock = ManualClock()
    async with listening(clock=clock, tls=tls) as served, await served.connect() as client:
        client.send(HELLO)
        await until(lambda: served.limiter.connections)
        for _ in range(9):
            await clock.advance(0.5)
            if drips:
                client.send(b"\0")
        assert served.limiter.connections
        await clock.advance(1)
        assert await client.ended() == b""
        assert not served.limiter.connections


async def test_a_stop_does_not_wait_for_a_handshake(tls: ssl.SSLContext) -> None:
    async with listening(tls=tls) as served, await served.connect() as client:
        client.send(HELLO)
        await until(lambda: served.limiter.connections)
        async with asyncio.timeout(5):
            await served.server.stop()
        assert await client.ended() == b""


async def test_a_certificate_may_be_replaced_while_it_listens(tls: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    async with listening() as served:
        assert (await served.post(envelope(event()))).status == 200
        served.server.tls = tls
        assert await post_by_tls(served, trust, "2") == 200


@contextlib.contextmanager
def open_files_limit(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("files", [256, 512, 1024, 2048, 4096])
def test_two_listeners_leave_descriptors_for_the_store_and_the_sinks(files: int) -> None:
    receiver, ops = (min(most, most_connections(files)) for most in (1000, 100))
    sockets = sum(HARD_LIMIT_FACTOR * most + min(CLOSING_ROOM, most) for most in (receiver, ops))
    assert files - sockets >= 64


def lowest_free_descriptor() -> int:
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


@pytest.mark.parametrize("secure", [False, True])
async def test_too_many_open_files_are_logged_and_the_listener_goes_on(
    tls: ssl.SSLContext, trust: ssl.SSLContext, lines: list[Any], *, secure: bool
) -> None:
    async with listening(clock=SystemClock(), tls=tls if secure else None) as served:
        "localhost".encode("idna")  # the client's connect does so too, and the first time loads a file
        sockets = [socket.socket() for _ in range(5)]
        used = [os.dup(0) for _ in range(20)]  # fills gaps, so that no lower descriptor is free
        with open_files_limit(lowest_free_descriptor()):
            for each in sockets:
                each.setblocking(False)
                await asyncio.get_running_loop().sock_connect(each, ("127.0.0.1", served.port))
            await until(lambda: "accept_failed" in actions(lines))
        [line, *_] = [line for line in lines if line["action"] == "accept_failed"]
        assert line["error"] == "Too many open files"
        assert "LimitNOFILE" in line["hint"]
        if secure:
            assert await post_by_tls(served, trust, "1") == 200
        else:
            async with Client(*await asyncio.open_connection(sock=sockets[0])) as client:  # it waited all the time
                client.send(post(envelope(event())))
                assert (await client.answer()).status == 200
        for each in sockets:
            each.close()
        for descriptor in used:
            os.close(descriptor)


async def test_connections_wait_while_all_others_are_being_answered(lines: list[Any]) -> None:
    store = MemoryStore()
    store.stall()
    clock = ManualClock()
    most = HARD_LIMIT_FACTOR * 8 + min(CLOSING_ROOM, 8)
    async with listening(store, clock=clock, max_connections=8, commit_timeout="1m") as served:
        clients = []
        for number in range(most):
            clients.append(await served.connect())
            clients[-1].send(post(envelope(event(str(number)))))
            await until(lambda: len(store.uncommitted) == len(clients))
        clients.append(await served.connect())
        await until(lambda: "connections_full" in actions(lines))
        clients[-1].send(post(envelope(event("last"))))
        await settle()
        assert len(served.limiter.connections) == most
        store.resume()
        assert {(await client.answer()).status for client in clients[:-1]} == {200}
        for client in clients[:-1]:
            client.writer.transport.abort()
        await until(lambda: not served.limiter.connections)
        await clock.advance(0.2)
        assert (await clients[-1].answer()).status == 200
        clients[-1].writer.transport.abort()
