import asyncio
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from forwarder.store.sqlite import schema
from tests.child_processes import child
from tests.integration.store.helpers import commands, opened, view

_WRITER = """
import asyncio, sys
from pathlib import Path
from forwarder.core.ports import Batch, Settlement
from tests.integration.store.helpers import attach, event, opened, settle, view

async def produce(store):
    while True:
        one = event(size=3000)
        await store.append(Batch([one]), timeout=10)
        print(one.uuid, flush=True)

async def main():
    async with opened(Path(sys.argv[1])) as store:
        position = (await attach(store, {"siem": "oldest"}))["siem"]
        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(produce(store))
            while True:
                await view(store).wait(position, replays=0)
                batch = await view(store).read(position, limit=100, max_bytes=10**6)
                position = batch[-1].seq
                await settle(store, "siem", Settlement(position, delivered=len(batch)))

asyncio.run(main())
"""


_READER = """
import asyncio, sys
from pathlib import Path
from forwarder.core.ports import Batch
from tests.integration.store.helpers import event, logged, opened, page

async def main():
    async with opened(Path(sys.argv[1])) as store:
        number = int(await store.cursor("log:acme") or 0)
        while True:
            number += 1
            events = [logged(f"{number}-{place}", size=500) for place in range(60)]
            hooked = events[::2]
            await store.append(page(*events, expected=hooked, cursor=str(number)), timeout=10)
            await store.append(Batch([event(one.uuid) for one in hooked[::2]]), timeout=10)
            print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.long
async def test_after_a_kill_the_cursor_is_exactly_behind_the_stored_pages(path: Path) -> None:
    for kills, lines in enumerate((1, 3, 20), 1):
        with child([sys.executable, "-c", _READER, str(path)], stdout=subprocess.PIPE) as reader:
            assert reader.stdout is not None
            acknowledged = [int(reader.stdout.readline()) for _ in range(lines)]
            reader.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in reader.stdout if line.endswith(b"\n")]
        async with opened(path) as store:
            last = int(await store.cursor("log:acme") or 0)
            uuids = [stored.event.uuid for stored in await view(store).read(0, limit=10**6, max_bytes=10**9)]
        assert last >= acknowledged[-1]
        assert uuids == [f"{number}-{place}" for number in range(1, last + 1) for place in range(60)]
        never_came = commands(path).gaps().pending["acme"] - 15 * last  # a kill may keep a page's hook from coming
        assert never_came in {15 * number for number in range(kills + 1)}


@pytest.mark.long
async def test_acknowledged_events_survive_a_kill(path: Path) -> None:
    acknowledged: list[str] = []
    for lines in (1, 40, 300):
        with child([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            acknowledged += [writer.stdout.readline().decode().strip() for _ in range(lines)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += [line.decode().strip() for line in writer.stdout if line.endswith(b"\n")]
        ledger = await asyncio.to_thread(commands(path).ledger)
        assert ledger.balanced
    async with opened(path) as store:
        uuids = [stored.event.uuid for stored in await view(store).read(0, limit=10**6, max_bytes=10**9)]
        assert set(acknowledged) <= set(uuids)
        assert len(set(uuids)) == len(uuids) == (await store.ledger()).stored
    with closing(schema.connect_reader(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
