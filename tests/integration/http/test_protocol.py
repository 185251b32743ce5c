"""Deadlines, caps, and room for a whole request at any time, over real sockets."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator

import pytest

from forwarder.clock import SystemClock
from tests.fakes.clock import ManualClock, settle
from tests.fakes.store import MemoryStore
from tests.integration.receive.helpers import PATH, SECRET, Client, Listening, envelope, event, listening, post, request

HALF_HEAD = b"POST /okta/events HTTP/1.1\r\nHost: x\r\nAuth"
HALF_BODY = post(envelope(event()))[:-5]


async def arrived(served: Listening, connections: int) -> None:
    """Until that many connections are open."""
    async with asyncio.timeout(10):
        while sum(c._phase.value != "handshake" for c in served.limiter.connections) < connections:  # type: ignore[attr-defined]
            await asyncio.sleep(0)


async def parsed(served: Listening, phase: str, connections: int = 1) -> None:
    """Until that many connections are in that phase."""
    async with asyncio.timeout(10):
        while sum(c._phase.value == phase for c in served.limiter.connections) < connections:  # type: ignore[attr-defined]
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def crowd(served: Listening, count: int, first: bytes = b"") -> AsyncIterator[list[Client]]:
    """That many connections, each of which sends `first` and no more."""
    clients = [await served.connect() for _ in range(count)]
    for client in clients:
        client.send(first)
    try:
        yield clients
    finally:
        for client in clients:
            client.writer.transport.abort()
        await settle()


# Deadlines


async def test_a_connection_that_says_nothing_is_closed() -> None:
    clock = ManualClock()
    async with listening(clock=clock) as served, await served.connect() as client:
        await arrived(served, 1)
        await clock.advance(4.5)
        assert len(served.limiter.connections) == 1
        await clock.advance(1)
        assert await client.ended() == b""
        assert not served.value("connections_evicted_total", reason="deadline")


@pytest.mark.parametrize(("half", "phase", "seconds"), [(HALF_HEAD, "head", 5), (HALF_BODY, "body", 10)])
async def test_half_a_request_is_408_after_its_deadline_however_it_drips(half: bytes, phase: str, seconds: int) -> None:
    clock = ManualClock()
    store = MemoryStore()
    async with listening(store, clock=clock) as served, await served.connect() as client:
        client.send(half)
        await parsed(served, phase)
        for _ in range(seconds * 2 - 1):
            await clock.advance(0.5)
            client.send(b"x" if phase == "body" else b"a")
            await settle()
            if phase == "body":
                break  # a fifth byte more and it would be whole
        assert len(served.limiter.connections) == 1
        await clock.advance(seconds)
        assert (await client.answer()).status == 408
        assert served.value("connections_evicted_total", reason="deadline") == 1
        assert (await served.post(envelope(event("2")))).status == 200
    assert [e.event.uuid for e in store.events] == ["2"]


@pytest.mark.long
async def test_a_connection_stays_for_the_next_request_as_long_as_keep_alive_says() -> None:
    clock = ManualClock()
    async with listening(clock=clock) as served, await served.connect() as client:
        for number in range(3):
            client.send(post(envelope(event(str(number)))))
            assert (await client.answer()).status == 200
            await clock.advance(29)
        await clock.advance(2)
        assert await client.ended() == b""


@pytest.mark.long
async def test_a_slow_commit_does_not_count_against_the_client() -> None:
    clock = ManualClock()
    store = MemoryStore()
    store.stall()
    async with listening(store, clock=clock, commit_timeout="1m") as served, await served.connect() as client:
        client.send(post(envelope(event())))
        while not store.uncommitted:
            await asyncio.sleep(0)
        await clock.advance(100)
        store.resume()
        assert (await client.answer()).status == 200


@pytest.mark.long
async def test_a_client_that_does_not_read_its_answers_is_cut_off() -> None:
    clock = ManualClock()
    async with listening(clock=clock) as served:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", served.port))
        async with await served.connect(sock=deaf, limit=1) as client, asyncio.timeout(30):
            await arrived(served, 1)
            [connection] = served.limiter.connections
            kernel = connection.transport.get_extra_info("socket")
            kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # else it takes megabytes of answers
            sent = 0
            while not connection.flow.write_paused:  # type: ignore[attr-defined]
                client.send(request("GET", PATH, {}) * 10)
                sent += 10
                while served.server._state.total_requests != sent:
                    await asyncio.sleep(0)
                    if connection.flow.write_paused:  # type: ignore[attr-defined]
                        break
            await clock.advance(11)
            while served.limiter.connections:
                await asyncio.sleep(0)


async def test_only_so_many_requests_are_taken_ahead() -> None:
    async with listening() as served, await served.connect() as client:
        client.send(post(envelope(event())) * 5000)
        said = await client.ended()
        assert 1 <= said.count(b"HTTP/1.1 200") < 40


# Caps


@pytest.mark.parametrize("where", ["value", "name", "number"])
async def test_headers_beyond_the_cap_are_431(where: str) -> None:
    head = {
        "value": b"X-Big: " + b"a" * 70_000,
        "name": b"a" * 70_000 + b": x",
        "number": b"\r\n".join(b"X-%d: a" % number for number in range(9000)),
    }[where]
    async with listening() as served:
        whole = b"POST /okta/events HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n"
        assert (await served.ask(whole)).status == 431
        async with await served.connect() as client:
            client.send(whole[:-4])  # and no end of it
            assert (await client.answer()).status == 431
        assert (await served.post(envelope(event()))).status == 200


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\r\n"])
async def test_many_small_headers_are_431_before_they_fill_the_memory(end: bytes) -> None:
    many = b"\r\n".join(b"a:%d" % number for number in range(300))
    async with listening() as served:
        assert (await served.ask(b"POST /okta/events HTTP/1.1\r\nHost: x\r\n" + many + end)).status == 431
        chunked = request("POST", PATH, {"Authorization": SECRET, "Transfer-Encoding": "chunked"})
        assert (await served.ask(chunked + b"0\r\n" + many + b"\r\n")).status == 431  # in a trailer
        few = {f"X-{number}": "y" for number in range(200)}
        assert (await served.ask(post(envelope(event()), headers=few))).status == 200


async def test_an_address_beyond_the_cap_is_414() -> None:
    async with listening() as served:
        assert (await served.ask(request("GET", "/" + "a" * 9000, {}))).status == 414


async def test_a_trailer_without_an_end_and_chunks_of_extensions_are_431() -> None:
    head = request("POST", PATH, {"Authorization": SECRET, "Transfer-Encoding": "chunked"})
    async with listening() as served:
        assert (await served.ask(head + b"0\r\nX: " + b"a" * 70_000)).status == 431
        assert (await served.ask(head + b"1;" + b"a" * 200_000)).status == 431


async def test_chunks_of_one_byte_are_not_too_much() -> None:
    raw = post(envelope(event(pad="x" * 50_000))).partition(b"\r\n\r\n")[2]
    head = request("POST", PATH, {"Authorization": SECRET, "Transfer-Encoding": "chunked"})
    async with listening() as served:
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in raw)
        assert (await served.ask(head + chunks + b"0\r\n\r\n")).status == 200


async def test_a_trailer_does_not_pass_for_a_header() -> None:
    raw = b'{"data":{"events":[]}}'
    head = request("POST", PATH, {"Transfer-Encoding": "chunked"})
    chunked = head + b"%x\r\n%s\r\n0\r\nAuthorization: %s\r\n\r\n" % (len(raw), raw, SECRET.encode())
    async with listening() as served:
        assert (await served.ask(chunked)).status == 401


# Not a request


@pytest.mark.long
@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        b"junk\r\n\r\n",
        b"GET /okta/events HTTP/9.9\r\n\r\n",
        b"POST /okta/events HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /okta/events HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /okta/events HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /okta/events HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /okta/events HTTP/1.1\r\nA b: c\r\n\r\n",
        b"POST /okta/events HTTP/1.1\nHost: x\n\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[::1/okta/events HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_invalid_http_is_400_and_the_connection_closes(junk: bytes) -> None:
    async with listening() as served, await served.connect() as client:
        client.send(junk)
        answer = await client.answer()
        assert (answer.status, answer.body) == (400, b"")
        assert await client.ended() == b""
        assert (await served.post(envelope(event()))).status == 200


async def test_a_broken_chunk_in_the_middle_of_a_body_is_400() -> None:
    head = request("POST", PATH, {"Authorization": SECRET, "Transfer-Encoding": "chunked"})
    async with listening() as served, await served.connect() as client:
        client.send(head)
        await parsed(served, "body")
        client.send(b"zz\r\n")
        assert (await client.answer()).status == 400


async def test_a_broken_body_is_not_asked_for() -> None:
    framing = {"Authorization": SECRET, "Transfer-Encoding": "chunked", "Expect": "100-continue"}
    async with listening() as served, await served.connect() as client:
        client.send(request("POST", PATH, framing) + b"zz\r\n")
        assert (await client.ended()).count(b"HTTP/1.1") == 1
        assert served.value("hook_requests_total", org="acme", code="503") == 0


async def test_another_protocol_is_not_spoken() -> None:
    async with listening() as served, await served.connect() as client:
        upgrade = {"Authorization": SECRET, "Connection": "Upgrade", "Upgrade": "websocket"}
        client.send(request("GET", PATH, upgrade) + b"\x81\x00")
        assert (await client.answer()).status == 400  # no challenge
        assert await client.ended() == b""


@pytest.mark.parametrize(
    "upgrade",
    [
        {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA"},
        {"Connection": "Upgrade", "Upgrade": "websocket"},
        {"Connection": "keep-alive, Upgrade", "Upgrade": "TLS/1.0"},
    ],
)
async def test_a_wish_for_another_protocol_is_ignored(upgrade: dict[str, str]) -> None:
    store = MemoryStore()
    chunked = {"Transfer-Encoding": "chunked", "Authorization": SECRET} | upgrade
    raw = json.dumps(envelope(event("2"))).encode()
    async with listening(store) as served, await served.connect() as client:
        client.send(post(envelope(event("1")), headers=upgrade))
        client.send(request("POST", PATH, chunked, b"%x\r\n%s\r\n0\r\n\r\n" % (len(raw), raw)))
        client.send(request("GET", PATH, {"Authorization": SECRET} | upgrade))
        client.send(post(envelope(event("3"))))
        assert [(await client.answer()).status for _ in range(4)] == [200, 200, 400, 200]
    assert [e.event.uuid for e in store.events] == ["1", "2", "3"]


async def test_a_wish_for_another_protocol_in_single_bytes_is_ignored() -> None:
    async with listening() as served, await served.connect() as client:
        wish = {"Connection": "Upgrade", "Upgrade": "h2c", "Expect": "100-continue"}
        for byte in post(envelope(event()), headers=wish):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.answer(head=True)).status == 100
        assert (await client.answer()).status == 200
        client.send(post(envelope(event())))
        with contextlib.suppress(EOFError):  # a request that asked first may end its connection
            assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [("1.1", 0, 400), ("1.1", 1, 200), ("1.1", 2, 400), ("1.0", 0, 200), ("1.0", 1, 200), ("1.0", 2, 400)],
)
async def test_a_request_has_one_host(version: str, hosts: int, status: int) -> None:
    lines = post(envelope(event())).replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1)
    sent = lines.replace(b"Host: localhost\r\n", b"Host: localhost\r\n" * hosts)
    async with listening() as served:
        assert (await served.ask(sent)).status == status


@pytest.mark.parametrize("host", ["", "a", "A_b.example:8080", "1.2.3.4:80", "[::1]", "[fe80::1%25eth0]:80", "a:"])
async def test_a_valid_host_is_accepted(host: str) -> None:
    async with listening() as served:
        sent = post(envelope(event())).replace(b"Host: localhost", f"Host: {host}".encode(), 1)
        assert (await served.ask(sent)).status == 200


@pytest.mark.parametrize(
    "host", ["a b", "{x}", "a/b", "http://a", "a:b", "[::1", "::1", "a@b", "\xff", "a:80:80", "a,b/"]
)
async def test_an_invalid_host_is_400(host: str) -> None:
    async with listening() as served:
        sent = post(envelope(event())).replace(b"Host: localhost", b"Host: " + host.encode("latin-1"), 1)
        assert (await served.ask(sent)).status == 400


# Answers before the end of a request


async def test_a_client_that_is_refused_while_it_sends_still_gets_its_answer() -> None:
    async with listening() as served:
        for headers in ({}, {"Connection": "close"}):
            body = b"x" * 11_000_000
            assert (await served.ask(post(body, headers=headers))).status == 413
            assert (await served.ask(post(body[:3_000_000], secret="wrong", headers=headers))).status == 401


async def test_a_refused_request_leaves_its_connection_usable() -> None:
    async with listening() as served, await served.connect() as client:
        client.send(post(b"x" * 300_000, secret="wrong"))
        assert (await client.answer()).status == 401
        client.send(post(envelope(event())))
        assert (await client.answer()).status == 200


async def test_a_refused_body_is_not_waited_for_beyond_the_deadline() -> None:
    clock = ManualClock()
    async with listening(clock=clock) as served, await served.connect() as client:
        client.send(post(b"x" * 300_000, secret="wrong")[:1000])
        assert (await client.answer()).status == 401
        await clock.advance(11)
        assert await client.ended() == b""


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on_or_not() -> None:
    whole = post(envelope(event()), headers={"Expect": "100-continue"})
    head, _, body = whole.partition(b"\r\n\r\n")
    async with listening() as served:
        async with await served.connect() as client:
            client.send(head + b"\r\n\r\n")
            assert (await client.answer(head=True)).status == 100
            client.send(body)
            assert (await client.answer()).status == 200
        async with await served.connect() as client:
            client.send(head.replace(SECRET.encode(), b"wrong") + b"\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (401, "close")
            assert await client.ended() == b""


async def test_http_1_0_knows_no_100_continue() -> None:
    whole = post(envelope(event()), headers={"Expect": "100-continue"}).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    async with listening() as served, await served.connect() as client:
        client.send(whole)
        assert (await client.answer()).status == 200
        assert await client.ended() == b""


@pytest.mark.parametrize(
    ("version", "coding", "status"),
    [
        ("1.1", "chunked", 200),
        ("1.1", "Chunked ", 200),
        ("1.1", "gzip, chunked", 501),
        ("1.1", "chunked, chunked", 400),
        ("1.0", "chunked", 400),
        ("1.0", "gzip, chunked", 400),
        ("2.0", "chunked", 505),
        ("0.9", "chunked", 505),
    ],
)
async def test_a_version_or_a_transfer_coding_that_is_not_spoken_is_refused(
    version: str, coding: str, status: int
) -> None:
    store = MemoryStore()
    body = json.dumps(envelope(event())).encode()
    head = request("POST", PATH, {"Authorization": SECRET, "Transfer-Encoding": coding})
    sent = head.replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    async with listening(store) as served, await served.connect() as client:
        client.send(sent)
        assert (await client.answer()).status == status
        if status != 200:
            assert await client.ended() == b""
    assert len(store.events) == (status == 200)


# Ways to send that are odd and lawful


async def test_a_request_in_single_bytes_is_a_request() -> None:
    async with listening() as served, await served.connect() as client:
        for byte in post(envelope(event())):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200


async def test_requests_sent_at_once_are_answered_in_order() -> None:
    store = MemoryStore()
    async with listening(store) as served, await served.connect() as client:
        wrong = post(envelope(event("w")), secret="wrong")
        client.send(b"\r\n" + post(envelope(event("1"))) + wrong + post(envelope(event("2"))) + b"junk\r\n\r\n")
        assert [(await client.answer()).status for _ in range(3)] == [200, 401, 200]
        assert await client.ended() == b""
    assert [e.event.uuid for e in store.events] == ["1", "2"]


async def test_a_client_that_ends_its_side_still_gets_its_answer() -> None:
    store = MemoryStore()
    store.stall()
    async with listening(store) as served, await served.connect() as client:
        client.send(post(envelope(event())))
        client.writer.write_eof()
        while not store.uncommitted:
            await asyncio.sleep(0)
        store.resume()
        assert (await client.answer()).status == 200
        assert await client.ended() == b""


async def test_http_1_0_is_answered_and_closed() -> None:
    async with listening() as served, await served.connect() as client:
        client.send(post(envelope(event())).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert (await client.answer()).status == 200
        assert await client.ended() == b""


# Room


@pytest.mark.parametrize(
    ("first", "reason", "heard"),
    [(b"", "idle", b""), (HALF_HEAD, "half_sent", b"503"), (HALF_BODY, "half_sent", b"503")],
)
async def test_the_longest_waiting_connection_makes_room(first: bytes, reason: str, heard: bytes) -> None:
    clock = ManualClock()
    async with listening(clock=clock, max_connections=8) as served, crowd(served, 9, first) as clients:
        await arrived(served, 9)
        if first:
            await parsed(served, "head" if first == HALF_HEAD else "body", 9)
        await clock.advance(0.4)
        assert (await served.post(envelope(event()))).status == 200
        assert heard in await clients[0].ended()
        assert served.value("connections_evicted_total", reason=reason) == 1
        assert len(served.limiter.connections) >= 7


async def test_a_burst_of_posts_is_answered_beyond_the_cap_and_shrinks_to_it() -> None:
    store = MemoryStore()
    store.stall()
    clock = ManualClock()
    async with listening(store, clock=clock, max_connections=8, commit_timeout="1m") as served:
        clients = [await served.connect() for _ in range(15)]
        for number, client in enumerate(clients):
            client.send(post(envelope(event(str(number)))))
        while len(store.uncommitted) < 15:
            await asyncio.sleep(0)
        await clock.advance(1)
        assert len(served.limiter.connections) == 15  # requests in service are never closed for room
        store.resume()
        assert {(await client.answer()).status for client in clients} == {200}
        await clock.advance(1)
        assert len(served.limiter.connections) == 8
        for client in clients:
            client.writer.transport.abort()
    assert len(store.events) == 15


async def test_young_connections_go_only_at_twice_the_cap() -> None:
    async with listening(max_connections=8) as served, crowd(served, 20):
        while not (served.value("connections_evicted_total", reason="idle") or 0) >= 4:
            await asyncio.sleep(0)
        assert len(served.limiter.connections) == 16


# Its limit is for a machine that does nothing else.
@pytest.mark.slow
@pytest.mark.parametrize("first", [b"", HALF_HEAD, HALF_BODY])
async def test_a_thousand_connections_do_not_keep_a_post_from_its_answer(first: bytes) -> None:
    async with listening(clock=SystemClock(), max_connections=1000) as served, crowd(served, 1000, first):
        await arrived(served, 1000)
        p99s = []
        # The best of three series: a stall of the machine in one of them is not the server's fault.
        for series in range(3):
            took = []
            for number in range(100):
                began = time.perf_counter()
                assert (await served.post(envelope(event(f"{series}-{number}")))).status == 200
                took.append(time.perf_counter() - began)
            p99s.append(sorted(took)[98])
            if p99s[-1] < 0.1:
                return
        pytest.fail(f"p99 of three series, in seconds: {p99s}")
