"""What the receiver answers, over a real socket."""

import asyncio
import gzip
import json
import socket
import struct

import pytest
import structlog

from forwarder.core.errors import StoreError, StoreFormatError, StoreFullError, StoreTimeoutError
from tests import shared_data
from tests.fakes.clock import NOON, ManualClock
from tests.fakes.store import MemoryStore
from tests.integration.receive.helpers import (
    PATH,
    SECRET,
    Listening,
    envelope,
    event,
    listening,
    org,
    post,
    request,
    settings,
)

CHALLENGE = "Me_rShK8JHsTnbyYrWXCEoMGbM_zsZ6k0hLPZ_Pg"


def challenge(value: str = CHALLENGE, **headers: str) -> bytes:
    return request("GET", PATH, {"X-Okta-Verification-Challenge": value, "Authorization": SECRET} | headers)


# The challenge


async def test_a_challenge_with_the_secret_is_echoed_as_json() -> None:
    async with listening() as served:
        answer = await served.ask(challenge())
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert json.loads(answer.body) == {"verification": CHALLENGE}
        assert served.value("challenges_total", org="acme", outcome="verified") == 1


async def test_a_challenge_without_the_secret_is_refused_unless_the_org_lifts_it() -> None:
    bare = request("GET", PATH, {"X-Okta-Verification-Challenge": CHALLENGE})
    async with listening() as served:
        answer = await served.ask(bare)
        assert (answer.status, answer.body) == (401, b"")
        assert served.value("challenges_total", org="acme", outcome="unauthorized") == 1
    async with listening(orgs={"acme": org(challenge_needs_secret=False)}) as served:
        assert (await served.ask(bare)).status == 200
        assert (await served.ask(post(envelope(event()), secret=None))).status == 401


@pytest.mark.parametrize("value", ["", "a" * 513, "a b", "<script>", 'a"b', "ä", "a\\b", "{}"])
async def test_a_malformed_challenge_is_not_reflected(value: str) -> None:
    async with listening() as served:
        answer = await served.ask(challenge(value))
        assert (answer.status, answer.body) == (400, b"")
        assert served.value("challenges_total", org="acme", outcome="malformed") == 1


async def test_a_get_without_a_challenge_or_with_two_is_400() -> None:
    async with listening() as served:
        assert (await served.ask(request("GET", PATH, {"Authorization": SECRET}))).status == 400
        assert (await served.ask(challenge(**{"x-okta-verification-challenge": "other"}))).status == 400


async def test_the_longest_challenge_is_echoed() -> None:
    async with listening() as served:
        assert (await served.ask(challenge("a" * 512))).status == 200


# The secret


async def test_a_wrong_or_missing_secret_is_401_with_an_empty_body_and_counted_by_reason() -> None:
    store = MemoryStore()
    async with listening(store) as served:
        wrong = await served.ask(post(envelope(event()), secret="wrong"))
        missing = await served.ask(post(envelope(event()), secret=None))
        twice = await served.ask(post(envelope(event()), headers={"authorization": SECRET}))
        assert [(a.status, a.body) for a in (wrong, missing, twice)] == [(401, b"")] * 3
        for reason in ("wrong", "missing", "duplicate"):
            assert served.value("auth_failures_total", org="acme", reason=reason) == 1
        assert served.value("hook_requests_total", org="acme", code="401") == 3
        assert served.value("okta_auth_failures_total", org="acme") == 0
        await served.ask(post(envelope(event()), secret="wrong", headers={"user-agent": "Okta-Integrations/1.0"}))
        assert served.value("okta_auth_failures_total", org="acme") == 1
    assert not store.events


async def test_a_wrong_secret_is_refused_before_the_body_is_there() -> None:
    async with listening() as served, await served.connect() as client:
        client.send(post(b"x" * 1000, secret="wrong")[:-900])
        assert (await client.answer()).status == 401


