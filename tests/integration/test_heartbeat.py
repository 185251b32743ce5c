"""The heartbeat against an Elasticsearch on a real socket: on time, past the events, and quiet where it fails."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.config_check import warnings
from forwarder.heartbeat import Heartbeat
from forwarder.settings import Settings, read
from tests.fakes.clock import ManualClock
from tests.fakes.elasticsearch import FakeElasticsearch, ItemError, Reply, error
from tests.fakes.status import sound_status

STREAM = "metrics-okta_forwarder.health-default"
FORBIDDEN = error(403, "security_exception", "action [indices:data/write/bulk] is unauthorized")


@pytest.fixture
async def siem() -> AsyncIterator[FakeElasticsearch]:
    async with FakeElasticsearch() as server:
        yield server


@pytest.fixture
def lines() -> Any:
    with structlog.testing.capture_logs() as found:
        yield found


def settings(folder: Path, siem: FakeElasticsearch, interval: str | None = "60s", /, **sinks: Any) -> Settings:
    tree: dict[str, Any] = {
        "orgs": {"acme": {"secrets": ["a-secret-of-the-tests"]}},
        "receiver": {"listen": "127.0.0.1:0"},
        "ops": {"listen": "127.0.0.1:0"} | ({"heartbeat": interval} if interval else {}),
        "store": {"path": str(folder / "store.db")},
        "sinks": sinks or {"siem": {"kind": "elasticsearch", "hosts": [siem.url]}},
    }
    return read(tree)


async def status() -> Mapping[str, Any]:
    return sound_status()


@asynccontextmanager
async def beating(clock: ManualClock, wanted: Settings) -> AsyncIterator[Heartbeat]:
    heartbeat = Heartbeat(status, clock)
    await heartbeat.start(wanted)
    try:
        yield heartbeat
    finally:
        await heartbeat.stop()


def documents(siem: FakeElasticsearch, stream: str = STREAM) -> list[Any]:
    return list(siem.data_streams.get(stream, {}).values())


def actions(lines: list[Any]) -> list[str]:
    return [line["action"] for line in lines if line.get("action", "").startswith("heartbeat")]


async def test_a_document_is_written_at_the_start_and_then_each_minute(tmp_path: Path, siem: FakeElasticsearch) -> None:
    clock = ManualClock()
    async with beating(clock, settings(tmp_path, siem)):
        for beats in range(1, 4):
            await clock.asleep()
            assert len(documents(siem)) == beats
            await clock.advance(60)
    times = [found["@timestamp"] for found in documents(siem)]
    assert times[:3] == ["2026-01-01T12:00:00.000Z", "2026-01-01T12:01:00.000Z", "2026-01-01T12:02:00.000Z"]
    assert all(found["okta_forwarder"]["health"]["stored"] == 12 for found in documents(siem))


async def test_without_the_setting_nothing_is_written(tmp_path: Path, siem: FakeElasticsearch) -> None:
    async with beating(ManualClock(), settings(tmp_path, siem, None)) as heartbeat:
        assert heartbeat._task is None
    assert siem.requests == []


async def test_each_sink_gets_it_and_two_sinks_of_one_stream_write_it_once(
    tmp_path: Path, siem: FakeElasticsearch, lines: Any
) -> None:
    sinks = {
        name: {"kind": "elasticsearch", "hosts": [siem.url], "namespace": namespace}
        for name, namespace in (("one", "prod"), ("two", "prod"), ("three", "test"))
    }
    clock = ManualClock()
    async with beating(clock, settings(tmp_path, siem, **sinks)):
        await clock.asleep()
    assert {name: len(found) for name, found in siem.data_streams.items()} == {
        "metrics-okta_forwarder.health-prod": 1,
        "metrics-okta_forwarder.health-test": 1,
    }
    assert actions(lines) == []


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (FORBIDDEN, "give the key `create_doc` and `auto_configure` on metrics-okta_forwarder.health-*"),
        (error(401, "security_exception", "unable to authenticate"), "set `api_key` to a valid key"),
        (Reply(200, {"errors": True, "items": [{"create": {"_id": "x", **ItemError(404, "index_not_found_exception", "no such index").item()}}]}), "forwarder setup elasticsearch"),
        (error(503, "cluster_block_exception", "no master"), "503"),
        *((Reply(200, {"items": [{"create": {"_id": "x", "status": status}}]}), hint) for status, hint in ((0, "0 "), (-1, "-1 "), (299, "299 "), ("201", "has no status"), (None, "has no status"))),
        (Reply(200, "<html>"), "has no result for the document"),
        (Reply(status=None), "127.0.0.1"),
    ],
)  # fmt: skip
async def test_what_keeps_it_from_being_written_is_one_warning_until_it_is_written_again(
    tmp_path: Path, siem: FakeElasticsearch, lines: Any, reply: Reply, hint: str
) -> None:
    siem.always = reply
    clock = ManualClock()
    async with beating(clock, settings(tmp_path, siem)):
        for _ in range(3):
            await clock.asleep()
            await clock.advance(60)
        await clock.asleep()
        (line,) = [line for line in lines if line.get("action") == "heartbeat_failed"]
        assert hint in line["error"]
        assert (line["sink"], line["data_stream"]) == ("siem", STREAM)
        siem.always = None
        await clock.advance(60)
        await clock.asleep()
    assert actions(lines) == ["heartbeat_failed", "heartbeat_written"]
    assert len(documents(siem)) == 1


async def test_a_stop_does_not_wait_for_a_server_that_is_silent(tmp_path: Path, siem: FakeElasticsearch) -> None:
    siem.always = Reply(silent=True)
    async with asyncio.timeout(5):
        async with beating(ManualClock(), settings(tmp_path, siem)):
            while not siem.requests:
                await asyncio.sleep(0)


async def until(siem: FakeElasticsearch, count: int, stream: str = STREAM) -> None:
    async with asyncio.timeout(20):
        while len(documents(siem, stream)) < count:
            await asyncio.sleep(0.02)


@pytest.mark.long
async def test_a_reload_turns_it_on_and_off_and_to_another_namespace(tmp_path: Path, siem: FakeElasticsearch) -> None:
    forwarder = Forwarder(settings(tmp_path, siem, None), SystemClock())
    await forwarder.start()
    try:
        await forwarder.reload(settings(tmp_path, siem, "1s"))
        await until(siem, 2)
        other = {"kind": "elasticsearch", "hosts": [siem.url], "namespace": "other"}
        await forwarder.reload(settings(tmp_path, siem, "1s", siem=other))
        written = len(documents(siem))
        await until(siem, 2, "metrics-okta_forwarder.health-other")
        assert len(documents(siem)) == written
        await forwarder.reload(settings(tmp_path, siem, None))
        assert forwarder._heartbeat._task is None
    finally:
        await forwarder.stop(grace=0)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "heartbeat"]


@pytest.mark.long
async def test_it_says_what_the_status_page_says(tmp_path: Path, siem: FakeElasticsearch) -> None:
    forwarder = Forwarder(settings(tmp_path, siem, "1s"), SystemClock())
    await forwarder.start()
    try:
        await until(siem, 1)
        (document, *_) = documents(siem)
        found = await forwarder.status.gather()
    finally:
        await forwarder.stop(grace=0)
    about = document["okta_forwarder"]["health"]
    assert about["ready"] is found["ready"] is True
    assert about["balanced"] is found["balanced"] is True
    assert document["service"]["version"] == found["version"]
    assert [sink["name"] for sink in about["sinks"]] == ["siem"]


def test_a_heartbeat_without_elasticsearch_is_a_warning_of_check(tmp_path: Path) -> None:
    archive = {"kind": "file", "path": str(tmp_path / "a.ndjson")}
    found = warnings(settings(tmp_path, FakeElasticsearch(), "60s", archive=archive))
    assert [line for line in found if line.startswith("ops.heartbeat: has no effect")]
