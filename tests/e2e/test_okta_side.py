"""The System Log and the store agree, event by event, whatever the hooks, the API and the forwarder suffer."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from forwarder.store.sqlite.encoded_uuid import decode_uuid
from tests.e2e.okta import envelope, happenings
from tests.stack.emulator import TOKEN, EmulatorProcess
from tests.stack.forwarder import SECRET, ForwarderProcess
from tests.stack.process import ServerProcess

POLL, GRACE = 1.0, 3.0
"""Seconds."""

STARTED: list[ServerProcess] = []

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    """Whatever a test started ends with it, also where it fails."""
    yield
    while STARTED:
        STARTED.pop().kill()


@pytest.fixture
def okta(tmp_path: Path) -> Iterator[EmulatorProcess]:
    emulator = EmulatorProcess(tmp_path / "okta")
    emulator.start()
    yield emulator
    emulator.stop()


def org(emulator: EmulatorProcess, **more: Any) -> dict[str, Any]:
    """An org that the forwarder polls."""
    return {"secrets": [SECRET], "url": emulator.url, "api": {"token": TOKEN}, **more}


def made(directory: Path, orgs: dict[str, Any], **sections: Any) -> ForwarderProcess:
    """A forwarder that polls every second; each org without a `hook` of `None` has one at its path."""
    sink = {"kind": "file", "path": str(directory / "events.ndjson"), "format": "raw"}
    reconcile = {"poll": f"{POLL:g}s", "grace": f"{GRACE:g}s", "rate_share": 1.0}
    forwarder = ForwarderProcess(directory, {"archive": sink}, {"reconcile": reconcile, **sections})
    for settings in orgs.values():
        if settings.get("hook", "") is None:
            del settings["hook"]
        elif "api" in settings:
            path = settings.get("path", "/okta/events")
            settings["hook"] = {"uri": f"http://127.0.0.1:{forwarder.port}{path}", "check_interval": "1s"}
    STARTED.append(forwarder)
    forwarder.tree["orgs"] = orgs
    forwarder.write_config()
    return forwarder


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> float:
    """Seconds until `condition` held."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - started


def stored(forwarder: ForwarderProcess) -> int:
    """Events ever stored."""
    return forwarder.read_ledger().stored


def gaps(forwarder: ForwarderProcess, *words: str) -> list[dict[str, Any]]:
    """The missed events."""
    found: list[dict[str, Any]] = json.loads(forwarder.run("gaps", "--json", *words, expect=None).stdout)["events"]
    return found


def landed(forwarder: ForwarderProcess) -> list[str]:
    """The uuid of every line in the file."""
    with (forwarder.directory / "events.ndjson").open() as lines:
        return [json.loads(line)["uuid"] for line in lines]


def came_by_hook(forwarder: ForwarderProcess) -> set[str]:
    """Uuids of events that a hook brought, before the System Log or after it."""
    brought = "SELECT uuid FROM events WHERE via = 'hook' UNION SELECT uuid FROM known WHERE hook_copies > 0"
    with contextlib.closing(sqlite3.connect(f"file:{forwarder.store}?mode=ro", uri=True)) as db:
        return {decode_uuid(uuid) for (uuid,) in db.execute(brought)}


def metric(forwarder: ForwarderProcess, name: str, **labels: str) -> float:
    """One series of the scrape."""
    text = httpx.get(f"http://127.0.0.1:{forwarder.ops_port}/metrics").text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    raise AssertionError(f"no {name} with {labels}")


async def post(url: str, secret: str, events: Iterable[tuple[str, bytes]]) -> None:
    """Post all of `events` at once; they are taken."""
    async with httpx.AsyncClient(trust_env=False) as client:
        body = envelope(body for _, body in events)
        assert (await client.post(url, content=body, headers={"Authorization": secret})).status_code == 200


def all_landed(forwarder: ForwarderProcess) -> None:
    """Wait until the sink has all that is stored."""
    until(lambda: forwarder.read_ledger().sinks["archive"].waiting == 0, "the file sink has taken everything")


def hook_verified(forwarder: ForwarderProcess) -> bool:
    """Whether the forwarder knows by now that Okta sends to its hook."""
    with contextlib.suppress(AssertionError):  # no series before the first answer
        return metric(forwarder, "forwarder_hook_verified", org="acme") == 1
    return False


