"""SIGTERM while pages and tails are open: the forwarder stops in time and loses nothing."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.okta import Sender, happenings
from tests.integration.ops.helpers import Tail
from tests.stack.forwarder import ForwarderProcess

pytestmark = pytest.mark.slow

PAGES, TAILS = 10, 3
GRACE = 5.0
"""The default of `receiver.grace`, and of the ops listener."""


async def test_ten_pages_and_three_tails_do_not_hold_up_the_stop(tmp_path: Path) -> None:
    archive = tmp_path / "archive.ndjson"
    forwarder = ForwarderProcess(
        tmp_path / "forwarder", {"archive": {"kind": "file", "path": str(archive), "format": "raw"}}
    )
    await asyncio.to_thread(forwarder.start)
    sender = Sender(forwarder.url)
    try:
        async with AsyncExitStack() as streams, httpx.AsyncClient(trust_env=False) as client:
            base = f"127.0.0.1:{forwarder.ops_port}"
            pages = [await streams.enter_async_context(Tail.open(base, "since=-50")) for _ in range(PAGES)]
            tails = [await streams.enter_async_context(Tail.open(base, "status=false&view=raw")) for _ in range(TAILS)]
            for event in happenings(200, seed=11):
                assert await sender.post(client, [event]) == 200
            for tail in (*pages, *tails):
                await tail.next("event")
            began = time.monotonic()
            await asyncio.to_thread(forwarder.stop)
            took = time.monotonic() - began
            for tail in (*pages, *tails):
                assert await tail.ended()
    finally:
        await asyncio.to_thread(forwarder.kill)
    assert took < GRACE
    log = forwarder.log.read_text()
    assert "Traceback" not in log
    assert "requests_cancelled" not in log
    ledger = forwarder.ledger()
    assert ledger["stored"] == len(sender.acknowledged) == 200
    assert ledger["balanced"]
    written = archive.read_text()
    assert all(uuid in written for uuid in sender.acknowledged)
