import asyncio
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from forwarder.store import schema
from forwarder.store.ledger import read_ledger
from tests.unit.store.samples import opened

_WRITER = """
import asyncio, sys
from pathlib import Path
from forwarder.core.ports import Settlement
from tests.unit.store.samples import event, opened

async def produce(store):
    while True:
        one = event(size=3000)
        await store.append([one], timeout=10)
        print(one.uuid, flush=True)

async def main():
    async with opened(Path(sys.argv[1])) as store:
        position = (await store.attach({"siem": "oldest"}))["siem"]
        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(produce(store))
            while True:
                await store.wait(position, replays=0)
                batch = await store.read(position, limit=100, max_bytes=10**6)
                position = batch[-1].seq
                await store.settle(Settlement("siem", position, delivered=len(batch)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_before_a_kill_is_there_after_it(path: Path) -> None:
    acknowledged: list[str] = []
    for lines in (1, 40, 300):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            acknowledged += [writer.stdout.readline().decode().strip() for _ in range(lines)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += [line.decode().strip() for line in writer.stdout if line.endswith(b"\n")]
        ledger = await asyncio.to_thread(read_ledger, path)
        assert ledger.balanced
    async with opened(path) as store:
        uuids = [stored.event.uuid for stored in await store.read(0, limit=10**6, max_bytes=10**9)]
        assert set(acknowledged) <= set(uuids)
        assert len(set(uuids)) == len(uuids) == (await store.ledger()).stored
    with closing(schema.connect_reader(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
