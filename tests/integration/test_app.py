"""The forwarder as one object: a reload applies everything, or nothing."""

import asyncio
import fcntl
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from forwarder.app import Forwarder
from forwarder.clock import SystemClock
from forwarder.config.types import Secret
from forwarder.control_socket.client import ask
from forwarder.core.errors import SettingsError, SinkError, StoreError, StoreFormatError
from forwarder.core.ports import DeadLetterSelection
from forwarder.forwarder_process import SWITCH_INTERVAL
from forwarder.receive.auth import OKTA
from forwarder.settings import Settings, read
from forwarder.store.interface import open_commands
from forwarder.store.redelivery import Range, RedeliverRequest
from tests.e2e.okta import envelope, happenings
from tests.integration.store.helpers import opened, view
from tests.integration.store.sqlite.test_moved import NAMED_CHANGES
from tests.waiting import until


def settings(
    directory: Path,
    *,
    secret: str = "old",
    path: str = "/okta/events",
    file: Path | None = None,
    form: str = "ecs",
    orgs: Mapping[str, Any] | None = None,
) -> Settings:
    archive = {"kind": "file", "path": str(file or directory / "old.ndjson"), "format": form}
    return read(
        {
            "orgs": {"acme": {"secrets": [secret], "path": path}, **(orgs or {})},
            "receiver": {"listen": "127.0.0.1:0"},
            "ops": {"listen": "127.0.0.1:0"},
            "store": {"path": str(directory / "store.db")},
            "sinks": {"archive": archive},
        }
    )


@pytest.fixture
async def forwarder(tmp_path: Path) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(settings(tmp_path), SystemClock())
    with structlog.testing.capture_logs():
        await forwarder.start()
        yield forwarder
        await forwarder.stop(grace=5)


async def post(forwarder: Forwarder, secret: str, seed: int = 1, agent: str = "curl") -> tuple[str, int]:
    """The uuid of a new event, and the status that Okta gets for it."""
    uuid, body = next(happenings(1, seed=seed))
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(
            f"http://{forwarder.server.address}/okta/events",
            content=envelope([body]),
            headers={"Authorization": secret, "Content-Type": "application/json", "User-Agent": agent},
        )
    return uuid, response.status_code


async def written(file: Path, uuid: str) -> dict[str, Any]:
    """The line of the event in `file`, once it is there."""
    async with asyncio.timeout(20):
        while True:
            lines = await asyncio.to_thread(lambda: file.read_text() if file.exists() else "")
            for line in lines.splitlines():
                if uuid in line:
                    document: dict[str, Any] = json.loads(line)
                    return document
            await asyncio.sleep(0.01)


def lock(file: Path) -> Any:
    """Lock the file of a sink, as another forwarder does."""
    descriptor = file.with_name(file.name + ".lock").open("w")
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


@pytest.mark.long
async def test_a_reload_applies_secrets_and_sinks(forwarder: Forwarder, tmp_path: Path) -> None:
    await forwarder.reload(settings(tmp_path, secret="new", form="raw"))
    assert (await post(forwarder, "old"))[1] == 401
    uuid, status = await post(forwarder, "new")
    assert status == 200
    assert (await written(tmp_path / "old.ndjson", uuid))["uuid"] == uuid
    moved = tmp_path / "moved.ndjson"
    await forwarder.reload(settings(tmp_path, secret="new", file=moved))
    uuid, _ = await post(forwarder, "new", seed=2)
    assert (await written(moved, uuid))["event"]["id"] == uuid
    lock(tmp_path / "old.ndjson").close()


@pytest.mark.long
async def test_a_reload_moves_a_path(forwarder: Forwarder, tmp_path: Path) -> None:
    await forwarder.reload(settings(tmp_path, path="/elsewhere"))
    assert (await post(forwarder, "old"))[1] == 404


@pytest.mark.long
async def test_a_reload_with_a_sink_that_cannot_be_built_changes_nothing(forwarder: Forwarder, tmp_path: Path) -> None:
    taken = tmp_path / "taken.ndjson"
    with lock(taken), pytest.raises(SinkError, match="another process"):
        await forwarder.reload(settings(tmp_path, secret="new", file=taken))
    await assert_unchanged(forwarder, tmp_path)


