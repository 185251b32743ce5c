"""The operator's commands beside a forwarder that runs as a process and has work to do."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.okta import Sender, happenings
from tests.stack.forwarder import FORWARDER, ForwarderProcess
from tests.stack.process import free_port


@pytest.fixture
def forwarder(tmp_path: Path) -> Iterator[ForwarderProcess]:
    """A forwarder with a file sink and one that is down, which has not been started."""
    down = {"kind": "elasticsearch", "hosts": [f"http://127.0.0.1:{free_port()}"]}
    archive = {"kind": "file", "path": str(tmp_path / "one" / "events.ndjson")}
    process = ForwarderProcess(tmp_path / "one", {"archive": archive, "down": down})
    yield process
    process.kill()


def landed(forwarder: ForwarderProcess) -> list[str]:
    lines = (forwarder.directory / "events.ndjson").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["event"]["id"] for line in lines]


async def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Return when `condition` holds; fail with `what` when it does not in time."""
    for _ in range(int(seconds / 0.05)):
        if await asyncio.to_thread(condition):
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"not within {seconds} s: {what}")


async def run(forwarder: ForwarderProcess, *words: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(forwarder.run, *words)


def started(forwarder: ForwarderProcess, *words: str) -> "subprocess.Popen[str]":
    """A command that goes on, beside the forwarder."""
    return subprocess.Popen(
        [*FORWARDER, *words, "--config", str(forwarder.config)],
        cwd=forwarder.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **forwarder.environment(), "NO_PROXY": "*"},
    )


def end(process: "subprocess.Popen[str]") -> None:
    """End a command if it has not ended, and let go of it."""
    process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


async def test_a_forwarder_started_from_a_backup_misses_nothing_that_was_acknowledged_before_it(
    forwarder: ForwarderProcess, tmp_path: Path
) -> None:
    forwarder.start()
    sender = Sender(forwarder.url)
    load = asyncio.create_task(sender.load(happenings(3000), batch=10))
    await until(lambda: len(sender.acknowledged) > 300, "300 events are acknowledged")
    before = set(sender.acknowledged)
    made = json.loads((await run(forwarder, "backup", str(tmp_path / "backup.db"), "--json")).stdout)
    await load
    assert sender.answers.keys() == {200}  # nobody waited for it
    assert len(before) <= made["stored"] == made["waiting"]["down"]
    forwarder.kill()  # the machine is lost
    for file in forwarder.directory.glob("store.db*"):
        file.unlink()
    archived = set(landed(forwarder))
    (forwarder.directory / "events.ndjson").unlink()

    shutil.copy(tmp_path / "backup.db", forwarder.store)
    forwarder.start()
    after = Sender(forwarder.url)
    await after.load(happenings(10, seed=5), batch=10)
    await until(lambda: after.acknowledged <= set(landed(forwarder)), "new events are delivered")
    ledger = forwarder.ledger()
    assert ledger["balanced"]
    assert ledger["stored"] == made["stored"] + 10
    assert ledger["sinks"]["down"]["waiting"] == made["stored"] + 10
    assert before <= archived | set(landed(forwarder))  # the sink went on from its position
    forwarder.stop()
    second = tmp_path / "all.ndjson"
    forwarder.tree["sinks"] = {"second": {"kind": "file", "path": str(second)}}
    forwarder.write_config()
    forwarder.start()
    await until(lambda: forwarder.read_ledger().sinks["second"].waiting == 0, "all that is held is delivered", 60)
    held = {json.loads(line)["event"]["id"] for line in second.read_text(encoding="utf-8").splitlines()}
    assert before | after.acknowledged <= held