async def test_the_secret_tells_which_org_a_shared_path_is_used_by() -> None:
    store = MemoryStore()
    orgs = {"acme": org(secrets=["a1", "a2"]), "other": org(secrets=["o1"], header="X-Key")}
    async with listening(store, orgs) as served:
        assert (await served.ask(post(envelope(event("1")), secret="a2"))).status == 200
        assert (await served.ask(post(envelope(event("2")), secret=None, headers={"x-KEY": "o1"}))).status == 200
        assert (await served.ask(post(envelope(event("3")), secret="o1"))).status == 401
        assert [(e.event.org, e.event.uuid) for e in store.events] == [("acme", "1"), ("other", "2")]
        assert served.value("auth_failures_total", org="", reason="wrong") == 1


async def test_each_org_answers_on_its_own_path_only_to_its_own_secret() -> None:
    orgs = {"a": org(path="/a", secrets=["sa"]), "b": org(path="/b", secrets=["sb"])}
    async with listening(orgs=orgs) as served:
        assert (await served.ask(post(envelope(), path="/a", secret="sa"))).status == 200
        assert (await served.ask(post(envelope(), path="/b", secret="sa"))).status == 401
        assert served.value("auth_failures_total", org="b", reason="wrong") == 1


async def test_a_reload_swaps_secrets_and_limits_without_a_restart() -> None:
    async with listening() as served:
        orgs = {"acme": org(secrets=["new"]), "fresh": org(secrets=["f"])}
        served.receiver.apply(served.receiver.build(orgs, settings(max_body="1KiB")))
        assert (await served.post(envelope(event()))).status == 401
        assert (await served.ask(post(envelope(event()), secret="new"))).status == 200
        assert (await served.ask(post(envelope(event()), secret="f"))).status == 200
        assert (await served.ask(post(envelope(event(pad="x" * 2000)), secret="new"))).status == 413


async def test_a_reload_moves_a_path() -> None:
    async with listening() as served:
        moved = served.receiver.build({"acme": org(path="/elsewhere")}, settings())
        assert (await served.post(envelope(event("1")))).status == 200
        served.receiver.apply(moved)
        assert (await served.post(envelope(event("2")))).status == 404
        for path in ("/elsewhere", "/elsewhere/", "/%65lsewhere"):
            assert (await served.ask(post(envelope(event()), path=path))).status == 200


# Paths and methods


@pytest.mark.parametrize("path", ["/", "/okta", "/okta/events/more", "/okta/events.json", "/metrics", "/%00"])
async def test_every_other_path_is_404(path: str) -> None:
    async with listening() as served:
        answer = await served.ask(post(envelope(event()), path=path))
        assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_every_other_method_is_405_and_says_which_are_allowed(method: str) -> None:
    async with listening() as served:
        answer = await served.ask(request(method, PATH, {"Authorization": SECRET}))
        assert answer.status == 405
        assert answer.headers["allow"] == "get, post"


@pytest.mark.parametrize(
    "path", ["//okta/events", "/okta//events", "/okta%2Fevents", "/%2fokta/events", "/okta/events%2F"]
)
async def test_a_path_with_another_slash_is_404(path: str) -> None:
    async with listening() as served:
        with structlog.testing.capture_logs() as lines:
            answer = await served.ask(post(envelope(event()), path=path))
        assert (answer.status, answer.body) == (404, b"")
        assert [line["action"] for line in lines] == ["path_refused"]


@pytest.mark.parametrize("path", ["/okta/events/", "/%6fkta/events", "http://x/okta/events"])
async def test_another_spelling_of_the_path_is_the_path(path: str) -> None:
    async with listening() as served:
        assert (await served.ask(post(envelope(event()), path=path))).status == 200


async def test_head_is_405() -> None:
    async with listening() as served, await served.connect() as client:
        client.send(request("HEAD", PATH, {"Authorization": SECRET}))
        assert (await client.answer(head=True)).status == 405


async def test_a_query_does_not_matter() -> None:
    async with listening() as served:
        assert (await served.ask(post(envelope(event()), path=PATH + "?a=b"))).status == 200


