"""A fuzzer of the receiver, over a real socket: no 5xx, no hang, nothing lost, nothing kept.

`FORWARDER_FUZZ_SECONDS` says for how long (5; 60 where `CI` is set), `FORWARDER_FUZZ_SEED` where to begin.
"""

import asyncio
import gc
import os
import re
from pathlib import Path
from random import Random

import pytest

from forwarder.clock import SystemClock
from forwarder.core.ports import Appended, Batch
from forwarder.core.time import Micros
from tests.fuzz.cases import SECRET, Case, case
from tests.integration.receive.helpers import Listening, envelope, event, listening, org, post

SECONDS = float(os.environ.get("FORWARDER_FUZZ_SECONDS") or (60 if os.environ.get("CI") else 5))
SEED = int(os.environ.get("FORWARDER_FUZZ_SEED") or Random().randrange(10**9))
STATUSES = {100, 200, 400, 401, 404, 405, 408, 413, 414, 415, 431, 501, 505}
AT_ONCE = 8
MOST_GROWTH = 48 * 2**20  # bytes of memory; a bomb or a body that is kept would be more within seconds

_STATUS_LINE = re.compile(rb"(?:^|\r\n\r\n)HTTP/1\.1 (\d{3}) ")


class Forgetful:
    """An `EventStore` that remembers only the events of the current cases."""

    def __init__(self) -> None:
        self.uuids: set[str] = set()

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        await asyncio.sleep(0)
        self.uuids |= {event.uuid for event in batch.events}
        return Appended(batch.events, 0)

    async def cursor(self, name: str) -> str | None:
        raise NotImplementedError

    async def cursors_with(self, prefix: str) -> dict[str, str]:
        raise NotImplementedError

    async def mark_missed(self, org: str, before: Micros) -> int:
        raise NotImplementedError


async def play(served: Listening, played: Case) -> list[int]:
    """Send a case, end our side, and read until the server ends its own; the statuses that it answered."""
    async with await served.connect() as client:
        said = asyncio.ensure_future(client.ended())  # reading while writing, as any client does
        try:
            for piece in played.pieces:
                client.send(piece)
                await client.writer.drain()
                await asyncio.sleep(0)
            client.writer.write_eof()
        except OSError:
            pass  # it was refused before it was all sent
        return [int(status) for status in _STATUS_LINE.findall(await said)]


async def check(served: Listening, intake: Forgetful, seed: int) -> None:
    """Play the case of a seed and judge what came of it."""
    played = case(seed)
    statuses = await play(served, played)
    assert set(statuses) <= STATUSES, statuses
    if played.sound:
        assert [status for status in statuses if status != 100] == [200], statuses
        assert played.uuids <= intake.uuids
    intake.uuids -= {uuid for uuid in intake.uuids if uuid.startswith(f"{seed}-")}


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(SECONDS + 60)
async def test_nothing_that_can_be_sent_breaks_the_receiver() -> None:
    intake = Forgetful()
    loop = asyncio.get_running_loop()
    orgs = {"acme": org(secrets=[SECRET])}
    async with listening(intake, orgs, SystemClock(), max_body="1MiB") as served:
        seeds = iter(range(SEED, SEED + 10**12))
        until = loop.time() + 1

        async def work() -> None:
            for seed in seeds:
                if loop.time() > until:
                    return
                try:
                    await check(served, intake, seed)
                except BaseException as error:
                    error.add_note(f"case({seed}), of a run from FORWARDER_FUZZ_SEED={SEED}")
                    raise

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))  # once, so that everything lazy is there
        before = resident()
        until = loop.time() + SECONDS
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        assert (await served.ask(post(envelope(event("last")), secret=SECRET))).status == 200
        assert "last" in intake.uuids
        for name in ("acme", ""):  # also where the client had gone and did not hear it
            assert served.value("hook_requests_total", org=name, code="503") == 0
        while served.limiter.connections:
            await asyncio.sleep(0)
        assert resident() - before < MOST_GROWTH
        print(f"{next(seeds) - SEED} cases from seed {SEED}")  # visible with -s


def test_a_case_is_its_seed() -> None:
    assert [case(seed) for seed in range(40)] == [case(seed) for seed in range(40)]


async def test_the_fuzzer_would_see_a_5xx() -> None:
    class Broken(Forgetful):
        async def append(self, batch: Batch, *, timeout: float) -> Appended:
            raise RuntimeError

    async with listening(Broken(), {"acme": org(secrets=[SECRET])}, SystemClock()) as served:
        statuses = [status for seed in range(50) for status in await play(served, case(seed))]
    assert 503 in statuses
    assert not set(statuses) <= STATUSES
