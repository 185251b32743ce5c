"""The operator's commands beside a forwarder that runs as a process and has work to do."""

import asyncio
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

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
    await until(
        lambda: forwarder.ledger()["sinks"]["second"]["waiting"] == 0, "all that is held is delivered"
    )
    held = {json.loads(line)["event"]["id"] for line in second.read_text(encoding="utf-8").splitlines()}
    assert before | after.acknowledged <= held


async def test_a_replay_that_was_killed_goes_on_and_delivers_each_event_once_more_beside_new_ones(
    forwarder: ForwarderProcess,
) -> None:
    forwarder.start()
    old = Sender(forwarder.url)
    await old.load(happenings(600), batch=50)
    await until(lambda: len(landed(forwarder)) == 600, "the old events are delivered")

    replay = subprocess.Popen(
        [
            *FORWARDER,
            "replay",
            "--sink",
            "archive",
            "--since",
            "1h",
            "--yes",
            "--rate",
            "100/s",
            "-c",
            forwarder.config,
        ],
        cwd=forwarder.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **forwarder.environment()},
    )
    try:
        await until(lambda: len(landed(forwarder)) > 650, "some are delivered again")
        new = Sender(forwarder.url)
        await new.load(happenings(20, seed=9), batch=20)
        await until(
            lambda: new.acknowledged <= set(landed(forwarder)), "new ones do not wait for the replay", 5
        )
        assert replay.poll() is None
        forwarder.kill()
        output, _ = await asyncio.to_thread(replay.communicate, timeout=20)
    finally:
        replay.kill()
    assert replay.returncode == 1
    assert "Traceback" not in output

    forwarder.start()
    await until(
        lambda: forwarder.ledger()["sinks"]["archive"]["waiting"] == 0, "what was handed over is delivered"
    )
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
