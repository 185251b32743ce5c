"""Store, delivery loop and sink against a real Elasticsearch that fails: every event there once, and none lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from forwarder.core.event import Event, StoredEvent
from forwarder.core.outcome import RetryReason
from forwarder.core.ports import Batch, DeadLetterSelection
from forwarder.deliver.health import SinkState
from forwarder.deliver.worker import Worker
from forwarder.metrics import Metrics
from forwarder.sink_settings import DeliverySettings
from forwarder.store.interface import open_commands
from forwarder.store.settings import StoreSettings
from forwarder.store.sqlite.store import SqliteStore
from tests.conftest import ElasticsearchFactory
from tests.e2e.streams import HastyClock, Stream, happened, made, seqs
from tests.stack.elasticsearch import Elasticsearch

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@dataclass
class Delivery:
    """A store, a worker and a sink at work."""

    store: SqliteStore
    path: Path
    worker: Worker
    metrics: Metrics

    async def append(self, events: Sequence[Event]) -> None:
        await self.store.append(Batch(events), timeout=30)

    async def until(self, done: Callable[[], bool], seconds: float = 120) -> None:
        """Return when `done`."""
        async with asyncio.timeout(seconds):
            while not done():
                await asyncio.sleep(0.02)

    async def drained(self, events: int) -> None:
        """Return when so many events are delivered or dead."""
        await self.until(lambda: self.settled() >= events)

    def settled(self) -> float:
        """How many events are delivered or dead."""
        names = {"forwarder_events_delivered_total", "forwarder_events_dead_lettered_total"}
        families = self.metrics.registry.collect()
        return sum(each.value for family in families for each in family.samples if each.name in names)

    async def paused(self) -> str:
        """The sink's text about its pause, once it has paused."""
        await self.until(lambda: self.worker.state is SinkState.PAUSED)
        return self.worker.health.last_failure

    def retries(self, reason: RetryReason) -> float:
        """How many tries had to be repeated for `reason`."""
        labels = {"sink": "siem", "reason": reason}
        return self.metrics.registry.get_sample_value("forwarder_delivery_retries_total", labels) or 0.0

    def dead(self) -> set[tuple[str, str]]:
        """Uuid and reason of each dead letter."""
        letters = open_commands(StoreSettings(path=self.path), HastyClock()).dead_letters(
            DeadLetterSelection(sink="siem")
        )
        return {(letter.uuid, letter.reason) for letter in letters}


@asynccontextmanager
async def delivering(stream: Stream, tmp_path: Path, **settings: Any) -> AsyncIterator[Delivery]:
    """Deliver to `stream` until the block ends."""
    clock, metrics, path = HastyClock(), Metrics(), tmp_path / "store.db"
    store = await SqliteStore.open(StoreSettings(path=path), clock, metrics)
    sink = stream.sink(clock)
    log, position = await store.log("siem", "oldest")
    delivery = DeliverySettings(**{"concurrency": 2, "timeout": "10s", **settings})
    worker = Worker("siem", sink, log, position, delivery, metrics=metrics, clock=clock, random=Random(1).random)
    running = asyncio.create_task(worker.run())
    try:
        yield Delivery(store, path, worker, metrics)
    finally:
        await worker.stop(2)
        await running
        await sink.close()
        await store.close()


async def account_for(delivery: Delivery, stream: Stream, events: Sequence[Event], dead: set[tuple[str, str]]) -> None:
    """See that every event is in one place: there once, or a dead letter; and that the ledger says the same."""
    await delivery.drained(len(events))
    refused = {uuid for uuid, _ in dead}
    expected = sorted(event.uuid for event in events if event.uuid not in refused)
    assert await asyncio.to_thread(stream.ids) == expected
    assert delivery.dead() == dead
    ledger = await delivery.store.ledger()
    assert ledger.balanced
    found = ledger.sinks["siem"]
    assert (found.delivered, found.dead, found.waiting) == (len(expected), len(dead), 0)


async def start(make: ElasticsearchFactory, **settings: str) -> Stream:
    """A server of the test's own, and a data stream in it."""
    server = await asyncio.to_thread(lambda: make(settings={k.replace("__", "."): v for k, v in settings.items()}))
    return Stream(server)