# The body


async def test_every_event_is_stored_with_its_bytes_before_200_with_an_empty_body() -> None:
    store = MemoryStore()
    first = b'{ "uuid":"1","published":"2026-01-01T11:59:50.123456Z" , "eventType":"user.session.start"}'
    second = b'{"eventType":"not.in.the.catalogue","published":"2026-01-01T11:59:58Z","uuid":"2","x":null}'
    body = b'{"eventID":"p","data":{"events":[' + first + b" ,\n" + second + b"]}}"
    async with listening(store) as served:
        answer = await served.post(body)
        assert (answer.status, answer.body) == (200, b"")
        assert [e.event.body for e in store.events] == [first, second]
        kept = store.events[0].event
        assert (kept.org, kept.source, kept.envelope_id, kept.received_at) == ("acme", "hook", "p", NOON)
        labels = {"org": "acme", "via": "hook"}
        assert served.value("events_received_total", event_type="user.session.start", **labels) == 1
        assert served.value("events_received_total", event_type="other", **labels) == 1
        assert served.value("receive_lag_seconds_count", **labels) == 2
        assert served.value("receive_lag_seconds_sum", **labels) == pytest.approx(11.876544)
        assert served.value("ack_duration_seconds_count", org="acme") == 1


async def test_a_known_event_is_a_duplicate_and_200() -> None:
    async with listening() as served:
        for _ in range(3):
            assert (await served.post(envelope(event()))).status == 200
        assert served.value("events_duplicate_total", org="acme", via="hook") == 2


async def test_a_malformed_event_does_not_hold_up_its_neighbours() -> None:
    store = MemoryStore()
    async with listening(store) as served:
        assert (await served.post(envelope(event("1"), "no event", event("2"), {"uuid": "3"}))).status == 200
        assert [e.event.uuid for e in store.events] == ["1", "2"]
        assert [r.body for r in store.malformed] == [b'"no event"', b'{"uuid": "3"}']
        assert {(r.org, r.envelope_id) for r in store.malformed} == {("acme", "post-1")}
        assert served.value("events_rejected_total", org="acme") == 2


@pytest.mark.parametrize("levels", [979, 980, 1000, 50_000])
async def test_an_element_nested_too_deeply_becomes_a_malformed_event_and_its_neighbours_are_stored(
    levels: int,
) -> None:
    store = MemoryStore()
    deep = b'{"x":' + b"[" * levels + b"]" * levels + b"}"
    good = [json.dumps(event(uuid)).encode() for uuid in ("1", "2")]
    async with listening(store) as served:
        body = b'{"data":{"events":[' + b",".join([good[0], deep, good[1]]) + b"]}}"
        assert (await served.post(body)).status == 200
        assert [e.event.uuid for e in store.events] == ["1", "2"]
        assert [element.body for element in store.malformed] == [deep]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_the_content_type_does_not_matter(kind: str) -> None:
    async with listening() as served:
        assert (await served.post(envelope(event()), Content_Type=kind)).status == 200


async def test_no_content_type_at_all_is_accepted() -> None:
    raw = json.dumps(envelope(event())).encode()
    async with listening() as served:
        headers = {"Authorization": SECRET, "Content-Length": str(len(raw))}
        assert (await served.ask(request("POST", PATH, headers, raw))).status == 200


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"{}", b'{"data":{}}', b'{"data":{"events":null}}', b"\xff"])
async def test_an_invalid_event_hook_is_400(body: bytes) -> None:
    async with listening() as served:
        answer = await served.post(body)
        assert (answer.status, answer.body) == (400, b"")


async def test_an_envelope_without_events_is_200() -> None:
    async with listening() as served:
        assert (await served.post(envelope())).status == 200


