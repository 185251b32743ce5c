"""A day of events in any order, doubled, with `kill -9` in between: the same rules alert about the same groups."""

import asyncio
import os
import time
from pathlib import Path
from random import Random

import httpx
import pytest

from forwarder.store.interface import open_commands
from forwarder.store.settings import StoreSettings
from tests.e2e.okta import HEADERS, envelope
from tests.fakes.clock import ManualClock
from tests.integration.detect.scene import pairs, shifted
from tests.stack.forwarder import ForwarderProcess
from tests.unit.rules.days import RULES, day, expected

KILLS = int(os.environ.get("FORWARDER_CHAOS_KILLS", "0")) or 3

pytestmark = pytest.mark.timeout(300 + 30 * KILLS)


async def test_kills_change_neither_rules_nor_groups_that_alert(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    seed = int(os.environ.get("FORWARDER_CHAOS_SEED", str(time.time_ns() % 10_000)))
    chance = Random(seed)
    events = shifted(day(seed, 240))
    mixed = [*events, *chance.sample(events, 60)]
    chance.shuffle(mixed)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "rules.yml").write_text(RULES)
    forwarder = ForwarderProcess(
        tmp_path / "forwarder",
        {"archive": {"kind": "file", "path": str(tmp_path / "events.ndjson")}},
        {"rules": {"files": [str(tmp_path / "rules")]}},
    )
    request.addfinalizer(forwarder.kill)
    await asyncio.to_thread(forwarder.start)
    envelopes = [mixed[first : first + 10] for first in range(0, len(mixed), 10)]
    kills = set(chance.sample(range(len(envelopes)), KILLS))
    async with httpx.AsyncClient(trust_env=False) as client:
        for number, part in enumerate(envelopes):
            body = envelope([event.body for event in part])
            response = await client.post(forwarder.url, content=body, headers=HEADERS)
            assert response.status_code == 200
            if number in kills:
                await asyncio.sleep(chance.uniform(0, 0.3))
                await asyncio.to_thread(forwarder.kill)
                await asyncio.to_thread(forwarder.start)
    store = open_commands(StoreSettings(path=forwarder.store), ManualClock())
    wanted = expected(events)
    for _ in range(300):
        found = [stored.event for stored in store.alerts(0)]
        if pairs(found) >= wanted:
            break
        await asyncio.sleep(0.1)
    assert pairs(found) == wanted, f"seed {seed}"
    assert len({alert.uuid for alert in found}) == len(found)
    assert store.ledger().balanced
    await asyncio.to_thread(forwarder.stop)
    report = forwarder.run("rules", "replay", "--since", "2d").stdout
    assert "; the store has" not in report, report
