"""Starting and stopping a listener."""

import asyncio
import resource
import socket
import ssl

import pytest

from forwarder.clock import SystemClock
from forwarder.config.hosts import Listen
from forwarder.core.errors import SettingsError
from forwarder.http.connections import ConnectionLimiter
from forwarder.http.server import Server, raise_open_files_limit
from forwarder.http.settings import ListenerLimits, TlsSettings, tls_context
from tests.certificates import Certificate
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore
from tests.integration.receive.helpers import Client, envelope, event, listening, post, settings


def server(listen: str = "127.0.0.1:0") -> Server:
    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    return Server(app, Listen(listen), ConnectionLimiter(ListenerLimits(), SystemClock(), lambda _: None))


async def test_the_port_that_the_system_chose_is_known() -> None:
    async with listening() as served:
        assert served.port > 0
        assert served.server.address.host == "127.0.0.1"


async def test_ipv6_is_served() -> None:
    six = server("[::1]:0")
    await six.start()
    host, port = six.address.host, six.address.port
    await six.stop()
    assert host == "::1"
    assert port > 0


async def test_an_address_in_use_is_a_clear_problem() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SettingsError) as caught:
            await server(address).start()
    assert address in str(caught.value)


async def test_stopping_twice_or_without_a_start_does_no_harm() -> None:
    never = server()
    await never.stop()
    async with listening() as served:
        await served.server.stop()
        await served.server.stop()


async def test_a_stop_refuses_new_connections_and_lets_go_of_idle_ones() -> None:
    async with listening() as served, await served.connect() as idle:
        port = served.port
        idle.send(post(envelope(event())))
        assert (await idle.answer()).status == 200
        await served.server.stop()
        assert await idle.ended() == b""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_stop_lets_what_is_in_flight_end() -> None:
    store = MemoryStore()
    store.stall()
    async with listening(store, grace="20s") as served, await served.connect() as client:
        client.send(post(envelope(event())))
        while not store.uncommitted:
            await asyncio.sleep(0)
        stopping = asyncio.create_task(served.server.stop())
        await asyncio.sleep(0)
        store.resume()
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        await stopping


async def test_what_is_in_flight_for_too_long_hears_503_so_that_it_is_sent_again() -> None:
    store = MemoryStore()
    store.stall()
    async with listening(store, grace="10ms", commit_timeout="1m") as served, await served.connect() as client:
        client.send(post(envelope(event())))
        while not store.uncommitted:
            await asyncio.sleep(0)
        await served.server.stop()
        assert (await client.answer()).status == 503
    store.resume()


async def test_half_a_request_does_not_keep_a_stop_waiting_beyond_its_grace() -> None:
    async with listening(grace="10ms") as served, await served.connect() as client:
        client.send(post(envelope(event()))[:-3])
        while not served.server._state.tasks:
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await served.server.stop()
        assert len(served.limiter.connections) == 0


async def test_a_reload_takes_new_limits() -> None:
    clock = ManualClock()
    async with listening(clock=clock) as served, await served.connect() as client:
        served.server.reload(settings(keep_alive="1s"))
        client.send(post(envelope(event())))
        assert (await client.answer()).status == 200
        await clock.advance(2)
        assert await client.ended() == b""


async def test_tls_is_served(certificate: Certificate) -> None:
    cert, key = certificate
    async with listening() as plain:
        secure = Server(
            plain.receiver.app,
            Listen("127.0.0.1:0"),
            plain.limiter,
            await asyncio.to_thread(tls_context, TlsSettings(cert=cert, key=key)),
        )
        await secure.start()
        try:
            trust = ssl.create_default_context(cafile=str(cert))
            streams = await asyncio.open_connection(
                "127.0.0.1", secure.address.port, ssl=trust, server_hostname="127.0.0.1"
            )
            async with Client(*streams) as client:
                for number in range(2):
                    client.send(post(envelope(event(str(number), pad="x" * 100_000))))
                    assert (await client.answer()).status == 200
        finally:
            await secure.stop()


async def test_a_tls_handshake_that_never_comes_is_cut_off(certificate: Certificate) -> None:
    limits = ListenerLimits(header_timeout="50ms")
    one = Server(
        None,
        Listen("127.0.0.1:0"),
        ConnectionLimiter(limits, SystemClock(), lambda _: None),
        await asyncio.to_thread(tls_context, TlsSettings(cert=certificate.cert, key=certificate.key)),
    )
    await one.start()
    try:
        async with Client(*await asyncio.open_connection("127.0.0.1", one.address.port)) as client:
            assert await client.ended() == b""
    finally:
        await one.stop()


def test_the_limit_of_open_files_is_raised_as_far_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
        assert raise_open_files_limit(50) == 100
        assert raise_open_files_limit(200) == 200 == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if hard != resource.RLIM_INFINITY:
            assert raise_open_files_limit(hard + 1) == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_more_connections_are_allowed_than_files_can_be_opened() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this system sets no limit of open files")
    limiter = ConnectionLimiter(ListenerLimits(max_connections=hard), SystemClock(), lambda _: None)
    one = Server(None, Listen("127.0.0.1:0"), limiter)
    one.reload(limiter.limits)
    assert limiter.limits.max_connections < hard
