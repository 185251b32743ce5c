"""What was acknowledged survives `kill -9` at any moment, and is in Elasticsearch once."""

import asyncio
import json
import os
import random
import time
from pathlib import Path

import pytest

from tests.e2e.okta import Sender, happenings
from tests.e2e.streams import Stream
from tests.e2e.test_pipeline import drained
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.forwarder import ForwarderProcess

SECONDS = float(os.environ.get("FORWARDER_CHAOS_SECONDS", "20"))
KILLS = int(os.environ.get("FORWARDER_CHAOS_KILLS", "0"))
"""Go on until there were so many, however long it takes; 0 leaves it to the seconds."""

pytestmark = [pytest.mark.real, pytest.mark.timeout(240 + SECONDS + 5 * KILLS)]


async def test_what_was_acknowledged_survives_kill_9_at_random_moments(
    tmp_path: Path, elasticsearch: Elasticsearch, request: pytest.FixtureRequest
) -> None:
    seed = int(os.environ.get("FORWARDER_CHAOS_SEED", str(time.time_ns())))
    chance = random.Random(seed)
    stream = Stream(elasticsearch)
    stream.template(message="keyword")
    forwarder = ForwarderProcess(
        tmp_path / "forwarder",
        {
            "siem": {"kind": "elasticsearch", "hosts": [elasticsearch.url], "namespace": stream.namespace},
            "archive": {"kind": "file", "path": str(tmp_path / "events.ndjson"), "format": "raw"},
        },
    )
    request.addfinalizer(forwarder.kill)
    forwarder.start()
    sender = Sender(forwarder.url)
    again = asyncio.Event()

    async def wait() -> None:
        await asyncio.sleep(0.05)

    async def load() -> None:
        number = 0
        while not again.is_set():
            number += 1
            await sender.load(happenings(500, seed=number), batch=5, lanes=4, again=wait)

    loading = asyncio.create_task(load())
    kills, deadline = 0, time.monotonic() + SECONDS
    while (kills < KILLS) if KILLS else (time.monotonic() < deadline):
        await asyncio.sleep(chance.uniform(0, 0.6))
        await asyncio.to_thread(forwarder.kill)
        kills += 1
        await asyncio.to_thread(forwarder.start)
    again.set()
    await loading
    ledger = await drained(forwarder, 180)
    ids = await asyncio.to_thread(stream.ids)
    lost = sender.acknowledged - set(ids)
    told = f"seed {seed}, {kills} kills, {len(sender.acknowledged)} acknowledged, {ledger}"
    print(told)
    assert not lost, told
    assert len(ids) == len(set(ids)), told
    assert ledger["stored"] == len(ids), told
    with (tmp_path / "events.ndjson").open() as lines:
        assert sender.acknowledged <= {json.loads(line)["uuid"] for line in lines}, told
    forwarder.stop()
