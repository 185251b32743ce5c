"""Dead letters, missed events and single events over the API, and who may change something."""

import json
from typing import Any

import httpx
import pytest
import structlog

from forwarder.config.types import Secret
from forwarder.core.event import Event, Source, StoredEvent
from forwarder.core.ports import DeadLetterSelection
from forwarder.metrics import Metrics
from forwarder.ops.listener import OpsListener
from forwarder.ops.settings import OpsSettings
from tests.fakes.clock import NOON
from tests.fakes.store_data import FakeData
from tests.unit.ops.test_listener import FakeStatus, NoEvents

TOKEN = "the-token-of-the-operators"
SIGNED = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
BODY = b'{"uuid":"u1","eventType":"user.session.start","published":"2026-01-01T12:00:00Z"}'


class OneEvent(NoEvents):
    """A store with event 7."""

    async def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        event = Event("acme", "u1", "user.session.start", NOON, NOON, Source.HOOK, "", BODY)
        return [StoredEvent(7, event)] if after < 7 else []


@pytest.fixture
def data() -> FakeData:
    data = FakeData()
    data.letters = {1: ("siem", "mapping"), 2: ("siem", "too_large"), 3: ("traces", "mapping")}
    data.bodies = {1: BODY, 2: b"not json"}
    return data


def client(data: FakeData, token: str | None = TOKEN) -> httpx.AsyncClient:
    ops = OpsListener(
        Metrics(),
        FakeStatus(),
        OneEvent(),
        data,
        lambda: None,
        settings=lambda: OpsSettings(token=Secret(token) if token else None),
    )
    transport: Any = httpx.ASGITransport(ops.app)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9464")


@pytest.mark.long
async def test_an_event_is_shown_in_every_form(data: FakeData) -> None:
    async with client(data) as ops:
        shown = (await ops.get("/api/events/7")).json()
        assert shown["raw"] == json.loads(BODY)
        assert shown["ecs"]["event"]["id"] == "u1"
        assert shown["otlp"]["attributes"]["log.record.uid"] == "u1"
        missing = await ops.get("/api/events/3")
        assert (missing.status_code, "no event 3" in missing.json()["error"]) == (404, True)


@pytest.mark.long
async def test_dead_letters_are_listed_by_a_filter_and_shown_with_their_body(data: FakeData) -> None:
    async with client(data) as ops:
        assert (await ops.get("/api/dead-letters?sink=siem&limit=1")).json()["dead_letters"] == [{"id": 2}]
        assert (await ops.get("/api/dead-letters/1")).json() == {"id": 1, "raw": json.loads(BODY)}
        assert (await ops.get("/api/dead-letters/2")).json() == {"id": 2, "raw": "not json"}
        assert (await ops.get("/api/dead-letters/3")).json() == {"id": 3, "raw": None}
        assert (await ops.get("/api/dead-letters/4")).status_code == 404
        assert (await ops.get("/api/gaps")).json()["missed"] == 0
        for query in ("limit=x", "limit=-1", "typo=1"):
            assert (await ops.get(f"/api/dead-letters?{query}")).status_code == 400


@pytest.mark.long
@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"ids": [1, 3]}, [1, 3]),
        ({"sink": "siem"}, [1, 2]),
        ({"sink": "siem", "reason": "mapping"}, [1]),
        ({"all": True}, [1, 2, 3]),
        ({"all": True, "events": 3}, [1, 2, 3]),
    ],
)
async def test_what_is_selected_is_changed_and_logged(data: FakeData, body: dict[str, Any], changed: list[int]) -> None:
    with structlog.testing.capture_logs() as lines:
        async with client(data) as ops:
            replayed = await ops.post("/api/dead-letters/replay", json=body, headers=SIGNED)
            discarded = await ops.post("/api/dead-letters/discard", json=body, headers=SIGNED)
    assert (replayed.json(), data.replayed) == ({"replayed": len(changed)}, changed)
    assert (discarded.json(), data.discarded) == ({"discarded": len(changed)}, changed)
    assert [line["action"] for line in lines] == ["dead_letters_changed"] * 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 400),
        (b"", 400),
        (b'{"typo": 1}', 400),
        (b'{"ids": ["x"]}', 400),
        (b'{"sink": "\xff"}', 400),
        (b'{"all": false}', 400),
        (b'{"all": true, "events": 2}', 409),
    ],
)
async def test_an_unclear_request_changes_nothing(data: FakeData, body: bytes, status: int) -> None:
    async with client(data) as ops:
        answer = await ops.post("/api/dead-letters/discard", content=body, headers=SIGNED)
    assert (answer.status_code, data.discarded) == (status, [])
    assert answer.json()["error"]