async def test_a_body_beyond_the_limit_is_413_however_it_is_sent() -> None:
    raw = json.dumps(envelope(event(pad="x" * 5000))).encode()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(raw), raw)
    async with listening(max_body="4KiB") as served:
        assert (await served.post(raw)).status == 413
        head = {"Authorization": SECRET, "Transfer-Encoding": "chunked"}
        assert (await served.ask(request("POST", PATH, head, chunked))).status == 413
        assert (await served.post(gzip.compress(raw), Content_Encoding="gzip")).status == 413
        assert (await served.post(envelope(event()))).status == 200


async def test_a_chunked_body_is_accepted() -> None:
    raw = json.dumps(envelope(event(pad="x" * 200_000))).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(raw[at : at + 999]), raw[at : at + 999]) for at in range(0, len(raw), 999))
    async with listening() as served:
        head = {"Authorization": SECRET, "Transfer-Encoding": "chunked"}
        assert (await served.ask(request("POST", PATH, head, chunks + b"0\r\n\r\n"))).status == 200


async def test_gzip_is_read_and_other_encodings_are_415() -> None:
    raw = json.dumps(envelope(event())).encode()
    async with listening() as served:
        assert (await served.post(gzip.compress(raw), Content_Encoding="GZIP")).status == 200
        assert (await served.post(raw, Content_Encoding="identity")).status == 200
        assert (await served.post(raw, Content_Encoding="br")).status == 415
        assert (await served.post(raw, Content_Encoding="gzip")).status == 400


@shared_data.needs(shared_data.PAYLOADS)
async def test_payloads_that_okta_really_sent_are_stored_byte_for_byte() -> None:
    store = MemoryStore()
    sent = 0
    async with listening(store) as served:
        for file in sorted(shared_data.PAYLOADS.glob("*.json")):
            sent += len(json.loads(file.read_bytes())["data"]["events"])
            assert (await served.post(file.read_bytes())).status == 200
            assert store.events[-1].event.body in file.read_bytes()
    assert len(store.events) == sent > 0
    assert not store.malformed


@pytest.mark.long
async def test_a_hundred_thousand_events_do_not_hold_up_another_post() -> None:
    element = json.dumps(event("1", padding="x")).encode()
    raw = b'{"data":{"events":[' + b",".join([element] * 80_000) + b"]}}"
    async with listening() as served, await served.connect() as big:
        big.send(post(raw))
        while not served.limiter.connections - set(served.limiter.waiting):
            await asyncio.sleep(0)  # until all of it is there
        assert (await served.post(envelope(event("quick")))).status == 200
        done = asyncio.ensure_future(big.answer())
        assert not done.done()
        assert (await done).status == 200


@pytest.mark.parametrize("length", ["0" * 4999 + "10", "0" * 5001])
async def test_a_content_length_of_thousands_of_digits_is_400(length: str) -> None:
    async with listening() as served:
        with structlog.testing.capture_logs() as lines:
            assert (await served.post(b"x" * 10, Content_Length=length)).status == 400
        assert not [line for line in lines if line["action"] == "request_failed"]


@pytest.mark.long
async def test_many_half_sent_bodies_do_not_fill_the_memory_and_small_posts_are_answered() -> None:
    store = MemoryStore()
    body = b"x" * 1_000_000
    async with listening(store, max_body="1MiB") as served:
        budget = served.receiver._bodies
        with structlog.testing.capture_logs() as lines:
            halves = [await served.connect() for _ in range(60)]
            for half in halves:
                half.send(post(body)[:-9])
                await half.writer.drain()
            async with asyncio.timeout(10):
                while budget.held < budget.limit * 0.9:
                    await asyncio.sleep(0)
            for number in range(20):
                assert (await served.post(envelope(event(str(number), pad="x" * 50_000)))).status == 200
                assert budget.held <= budget.limit
        refused = [line for line in lines if line["action"] == "store_refused"]
        assert "memory" in refused[0]["error"]
        assert served.value("hook_requests_total", org="acme", code="503")
        # A large one is answered too: those that wait and are as large give way.
        assert (await served.post(envelope(event("large", pad="x" * 900_000)))).status == 200
        for half in halves:
            half.writer.transport.abort()
        async with asyncio.timeout(10):
            while budget.held:
                await asyncio.sleep(0)
    assert len(store.events) == 21


