"""What anyone may read on the listener that Okta posts to."""

import pytest

from tests.integration.receive.helpers import envelope, event, listening, post, request

PATH = "/.well-known/jwks.json"
KEYS = b'{"keys":[]}'


async def test_a_public_document_is_read_without_a_secret() -> None:
    async with listening() as served:
        served.receiver.public = {PATH: KEYS}
        answer = await served.ask(request("GET", PATH, {}))
        assert (answer.status, answer.body) == (200, KEYS)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "public, max-age=300"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert served.value("hook_requests_total", org="", code="200") == 1
        assert (await served.ask(request("GET", f"{PATH}?x=1", {}))).body == KEYS


async def test_head_has_the_headers_only() -> None:
    async with listening() as served:
        served.receiver.public = {PATH: KEYS}
        async with await served.connect() as client:
            client.send(request("HEAD", PATH, {}) + request("GET", PATH, {"Connection": "close"}))
            answer = await client.answer(head=True)
            assert (answer.status, answer.headers["content-length"]) == (200, str(len(KEYS)))
            assert (await client.answer()).body == KEYS


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
async def test_a_public_document_is_only_read(method: str) -> None:
    async with listening() as served:
        served.receiver.public = {PATH: KEYS}
        answer = await served.ask(request(method, PATH, {"Content-Length": "2"}, b"{}"))
        assert (answer.status, answer.body) == (405, b"")
        assert answer.headers["allow"] == "get, head"  # the client of the tests lowers it


@pytest.mark.parametrize(
    "path", [f"{PATH}/", f"/{PATH}", "/.well-known", "/.well-known/", "/.well-known/x", "/.well-known%2fjwks.json"]
)  # fmt: skip
async def test_no_other_path_beside_the_hooks_is_served(path: str) -> None:
    async with listening() as served:
        served.receiver.public = {PATH: KEYS}
        assert (await served.ask(request("GET", path, {}))).status == 404


async def test_without_the_setting_the_path_is_unknown() -> None:
    async with listening() as served:
        for method in ("GET", "HEAD"):
            async with await served.connect() as client:
                client.send(request(method, PATH, {}))
                assert (await client.answer(head=method == "HEAD")).status == 404


async def test_hooks_are_served_beside_it() -> None:
    async with listening() as served:
        served.receiver.public = {PATH: KEYS}
        async with await served.connect() as client:
            client.send(request("GET", PATH, {}) + post(envelope(event())))
            assert [(await client.answer()).status for _ in range(2)] == [200, 200]
            assert served.value("events_received_total", org="acme", via="hook", event_type="user.session.start")