async def test_a_server_that_is_killed_twice_on_the_way_gets_every_event_once(
    elasticsearch_server: ElasticsearchFactory, tmp_path: Path
) -> None:
    stream = await start(elasticsearch_server, http__max_content_length="2mb")
    stream.template()
    unfit = made(1, uuid="unfit", displayMessage="no number").event
    large = made(2, uuid="large", client={"userAgent": {"rawUserAgent": "x" * 3_000_000}}).event
    parts = [[*happened(1_000, seed=1), unfit], [*happened(1_000, seed=2), large], list(happened(1_000, seed=3))]
    stored = 0
    async with delivering(stream, tmp_path, batch_events=100) as delivery:
        for part in parts:
            await delivery.append(part)
            if part is not parts[-1]:
                await delivery.drained(stored + 400)
                await asyncio.to_thread(stream.server.kill)
                await delivery.until(lambda: delivery.worker.state is SinkState.RETRYING)
                await asyncio.to_thread(stream.server.start)
            stored += len(part)
        events = [event for part in parts for event in part]
        await account_for(delivery, stream, events, {("unfit", "mapping"), ("large", "too_large")})
        assert delivery.retries(RetryReason.CONNECTION) > 0


async def test_a_server_under_pressure_gets_every_event_once(
    elasticsearch_server: ElasticsearchFactory, tmp_path: Path
) -> None:
    stream = await start(elasticsearch_server, indexing_pressure__memory__limit="32kb")
    stream.template(number_of_shards=5)  # of which some have room for their documents and some have not
    events = list(happened(300))
    assert await some_items_throttled(stream, events)
    async with delivering(stream, tmp_path, batch_events=50) as delivery:
        await delivery.append(events)
        await delivery.until(lambda: delivery.retries(RetryReason.THROTTLED) > 0)
        assert delivery.dead() == set()
        stream.server.settings.clear()
        await asyncio.to_thread(stream.server.kill)
        await asyncio.to_thread(stream.server.start)
        await account_for(delivery, stream, events, set())


async def some_items_throttled(stream: Stream, events: Sequence[Event]) -> bool:
    """Send batches that grow until one of them is taken in part; see that just the rest of it must be sent again."""
    numbered = [StoredEvent(seq, event) for seq, event in enumerate(events, 1)]
    whole = await stream.send(*numbered)
    assert (whole.reason, whole.split, len(whole.retry)) == (RetryReason.TOO_LARGE, True, len(numbered))
    for size in range(2, 40):
        outcome = await stream.send(*numbered[-size:])
        delivered, retry, rejected = seqs(outcome)
        assert (sorted([*delivered, *retry]), rejected) == ([one.seq for one in numbered[-size:]], [])
        if delivered and retry:
            assert (outcome.reason, outcome.whole) == (RetryReason.THROTTLED, False)
            there = await asyncio.to_thread(stream.ids)
            assert {numbered[seq - 1].event.uuid for seq in delivered} <= set(there)
            return True
    return False


async def test_a_missing_template_and_a_blocked_index_hold_the_events_back_until_they_are_mended(
    elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    stream = Stream(elasticsearch)
    events = list(happened(400))
    async with delivering(stream, tmp_path) as delivery:
        await delivery.append(events[:200])
        assert "forwarder setup elasticsearch" in await delivery.paused()
        assert delivery.retries(RetryReason.NOT_FOUND) > 0
        stream.template()
        await delivery.drained(200)
        stream.settings(**{"index.blocks.write": True})
        await delivery.append(events[200:])
        await delivery.paused()
        assert delivery.retries(RetryReason.FORBIDDEN) > 0
        stream.settings(**{"index.blocks.write": None})
        await account_for(delivery, stream, events, set())


async def test_a_dead_letter_that_is_replayed_after_the_mapping_was_mended_is_there_once(
    elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    stream = Stream(elasticsearch)
    stream.template()
    unfit = made(1, uuid="unfit", displayMessage="no number").event
    events = [*happened(10), unfit]
    async with delivering(stream, tmp_path) as delivery:
        await delivery.append(events)
        await account_for(delivery, stream, events, {("unfit", "mapping")})
        stream.template(message="keyword")
        await asyncio.to_thread(elasticsearch.call, "POST", f"/{stream.name}/_rollover")
        assert await delivery.store.replay(DeadLetterSelection(sink="siem")) == 1
        await delivery.until(lambda: not delivery.dead())
        await account_for(delivery, stream, events, set())