async def assert_unchanged(forwarder: Forwarder, directory: Path) -> None:
    assert (await post(forwarder, "new"))[1] == 401
    uuid, status = await post(forwarder, "old")
    assert status == 200
    assert (await written(directory / "old.ndjson", uuid))["event"]["id"] == uuid
    assert forwarder.settings == settings(directory)


@pytest.mark.long
async def test_the_status_is_never_green_while_okta_is_refused(forwarder: Forwarder) -> None:
    async def status() -> Any:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://{forwarder.ops.address}/api/status")).json()

    assert (await status())["problems"] == []
    assert "reactions" not in await status()
    for seed in range(1, 4):
        assert (await post(forwarder, "wrong", seed))[1] == 401
    found = await status()
    assert [problem["level"] for problem in found["problems"]] == ["critical"]
    assert "3 requests to acme had no valid secret (401)" in found["problems"][0]["text"]
    assert "orgs.acme.secrets" in found["problems"][0]["hint"]
    org = found["okta"]["acme"]
    assert (org["api"], org["refused"], org["accepted_seconds_ago"], org["log"]) == (False, 3, None, None)
    assert (await post(forwarder, "old"))[1] == 200
    assert (await status())["problems"] == []


class _LaterClock(SystemClock):
    """The real clock, some seconds ahead."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


async def status_of(forwarder: Forwarder) -> Any:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://{forwarder.ops.address}/api/status")).json()


@pytest.mark.long
async def test_one_refused_request_of_okta_is_critical_and_a_stray_one_is_not(forwarder: Forwarder) -> None:
    async def shown() -> tuple[list[str], list[str]]:
        """The levels of the problems, and the refused requests in the metrics."""
        async with httpx.AsyncClient(trust_env=False, base_url=f"http://{forwarder.ops.address}") as client:
            problems = (await client.get("/api/status")).json()["problems"]
            lines = (await client.get("/metrics")).text.splitlines()
        refused = [line.partition("{")[2] for line in lines if line.startswith("forwarder_hook_refused_requests{")]
        return [problem["level"] for problem in problems], refused

    assert (await post(forwarder, "wrong"))[1] == 401
    assert await shown() == (["warning"], ['org="acme",sender="okta"} 0.0', 'org="acme",sender="other"} 1.0'])
    assert (await post(forwarder, "wrong", agent=OKTA))[1] == 401
    assert await shown() == (["critical"], ['org="acme",sender="okta"} 1.0', 'org="acme",sender="other"} 1.0'])
    assert (await post(forwarder, "old"))[1] == 200
    assert await shown() == (["warning"], ['org="acme",sender="okta"} 0.0', 'org="acme",sender="other"} 0.0'])


@pytest.mark.long
async def test_the_status_is_not_green_while_okta_posts_to_a_path_of_no_org(tmp_path: Path) -> None:
    clock = _LaterClock()
    forwarder = Forwarder(settings(tmp_path), clock)
    with structlog.testing.capture_logs():
        await forwarder.start()
        await forwarder.reload(settings(tmp_path, path="/elsewhere"))
        assert (await post(forwarder, "old"))[1] == 404
        assert (await status_of(forwarder))["problems"] == []
        assert (await post(forwarder, "old", agent=OKTA))[1] == 404
        clock.ahead = 15.0
        (problem,) = (await status_of(forwarder))["problems"]
        await forwarder.stop(grace=5)
    assert (problem["level"], problem["runbook"]) == ("critical", "ForwarderPathUnknown")


@pytest.mark.long
async def test_an_org_without_a_hook_is_not_refused_at_the_path_of_another(tmp_path: Path) -> None:
    polled = {"url": "http://127.0.0.1:9", "api": {"token": "x" * 40}}
    forwarder = Forwarder(settings(tmp_path, orgs={"polled": polled}), SystemClock())
    with structlog.testing.capture_logs():
        await forwarder.start()
        for _ in range(3):
            assert (await post(forwarder, "wrong"))[1] == 401
        async with httpx.AsyncClient(trust_env=False) as client:
            orgs = (await client.get(f"http://{forwarder.ops.address}/api/status")).json()["okta"]
        await forwarder.stop(grace=5)
    assert {name: org["refused"] for name, org in orgs.items()} == {"acme": 3, "polled": 0}


@pytest.mark.long
async def test_the_disk_of_a_store_whose_folder_is_gone_is_not_reported_as_full(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    forwarder = Forwarder(settings(folder, file=tmp_path / "out.ndjson"), SystemClock())
    with structlog.testing.capture_logs():
        await forwarder.start()
        folder.rename(tmp_path / "moved")
        async with httpx.AsyncClient(trust_env=False, base_url=f"http://{forwarder.ops.address}") as client:
            lines = (await client.get("/metrics")).text.splitlines()
            problems = (await client.get("/api/status")).json()["problems"]
        (tmp_path / "moved").rename(folder)
        await forwarder.stop(grace=5)
    disk = [line for line in lines if line.startswith("forwarder_store_disk_")]
    assert disk == ["forwarder_store_disk_bytes NaN", "forwarder_store_disk_free_bytes NaN"]
    assert "ForwarderDiskFilling" not in [problem["runbook"] for problem in problems]


@pytest.mark.long
async def test_the_status_is_not_green_while_a_sender_with_the_secret_posts_no_events(tmp_path: Path) -> None:
    clock = _LaterClock()
    forwarder = Forwarder(settings(tmp_path), clock)
    with structlog.testing.capture_logs():
        await forwarder.start()
        try:
            assert (await forwarder.status.gather())["problems"] == []
            async with httpx.AsyncClient(trust_env=False) as client:
                url = f"http://{forwarder.server.address}/okta/events"
                answer = await client.post(url, content=b"[]", headers={"Authorization": "old"})
            assert answer.status_code == 400
            clock.ahead = 15.0
            (problem,) = (await forwarder.status.gather())["problems"]
        finally:
            await forwarder.stop(grace=0)
    assert problem["text"].startswith("1 request with the secret of acme could not be read")
    assert problem["runbook"] == "ForwarderUnreadableRequests"


@pytest.mark.long
async def test_a_malformed_event_is_a_problem_until_it_is_discarded(forwarder: Forwarder) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"Authorization": "old", "Content-Type": "application/json"}
        url = f"http://{forwarder.server.address}/okta/events"
        assert (await client.post(url, content=envelope([b'{"no": "event"}']), headers=headers)).is_success
    (problem,) = (await forwarder.status.gather())["problems"]
    assert problem["text"] == "1 malformed event came from Okta; dead letters keep it"
    await forwarder.store.discard(DeadLetterSelection(sink="receiver"))
    assert (await forwarder.status.gather())["problems"] == []
    await forwarder.status.refresh_gauges()
    held = forwarder.metrics.registry.get_sample_value("forwarder_dead_letters", {"sink": "receiver"})
    assert held == 0


def damage(file: Path, table: str) -> None:
    """Overwrite the first page of a table or an index, as a bad disk does."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * size)
        damaged.write(b"\xff" * size)


