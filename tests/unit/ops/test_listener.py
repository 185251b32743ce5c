import asyncio
import logging
from typing import Any

import httpx
import pytest
import structlog

from forwarder.core.event import StoredEvent
from forwarder.metrics import Metrics
from forwarder.ops.listener import OpsListener
from forwarder.ops.settings import OpsSettings
from tests.fakes.store_data import FakeData


class NoEvents:
    """A store without events."""

    newest = 0

    async def wait(self, after: int) -> None:
        await asyncio.Event().wait()

    async def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        return []


class FakeStatus:
    """A status that a test sets."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.not_ready_reason: str | None = None
        self.failure: Exception | None = None
        self.refreshes = 0

    async def gather(self) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        return {"ready": self.not_ready_reason is None, "sinks": {}}

    async def refresh_gauges(self) -> None:
        self.refreshes += 1
        self.metrics.sink_backlog.labels("siem").set(41)

    def client(self, *allowed_hosts: str) -> httpx.AsyncClient:
        ops = OpsListener(
            self.metrics,
            self,
            NoEvents(),
            FakeData(),
            lambda: self.not_ready_reason,
            settings=lambda: OpsSettings(allowed_hosts=allowed_hosts),
        )
        transport = httpx.ASGITransport(ops.app)  # type: ignore[arg-type]
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


@pytest.mark.long
async def test_it_is_alive_and_ready() -> None:
    async with FakeStatus().client() as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.long
async def test_it_is_not_ready_while_a_post_could_not_be_stored_and_says_why() -> None:
    status = FakeStatus()
    status.not_ready_reason = "the disk is full"
    async with status.client() as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "not ready: the disk is full\n")
        assert (await client.get("/livez")).status_code == 200
        status.not_ready_reason = None
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.long
async def test_a_scrape_refreshes_the_gauges_first() -> None:
    status = FakeStatus()
    async with status.client() as client:
        answer = await client.get("/metrics", headers={"Accept": "text/plain"})
    assert 'forwarder_sink_backlog_events{sink="siem"} 41.0' in answer.text
    assert status.refreshes == 1


@pytest.mark.long
async def test_everything_else_is_not_found_or_not_allowed() -> None:
    async with FakeStatus().client() as client:
        assert (await client.get("/nope")).status_code == 404
        assert (await client.post("/metrics")).status_code == 405


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/nope", 404), ("GET", "/api/events/x", 404), ("GET", "/api/status", 500)],
)
async def test_an_answer_with_another_status_than_200_has_the_reason_under_error(
    method: str, path: str, status: int
) -> None:
    source = FakeStatus()
    source.failure = OSError("the disk is gone")
    with structlog.testing.capture_logs():
        async with source.client() as client:
            answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.json().keys() == {"error"}
    assert "disk" not in answer.text


@pytest.mark.long
async def test_it_leaves_the_log_lines_of_the_process_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    own = logging.NullHandler()
    monkeypatch.setattr(logging.root, "handlers", [own])
    async with FakeStatus().client() as client:
        assert (await client.get("/livez")).status_code == 200
    assert logging.root.handlers == [own]


@pytest.mark.long
async def test_a_request_that_fails_is_logged() -> None:
    status = FakeStatus()
    status.failure = OSError("the disk is gone")
    with structlog.testing.capture_logs() as lines:
        async with status.client() as client:
            assert (await client.get("/api/status")).status_code == 500
            assert (await client.get("/nowhere")).status_code == 404
    assert [(line["action"], line["path"]) for line in lines] == [("ops_failed", "/api/status")]


KNOWN = ["127.0.0.1:9464", "[::1]:9464", "[fe80::1]", "10.0.0.7", "localhost:9464", "forwarder:9464", "LOCALHOST."]
PRIVATE = ["forwarder.monitoring.svc:9464", "forwarder.monitoring.svc.cluster.local", "siem.corp.internal"]


@pytest.mark.long
@pytest.mark.parametrize("path", ["/", "/api/status", "/metrics", "/nope"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.com"])
async def test_a_request_for_an_unknown_host_is_refused_and_logged(path: str, host: str) -> None:
    with structlog.testing.capture_logs() as lines:
        async with FakeStatus().client("siem.example.com") as client:
            for _ in range(3):
                answer = await client.get(path, headers={"Host": host})
                assert (answer.status_code, "ops.allowed_hosts" in answer.text) == (403, True)
    assert [(line["action"], line["host"]) for line in lines] == [("ops_host_refused", host)]


@pytest.mark.long
@pytest.mark.parametrize("host", [*KNOWN, *PRIVATE, "siem.example.com", "SIEM.example.com:9464"])
async def test_a_known_host_is_answered(host: str) -> None:
    async with FakeStatus().client("siem.example.com") as client:
        assert (await client.get("/metrics", headers={"Host": host})).status_code == 200


@pytest.mark.long
async def test_probes_answer_to_every_name() -> None:
    async with FakeStatus().client() as client:
        for path in ("/livez", "/readyz"):
            assert (await client.get(path, headers={"Host": "balancer.example.com"})).status_code == 200


class HeldStatus(FakeStatus):
    """A status that is gathered only while `open` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def gather(self) -> dict[str, Any]:
        await self.refresh_gauges()
        return await super().gather()

    async def refresh_gauges(self) -> None:
        await super().refresh_gauges()
        await self.open.wait()


@pytest.mark.long
@pytest.mark.parametrize("path", ["/metrics", "/api/status"])
async def test_many_requests_at_once_cost_no_more_than_two(path: str) -> None:
    status = HeldStatus()
    async with status.client() as client:
        first = asyncio.create_task(client.get(path))
        while not status.refreshes:
            await asyncio.sleep(0)
        late = [asyncio.create_task(client.get(path)) for _ in range(50)]
        for _ in range(50):
            await asyncio.sleep(0)
        late.pop().cancel()
        status.open.set()
        answers = await asyncio.gather(first, *late)
        assert [answer.status_code for answer in answers] == [200] * 50
        assert status.refreshes == 2
        assert (await client.get(path)).status_code == 200
        assert status.refreshes == 3