@pytest.mark.long
async def test_many_gzip_bombs_do_not_fill_the_memory() -> None:
    bomb = gzip.compress(b" " * 1_000_000)
    store = MemoryStore()
    async with listening(store, max_body="1MiB") as served:
        answers = await asyncio.gather(*(served.post(bomb, Content_Encoding="gzip") for _ in range(60)))
        assert {answer.status for answer in answers} <= {400, 503}
        assert served.receiver._bodies.held == 0


# The store


@pytest.mark.parametrize("error", [StoreFullError("no room"), StoreTimeoutError("slow"), StoreFormatError("bad")])
async def test_trouble_of_the_store_is_503_until_it_is_over(error: StoreError) -> None:
    store = MemoryStore()
    async with listening(store) as served:
        store.failure = error
        answer = await served.post(envelope(event()))
        assert (answer.status, answer.body) == (503, b"")
        store.failure = None
        assert (await served.post(envelope(event()))).status == 200


async def test_a_commit_that_takes_too_long_is_503() -> None:
    store = MemoryStore()
    store.stall()
    async with listening(store, commit_timeout="10ms") as served:
        assert (await served.post(envelope(event()))).status == 503
    store.resume()


async def test_an_unexpected_error_is_503_never_500() -> None:
    store = MemoryStore()
    store.failure = RuntimeError("a bug")  # type: ignore[assignment]  # that is the point
    async with listening(store) as served:
        with structlog.testing.capture_logs() as lines:
            assert (await served.post(envelope(event()))).status == 503
        assert [line["action"] for line in lines] == ["request_failed"]


async def test_a_post_for_which_the_system_refuses_memory_is_503_and_its_log_line_names_the_limit() -> None:
    store = MemoryStore()
    store.failure = MemoryError()  # type: ignore[assignment]  # that is the point
    async with listening(store) as served:
        with structlog.testing.capture_logs() as lines:
            assert (await served.post(envelope(event()))).status == 503
    (line,) = lines
    assert "ulimit -v" in line["error"]
    assert line["exc_info"] is None


@pytest.mark.parametrize(("end", "size"), [("RST", 10), ("FIN", 10), ("FIN", 300_000)])
async def test_a_request_whose_client_has_gone_is_still_committed(end: str, size: int) -> None:
    store = MemoryStore()
    store.stall()
    async with listening(store) as served:
        async with await served.connect() as client:
            client.send(post(envelope(event(pad="x" * size))))
            await client.writer.drain()
            while not store.uncommitted:
                await asyncio.sleep(0)
            if end == "RST":
                client.writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
        while end == "RST" and len(served.limiter.connections):
            await asyncio.sleep(0)
        store.resume()
        await store.wait(0, replays=0)
        assert (await served.post(envelope(event()))).status == 200
    assert len(store.events) == 1


async def test_a_client_that_goes_with_its_last_byte_is_still_committed() -> None:
    store = MemoryStore()
    async with listening(store) as served:
        for number in range(20):
            client = await served.connect()
            client.send(post(envelope(event(str(number), pad="x" * 100_000))))
            await client.writer.drain()
            client.writer.close()
            await client.writer.wait_closed()
        async with asyncio.timeout(10):
            await store.wait(19, replays=0)
    assert len(store.events) == 20


async def test_half_a_body_stores_nothing() -> None:
    store = MemoryStore()
    async with listening(store) as served:
        async with await served.connect() as client:
            client.send(post(envelope(event()))[:-5])
            await client.writer.drain()
        assert (await served.post(envelope(event("2")))).status == 200
    assert [e.event.uuid for e in store.events] == ["2"]