async def test_a_replay_that_was_killed_goes_on_and_delivers_each_event_once_more_beside_new_ones(
    forwarder: ForwarderProcess,
) -> None:
    forwarder.start()
    old = Sender(forwarder.url)
    await old.load(happenings(600), batch=50)
    await until(lambda: len(landed(forwarder)) == 600, "the old events are delivered")

    replay = started(forwarder, "replay", "--sink", "archive", "--since", "1h", "--yes", "--rate", "100/s")
    try:
        await until(lambda: len(landed(forwarder)) > 650, "some are delivered again")
        new = Sender(forwarder.url)
        await new.load(happenings(20, seed=9), batch=20)
        await until(lambda: new.acknowledged <= set(landed(forwarder)), "new ones do not wait for the replay", 5)
        assert replay.poll() is None
        forwarder.kill()
        _, errors = await asyncio.to_thread(replay.communicate, timeout=20)
    finally:
        end(replay)
    assert replay.returncode == 1
    assert "Traceback" not in errors

    forwarder.start()
    await until(lambda: forwarder.read_ledger().sinks["archive"].waiting == 0, "what was handed over is delivered", 60)
    again = await run(forwarder, "replay", "--sink", "archive", "--resume", "--json", "--rate", "5000/s")
    assert json.loads(again.stdout) == {"delivered": 600, "rejected": 0}
    ledger = forwarder.ledger()
    assert ledger["balanced"]
    assert ledger["sinks"]["archive"] == {
        "delivered": 620, "waiting": 0, "dead": 0, "discarded": 0, "skipped": 0, "filtered": 0
    }  # fmt: skip
    copies = Counter(landed(forwarder))
    assert all(copies[uuid] >= 2 for uuid in old.acknowledged)
    # A kill lets the sink send again what it had not noted as delivered: at most what was in flight.
    assert sum(copies.values()) <= 2 * 600 + 20 + 200


async def test_open_taps_show_what_comes_and_neither_they_nor_ten_pages_hold_up_a_stop(
    forwarder: ForwarderProcess,
) -> None:
    forwarder.start()
    url = f"http://127.0.0.1:{forwarder.ops_port}"
    words = [
        ("tap",),
        ("tap", "--format", "ecs"),
        ("tap", "--format", "raw", "--url", url),
        ("tap", "--limit", "2"),
        ("tap", "--for", "200ms"),
        ("tap",),  # will be interrupted
        ("tap",),  # its pipe will be closed
    ]
    taps = [started(forwarder, *each) for each in words]
    try:
        streams = [tap.stderr for tap in taps if tap.stderr]
        firsts = [await asyncio.to_thread(stream.readline) for stream in streams]
        assert set(firsts) == {"waiting for new events; Ctrl-C ends the command\n"}
        sender = Sender(forwarder.url)
        await sender.load(happenings(40), batch=10)
        piped = taps[6].stdout
        assert piped is not None
        assert json.loads(await asyncio.to_thread(piped.readline))["uuid"] in sender.acknowledged
        piped.close()
        limited, _ = await asyncio.to_thread(taps[3].communicate, timeout=20)
        assert len(limited.splitlines()) == 2
        await asyncio.to_thread(taps[4].wait, 20)
        await asyncio.to_thread(taps[6].wait, 20)  # although nothing more comes
        taps[5].send_signal(signal.SIGINT)
        interrupted, errors = await asyncio.to_thread(taps[5].communicate, timeout=20)
        assert "Traceback" not in errors
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client, AsyncExitStack() as pages:
            for _ in range(10):
                page = await pages.enter_async_context(client.stream("GET", f"{url}/api/events"))
                assert page.status_code == 200
            began = time.monotonic()
            await asyncio.to_thread(forwarder.stop)
            stopped_within = time.monotonic() - began
        followed, ecs, raw = [await asyncio.to_thread(tap.communicate, timeout=10) for tap in taps[:3]]
    finally:
        for tap in taps:
            end(tap)
    assert stopped_within < 5
    assert [tap.returncode for tap in taps] == [0] * 7
    uuids = sender.acknowledged
    assert {json.loads(line)["uuid"] for line in followed[0].splitlines()} == uuids
    assert {json.loads(line)["event"]["id"] for line in ecs[0].splitlines()} == uuids
    assert {json.loads(line)["uuid"] for line in raw[0].splitlines()} == uuids
    assert {json.loads(line)["uuid"] for line in interrupted.splitlines()} == uuids
    assert followed[1] == ecs[1] == raw[1] == "the forwarder stopped\n"
    assert sender.acknowledged <= set(landed(forwarder))