async def test_a_token_may_be_configured_with_blanks_around_it_as_a_hooks_secret_may(data: FakeData) -> None:
    async with client(data, f" {TOKEN}\t") as ops:
        answer = await ops.get("/api/access", headers=SIGNED)
    assert answer.json()["may_change"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Cookie": f"token={TOKEN}", "Authorization": ""}, 401),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Host": "evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:9464"}, 200),
        ({}, 200),
    ],
)
async def test_a_change_needs_the_token_and_must_not_come_from_another_site(
    data: FakeData, headers: dict[str, str], status: int
) -> None:
    async with client(data) as ops:
        answer = await ops.post("/api/dead-letters/replay", json={"all": True}, headers=SIGNED | headers)
    assert (answer.status_code, bool(data.replayed)) == (status, status == 200)


@pytest.mark.long
async def test_without_a_token_in_the_configuration_nothing_can_be_changed(data: FakeData) -> None:
    async with client(data, token=None) as ops:
        answer = await ops.post("/api/dead-letters/replay", json={"all": True}, headers=SIGNED)
        assert (answer.status_code, "ops.token" in answer.json()["error"]) == (401, True)
        rights = (await ops.get("/api/access")).json()
    assert rights == {"may_read": True, "may_change": False, "token_configured": False}


@pytest.mark.long
async def test_a_page_learns_what_its_reader_may_do(data: FakeData) -> None:
    async with client(data) as ops:
        assert (await ops.get("/api/access")).json()["may_change"] is False
        assert (await ops.get("/api/access", headers=SIGNED)).json()["may_change"] is True
        far = await ops.get("/api/access", headers={"X-Forwarded-For": "192.0.2.1"})
    assert far.json() == {"may_read": False, "may_change": False, "token_configured": True}


@pytest.mark.long
@pytest.mark.parametrize("path", ["//api/status", "/api//status", "///api/events/7", "//api/dead-letters/1"])
async def test_no_spelling_of_a_path_shows_data_to_another_machine(data: FakeData, path: str) -> None:
    async with client(data) as ops:
        url = f"http://127.0.0.1:9464{path}"
        far = await ops.get(url, headers={"X-Forwarded-For": "192.0.2.1"})
        assert (far.status_code, far.json().keys()) == (401, {"error"})
        assert (await ops.get(url, headers=SIGNED)).status_code == 200


@pytest.mark.long
async def test_no_spelling_of_a_path_changes_anything_without_the_token(data: FakeData) -> None:
    async with client(data) as ops:
        url = "http://127.0.0.1:9464//api/dead-letters/discard"
        answer = await ops.post(url, json={"all": True})
    assert (answer.status_code, data.discarded) == (401, [])


@pytest.mark.long
async def test_a_dead_letter_that_comes_after_the_events_were_counted_is_kept() -> None:
    class Busy(FakeData):
        async def dead_letters(self, wanted: DeadLetterSelection, limit: int) -> dict[str, Any]:
            found = await super().dead_letters(wanted, limit)
            self.letters[len(self.letters) + 1] = ("siem", "mapping")  # another one is rejected
            return found

    busy = Busy()
    busy.letters = {1: ("siem", "mapping"), 2: ("siem", "mapping")}
    async with client(busy) as ops:
        answer = await ops.post("/api/dead-letters/discard", json={"all": True, "events": 2}, headers=SIGNED)
    assert (answer.json(), busy.discarded) == ({"discarded": 2}, [1, 2])