@pytest.mark.long
@pytest.mark.parametrize("table", ["dead_letters_by_state", "positions", "counters", "events", "orgs"])
async def test_a_damaged_table_leaves_metrics_status_and_readiness_answered(tmp_path: Path, table: str) -> None:
    file = tmp_path / "store.db"
    forwarder = Forwarder(settings(tmp_path), SystemClock())
    with structlog.testing.capture_logs() as lines:
        await forwarder.start()
        try:
            # In another process: closing the file here would drop SQLite's locks. Then a commit, so that it is read again.
            code = f"from pathlib import Path; from tests.integration.test_app import damage; damage(Path({str(file)!r}), {table!r})"
            await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=True)
            _, status = await post(forwarder, "old")
            async with httpx.AsyncClient(trust_env=False, base_url=f"http://{forwarder.ops.address}") as client:
                answers = {
                    path: await client.get(path) for path in ("/metrics", "/api/status", "/readyz", "/livez", "/")
                }
        finally:
            await forwarder.stop(grace=0)
    codes = {path: answer.status_code for path, answer in answers.items()}
    ready = codes.pop("/readyz") == 200
    assert ready == (status == 200)  # a test write that does not meet the damage says nothing
    assert set(codes.values()) == {200}
    assert f"forwarder_ready {float(ready)}" in answers["/metrics"].text
    if table != "dead_letters_by_state":
        return  # the commit may have written the page again, from memory
    assert ready
    problem = answers["/api/status"].json()["problems"][0]
    assert problem["level"] == "critical"
    assert "cannot be" in problem["text"]
    assert "is damaged" in problem["text"]
    assert "store_unreadable" in [line["action"] for line in lines]


