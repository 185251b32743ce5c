"""The forwarder as a process in front of a prepared Elasticsearch: how soon an event is found, and how often."""

import asyncio
import datetime as dt
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.okta import Sender, happenings
from tests.e2e.prepared import ids, search
from tests.e2e.streams import Stream
from tests.stack.elasticsearch import Elasticsearch
from tests.stack.forwarder import ForwarderProcess

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

EVENTS = 60
REFRESH_INTERVAL = 1.0
"""Seconds; Elasticsearch's own, because our template sets none."""
GRACE = 0.3
LOOK = 0.02


@pytest.fixture
def stream(prepared_elasticsearch: Elasticsearch) -> Stream:
    return Stream(prepared_elasticsearch)


def started(directory: Path, stream: Stream) -> ForwarderProcess:
    """A forwarder with a store of its own, that writes to `stream`."""
    sink = {"kind": "elasticsearch", "hosts": [stream.server.url], "namespace": stream.namespace}
    forwarder = ForwarderProcess(directory, {"siem": sink | stream.server.credentials})
    forwarder.start()
    return forwarder


@pytest.fixture
def forwarder(tmp_path: Path, stream: Stream) -> Iterator[ForwarderProcess]:
    process = started(tmp_path / "forwarder", stream)
    yield process
    process.kill()


async def posted(forwarder: ForwarderProcess, event: tuple[str, bytes]) -> None:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        assert await Sender(forwarder.url).post(client, [event]) == 200


async def delivered(forwarder: ForwarderProcess, count: int) -> None:
    deadline = time.monotonic() + 60
    while (await asyncio.to_thread(forwarder.read_ledger)).sinks["siem"].delivered < count:
        assert time.monotonic() < deadline, forwarder.log_tail()
        await asyncio.sleep(0.1)


class Finder:
    """Searches all the time for the events that were posted, and notes when each is found first."""

    def __init__(self, stream: Stream) -> None:
        self._search = f"{stream.server.url}/{stream.name}/_search?ignore_unavailable=true&filter_path=hits.hits._id"
        self._user = next(iter(stream.server.users.items()))
        self.posted: dict[str, float] = {}
        self.posted_at: dict[str, dt.datetime] = {}
        self.found: dict[str, float] = {}

    async def find(self) -> None:
        async with httpx.AsyncClient(timeout=10, trust_env=False, auth=self._user) as client:
            while len(self.found) < EVENTS:
                await asyncio.sleep(LOOK)
                missing = [uuid for uuid in self.posted if uuid not in self.found]
                query = {"size": EVENTS, "_source": False, "query": {"ids": {"values": missing}}}
                answer = (await client.post(self._search, json=query)).json()
                now = time.monotonic()
                self.found |= {hit["_id"]: now for hit in answer.get("hits", {}).get("hits", ())}

    @property
    def delays(self) -> list[float]:
        """Seconds from the start of each POST, sorted."""
        return sorted(self.found[uuid] - at for uuid, at in self.posted.items())


async def test_an_event_is_found_within_the_refresh_interval_and_a_little(
    forwarder: ForwarderProcess, stream: Stream
) -> None:
    await posted(forwarder, next(happenings(1, seed=99)))  # makes the index
    await delivered(forwarder, 1)
    chance = random.Random(6)
    finder = Finder(stream)
    finding = asyncio.create_task(finder.find())
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        for event in happenings(EVENTS, seed=6):
            await asyncio.sleep(chance.uniform(0.05, 0.45))  # so that refreshes fall at any time
            finder.posted[event[0]] = time.monotonic()
            finder.posted_at[event[0]] = dt.datetime.now(dt.UTC)
            assert await Sender(forwarder.url).post(client, [event]) == 200
    await asyncio.wait_for(finding, 60)
    delays = finder.delays
    p50, p99 = statistics.median(delays), delays[round(0.99 * (len(delays) - 1))]
    hits = search(stream, {"size": 1_000, "_source": ["event.ingested"]})["hits"]["hits"]
    ingested = {hit["_id"]: dt.datetime.fromisoformat(hit["_source"]["event"]["ingested"]) for hit in hits}
    taken = sorted((ingested[uuid] - at).total_seconds() for uuid, at in finder.posted_at.items())
    print(f"\ningested after the POST: p50 {statistics.median(taken) * 1000:.0f} ms, worst {taken[-1] * 1000:.0f} ms")
    print(f"\nsearchable after the POST: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, {len(delays)} events")
    assert p50 < REFRESH_INTERVAL + GRACE


async def test_a_copy_after_a_rollover_is_kept_out_by_the_store(forwarder: ForwarderProcess, stream: Stream) -> None:
    """Elasticsearch alone would take it: see `test_a_late_copy_lands_twice_once_the_index_has_rolled_over`."""
    first, later = happenings(2, seed=3)
    await posted(forwarder, first)
    await delivered(forwarder, 1)
    stream.server.call("POST", f"/{stream.name}/_rollover")
    await posted(forwarder, first)
    await posted(forwarder, later)
    await delivered(forwarder, 2)
    ledger = forwarder.ledger()
    assert (ledger["stored"], ledger["duplicates"]) == (2, 1)
    assert ids(stream) == sorted([first[0], later[0]])


async def test_a_store_that_was_lost_is_what_remains(
    forwarder: ForwarderProcess, stream: Stream, tmp_path: Path
) -> None:
    """A new store knows no uuid. Within one backing index Elasticsearch does, after a rollover nobody does."""
    first, second = happenings(2, seed=4)
    for event in (first, second):
        await posted(forwarder, event)
    await delivered(forwarder, 2)
    anew = started(tmp_path / "anew", stream)
    try:
        await posted(anew, first)
        await delivered(anew, 1)
        assert ids(stream) == sorted([first[0], second[0]])
        stream.server.call("POST", f"/{stream.name}/_rollover")
        await posted(anew, second)
        await delivered(anew, 2)
    finally:
        anew.kill()
    assert ids(stream) == sorted([first[0], second[0], second[0]])