async def test_a_closed_door_answers_503_and_lets_the_connection_go() -> None:
    async with listening() as served, await served.connect() as client:
        client.send(post(envelope(event())))
        assert (await client.answer()).status == 200
        served.receiver.close()
        with structlog.testing.capture_logs() as lines:
            client.send(post(envelope(event("2"))))
            assert (await client.answer()).status == 503
        assert [line["action"] for line in lines] == ["stopping_refused"]
        assert await client.ended() == b""


# What is counted and said


async def test_series_exist_before_the_first_request() -> None:
    async with listening() as served:
        assert served.value("hook_requests_total", org="acme", code="503") == 0
        assert served.value("auth_failures_total", org="acme", reason="wrong") == 0
        assert served.value("challenges_total", org="acme", outcome="verified") == 0
        assert served.value("events_duplicate_total", org="acme", via="hook") == 0
        assert served.value("events_rejected_total", org="acme") == 0
        assert served.value("ack_duration_seconds_count", org="acme") == 0


async def test_a_challenge_is_a_log_line_with_its_outcome() -> None:
    async with listening() as served:
        with structlog.testing.capture_logs() as lines:
            await served.ask(challenge())
            await served.ask(challenge("<x>"))
            await served.ask(challenge(Authorization="wrong"))
    said = [line for line in lines if line["action"] == "challenge"]
    assert [(line["org"], line["outcome"]) for line in said] == [
        ("acme", "verified"),
        ("acme", "malformed"),
        ("acme", "unauthorized"),
    ]


async def test_an_element_that_is_set_aside_is_a_log_line_with_org_and_reason() -> None:
    async with listening() as served:
        with structlog.testing.capture_logs() as lines:
            for published in ("2017-09-31T00:00:00Z", "2017-09-30T24:00:00Z"):
                assert (await served.post(envelope(event(published=published), event("2")))).status == 200
    [line] = [line for line in lines if line["action"] == "malformed_events"]
    assert (line["org"], line["elements"]) == ("acme", 1)
    assert "published" in line["reason"]
    assert "dead-letters" in line["hint"]


@pytest.mark.parametrize(
    ("sent", "status", "action"),
    [
        (post(b"", secret="wrong"), 401, "secret_refused"),
        (post(b"no json"), 400, "hook_refused"),
        (post(b"x" * 2000), 413, "hook_refused"),
        (post(b"", headers={"Content-Encoding": "br"}), 415, "hook_refused"),
        (post(b"", path="/okta/event"), 404, "path_refused"),
        (b"junk\r\n\r\n", 400, "request_refused"),
        (request("GET", "/" + "a" * 9000, {}), 414, "request_refused"),
        (request("GET", "/", {"X": "a" * 70_000}), 431, "request_refused"),
    ],
)
async def test_every_refusal_is_a_log_line_at_a_limited_rate(sent: bytes, status: int, action: str) -> None:
    clock = ManualClock()
    async with listening(clock=clock, max_body="1KiB") as served:
        with structlog.testing.capture_logs() as lines:
            for _ in range(5):
                assert (await served.ask(sent)).status == status
            await clock.advance(11)
            assert (await served.ask(sent)).status == status
    said = [line for line in lines if line["action"] == action]
    assert [line["suppressed"] for line in said] == [0, 4]


async def refuse(served: Listening) -> None:
    assert (await served.ask(post(b"", secret="wrong"))).status == 401


async def test_refused_secrets_are_logged_once_in_a_while_with_their_number() -> None:
    clock = ManualClock()
    async with listening(clock=clock) as served:
        with structlog.testing.capture_logs() as lines:
            for _ in range(5):
                await refuse(served)
            await clock.advance(11)
            await refuse(served)
        said = [line for line in lines if line["action"] == "secret_refused"]
        assert [line["suppressed"] for line in said] == [0, 4]
        assert {line["log_level"] for line in said} == {"warning"}
        assert said[0]["client"] == "127.0.0.1"
        assert said[0]["org"] == "acme"
        assert "orgs.acme.secrets" in said[0]["hint"]
        assert "forwarder hooks sync --org acme --resend-secret" in said[0]["hint"]