@contextlib.contextmanager
def load(okta: EmulatorProcess) -> Iterator[None]:
    """Events happen, a few hundred a second, as long as this runs."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(0.05):
            okta.emit(20)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def reload(forwarder: ForwarderProcess) -> None:
    """Bring the configuration into force."""
    forwarder.write_config()
    os.kill(forwarder.pid, signal.SIGHUP)


def posted(forwarder: ForwarderProcess, more: int) -> None:
    """Wait until so many more POSTs were answered 200."""
    name, labels = "forwarder_hook_requests_total", {"org": "acme", "code": "200"}
    wanted = metric(forwarder, name, **labels) + more
    until(lambda: metric(forwarder, name, **labels) >= wanted, "POSTs go on")


def agree(forwarder: ForwarderProcess, okta: EmulatorProcess) -> None:
    """The store holds every event of the System Log, each once, and nothing else."""
    until(lambda: stored(forwarder) == len(okta.system_log()), "every event of the System Log is stored", 90)
    all_landed(forwarder)
    with contextlib.closing(sqlite3.connect(f"file:{forwarder.store}?mode=ro", uri=True)) as db:
        held = [decode_uuid(uuid) for (uuid,) in db.execute("SELECT uuid FROM events")]
    assert sorted(held) == sorted(okta.system_log())
    assert set(landed(forwarder)) == set(held)


def test_every_event_is_stored_once_though_hooks_drop_double_and_delay_and_the_forwarder_is_killed(
    okta: EmulatorProcess, tmp_path: Path
) -> None:
    forwarder = made(tmp_path / "forwarder", {"acme": org(okta)})
    forwarder.start()
    forwarder.run("hooks", "sync")
    until(lambda: hook_verified(forwarder), "the watch has seen the hook")
    okta.set_faults(drop=0.3, duplicate=0.2, reorder=True, delay=0.2)
    chance = random.Random(5)
    for _ in range(5):
        okta.emit(200)
        time.sleep(chance.uniform(0.1, 1.5))
        forwarder.kill()
        okta.emit(50)
        forwarder.start()
    okta.emit(200)
    happened = set(okta.ledger()["events"])
    took = until(lambda: stored(forwarder) >= len(happened), "every event is stored")
    assert took < 2 * POLL + 3, "within two polls, and what the commands take"
    until(okta.settled, "Okta has sent or given up everything")
    agree(forwarder, okta)

    # Okta takes for dropped what was committed a moment before a kill, because its POST was not answered any more.
    dropped = set(next(iter(okta.ledger()["hooks"].values()))["dropped"])
    missed = dropped - came_by_hook(forwarder)

    def told() -> set[str]:
        return {gap["uuid"] for gap in gaps(forwarder)}

    with contextlib.suppress(AssertionError):
        until(lambda: told() == missed, "what was really dropped is missed", 2 * POLL + GRACE + 30)
    assert told() == missed
    assert len(missed) > 0.2 * len(happened)


def test_a_system_log_that_fails_in_every_way_loses_and_doubles_nothing(okta: EmulatorProcess, tmp_path: Path) -> None:
    forwarder = made(tmp_path / "forwarder", {"acme": org(okta, hook=None)})
    forwarder.start()
    for faults in (
        {"rate_limited": 0.5},
        {"concurrency_limited": 0.5},
        {"server_error": 0.5},
        {"no_response": 0.3},
        {"cursor_expired": 0.5},
    ):
        okta.set_faults(log=faults)
        for _ in range(4):
            okta.emit(150)
            time.sleep(POLL / 2)
    okta.set_faults()
    agree(forwarder, okta)


def test_two_orgs_with_the_same_uuid_are_kept_apart(okta: EmulatorProcess, tmp_path: Path) -> None:
    other = EmulatorProcess(tmp_path / "okta", name="the other org")
    other.start()
    STARTED.append(other)
    orgs = {"acme": org(okta), "emea": org(other, path="/okta/emea", secrets=["the-other-secret"])}
    forwarder = made(tmp_path / "forwarder", orgs)
    forwarder.start()
    for name in orgs:
        forwarder.run("hooks", "sync", "--org", name)
    okta.emit(40)
    other.emit(60)
    until(lambda: stored(forwarder) >= 100, "the events of both")
    same = list(happenings(10))
    asyncio.run(post(forwarder.url, SECRET, same))
    asyncio.run(post(forwarder.url.replace("/events", "/emea"), "the-other-secret", same))
    all_landed(forwarder)
    copies = Counter(landed(forwarder))
    assert [copies[uuid] for uuid, _ in same] == [2] * 10


def test_the_secret_is_rotated_under_load_without_a_401_and_without_a_loss(
    okta: EmulatorProcess, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text(SECRET)
    new.write_text("the-new-secret")
    forwarder = made(tmp_path / "forwarder", {"acme": org(okta, secrets=[{"file": str(old)}])})
    forwarder.start()
    forwarder.run("hooks", "sync")
    acme = forwarder.tree["orgs"]["acme"]
    with load(okta):
        acme["secrets"] = [{"file": str(old)}, {"file": str(new)}]
        reload(forwarder)
        forwarder.run("hooks", "sync", "--resend-secret")
        posted(forwarder, 20)  # those that were on their way with the old secret are in
        acme["secrets"] = [{"file": str(new)}]
        reload(forwarder)
        posted(forwarder, 20)
    agree(forwarder, okta)
    assert metric(forwarder, "forwarder_hook_requests_total", org="acme", code="401") == 0
    assert gaps(forwarder) == []


def test_a_forwarder_that_polls_holds_at_most_200_mb(okta: EmulatorProcess, tmp_path: Path) -> None:
    forwarder = made(tmp_path / "forwarder", {"acme": org(okta)})
    forwarder.start()
    okta.emit(500)
    until(lambda: stored(forwarder) >= 500, "it has polled")
    status = Path(f"/proc/{forwarder.pid}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) * 1024
    assert resident <= 200e6


def test_a_forwarder_without_api_credentials_never_imports_the_sdk(tmp_path: Path) -> None:
    forwarder = made(tmp_path / "forwarder", {"acme": {"secrets": [SECRET]}})
    forwarder.start()
    asyncio.run(post(forwarder.url, SECRET, happenings(10)))
    libraries = Path(f"/proc/{forwarder.pid}/maps").read_text()
    assert "msgspec" in libraries
    assert "aiohttp" not in libraries