@pytest.mark.long
async def test_a_removed_sink_with_waiting_events_is_warned_of_at_the_start(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        forwarder = Forwarder(settings(tmp_path, file=tmp_path), SystemClock())  # a folder: it cannot be written
        await forwarder.start()
        await post(forwarder, "old")
        await forwarder.stop(grace=0)
        renamed = settings(tmp_path)
        renamed.sinks["renamed"] = renamed.sinks.pop("archive")
        forwarder = Forwarder(renamed, SystemClock())
        await forwarder.start()
        await forwarder.stop(grace=0)
    (line,) = [line for line in lines if line["action"] == "sink_removed"]
    assert (line["sink"], line["waiting"]) == ("archive", 1)
    assert "forwarder forget-sink" in line["event"]


async def get(forwarder: Forwarder, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://{forwarder.ops.address}{path}")


@pytest.mark.long
@pytest.mark.parametrize("change", NAMED_CHANGES)
async def test_a_removed_store_file_is_answered_503_within_two_seconds_and_nothing_acknowledged_later_is_lost(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    store = tmp_path / "state" / "store.db"
    store.parent.mkdir()
    config = settings(store.parent, file=tmp_path)  # a folder: the sink cannot write
    with structlog.testing.capture_logs() as lines:
        forwarder = Forwarder(config, SystemClock())
        await forwarder.start()
        for seed in range(5):
            assert (await post(forwarder, "old", seed))[1] == 200
        change(store)
        later = [await post(forwarder, "old", seed) for seed in range(10, 15)]
        async with asyncio.timeout(2):
            while (await get(forwarder, "/readyz")).status_code != 503:
                await asyncio.sleep(0.02)
        assert (await post(forwarder, "old", 20))[1] == 503
        page = (await get(forwarder, "/api/status")).json()
        assert "store.path" in page["problems"][0]["text"]
        assert (await get(forwarder, "/metrics")).status_code == 200
        await forwarder.stop(grace=0)
    (line,) = [line for line in lines if line["action"] == "store_unready"]
    assert line["log_level"] == "error"
    assert f"{store} (store.path)" in line["reason"]
    acknowledged = [uuid for uuid, status in later if status == 200]
    if not store.parent.exists():
        store.parent.mkdir()
    try:
        async with opened(store, sinks=("archive",)) as next_start:
            held = await view(next_start, "archive").read(0, limit=99, max_bytes=10**9)
    except StoreFormatError:  # it was truncated; the start refuses it
        held = []
    assert {*acknowledged} <= {one.event.uuid for one in held}


@pytest.mark.long
async def test_a_damaged_index_of_the_dead_letters_leaves_delivery_going(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        forwarder = Forwarder(settings(tmp_path), SystemClock())
        await forwarder.start()
        await forwarder.stop(grace=5)
        damage(tmp_path / "store.db", "dead_letters_by_state")
        forwarder = Forwarder(settings(tmp_path), SystemClock())
        await forwarder.start()
        uuid, status = await post(forwarder, "old")
        assert status == 200
        assert await written(tmp_path / "old.ndjson", uuid)
        await forwarder.stop(grace=5)
    (line,) = [line for line in lines if line["action"] == "replay_failed"]
    assert "is damaged" in line["error"]


@pytest.mark.long
@pytest.mark.parametrize("key", ["receiver", "ops"])
async def test_a_port_in_use_is_named_with_its_key(forwarder: Forwarder, tmp_path: Path, key: str) -> None:
    taken = {"receiver": forwarder.server, "ops": forwarder.ops}[key].address
    other = tmp_path / "other"
    other.mkdir()
    free = settings(other)
    section = getattr(free, key).model_copy(update={"listen": taken})
    second = Forwarder(free.model_copy(update={key: section}), SystemClock())
    with pytest.raises(SettingsError, match=rf"{key}\.listen: cannot listen on {taken}: Address already in use"):
        await second.start()


@pytest.fixture
def _threads_take_turns_as_in_the_product() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    yield
    sys.setswitchinterval(before)


@pytest.mark.long
async def test_an_upgrade_of_the_installed_package_leaves_the_status_of_the_running_version(
    forwarder: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    running = metadata.version("okta-forwarder")
    monkeypatch.setattr(metadata, "distribution", removed)
    assert (await forwarder.status.gather())["version"] == running


@pytest.mark.long
@pytest.mark.usefixtures("_threads_take_turns_as_in_the_product")
async def test_a_scrape_of_a_thousand_series_leaves_the_event_loop_free(forwarder: Forwarder) -> None:
    for number in range(1000):
        forwarder.metrics.events_received.labels("acme", "hook", f"type {number}").inc()
    pauses = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(5):
            scrape = asyncio.create_task(client.get(f"http://{forwarder.ops.address}/metrics"))
            longest = 0.0
            while not scrape.done():
                before = time.process_time()  # of all threads: other programs of the machine do not count
                await asyncio.sleep(0)
                longest = max(longest, time.process_time() - before)
            assert scrape.result().text.count("\n") > 1000
            pauses.append(longest)
    assert min(pauses) < 0.02


@pytest.mark.long
async def test_open_connections_are_measured_by_listener(forwarder: Forwarder) -> None:
    def connections(listener: str) -> float | None:
        labels = {"listener": listener}
        return forwarder.metrics.registry.get_sample_value("forwarder_connections", labels)

    assert [connections(listener) for listener in ("receiver", "ops")] == [0, 0]
    address = forwarder.server.address
    _, writer = await asyncio.open_connection(address.host, address.port)
    async with asyncio.timeout(5):
        while connections("receiver") != 1:
            await asyncio.sleep(0.01)
    writer.close()
    assert connections("ops") == 0


@pytest.mark.long
def test_the_libraries_of_what_is_not_configured_are_not_loaded() -> None:
    unwanted = "{'elasticsearch', 'elastic_transport', 'urllib3', 'grpc', 'opentelemetry', 'okta', 'aiohttp', 'faker'}"
    code = f"import sys, forwarder.forwarder_process; print(sorted({unwanted} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.long
async def test_a_reload_exchanges_the_token_of_the_page(forwarder: Forwarder, tmp_path: Path) -> None:
    async def status(token: str) -> int:
        far = {"X-Forwarded-For": "192.0.2.1", "Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://{forwarder.ops.address}/api/status", headers=far)).status_code

    assert await status("first") == 401
    for token, other in (("first", "second"), ("second", "first")):
        new = settings(tmp_path)
        ops = new.ops.model_copy(update={"token": Secret(token)})
        with structlog.testing.capture_logs() as lines:
            await forwarder.reload(new.model_copy(update={"ops": ops}))
        assert [line["action"] for line in lines] == ["reloaded"]
        assert (await status(token), await status(other)) == (200, 401)


@pytest.mark.long
async def test_two_replays_to_one_sink_at_once_are_refused(forwarder: Forwarder, tmp_path: Path) -> None:
    for seed in range(1, 4):
        await post(forwarder, "old", seed)
    # A replay leaves out the events that still wait for the sink.
    ledger = open_commands(forwarder.settings.store, SystemClock()).ledger
    await until(lambda: ledger().sinks["archive"].delivered == 3)
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    everything = RedeliverRequest("archive", Range(0, 1 << 62), rate=0.5)

    def replay(on_progress: Callable[[Any], object]) -> Any:
        return ask(tmp_path / "store.db", everything, on_progress, timeout=None)

    first = asyncio.create_task(asyncio.to_thread(replay, lambda _: loop.call_soon_threadsafe(started.set)))
    await asyncio.wait_for(started.wait(), 10)
    with pytest.raises(StoreError, match="another replay to the sink archive is running"):
        await asyncio.to_thread(replay, lambda _: None)
    assert (await asyncio.wait_for(first, 30)).taken == 3
