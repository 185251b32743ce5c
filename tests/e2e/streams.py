"""Data streams of a real Elasticsearch, and events for them."""

import asyncio
import json
from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import uuid4

from forwarder.clock import SystemClock
from forwarder.core.event import Event, Source, StoredEvent, read_event
from forwarder.core.outcome import BatchResult
from forwarder.emulator.events.generator import Generator
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.elasticsearch.sink import ElasticsearchSink
from tests.fakes.clock import NOON
from tests.stack.elasticsearch import Elasticsearch

MOST = 50_000
"""Documents that a test may look at in one search."""

UNFIT = "okta.display_message"
"""The field that the tests' templates take for a number, so that an event with such a message does not fit."""


class HastyClock(SystemClock):
    """Time as it is, but nobody waits for long: a backoff of seconds is of no use to a test."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.2))


def signed_in(server: Elasticsearch, settings: dict[str, Any]) -> dict[str, Any]:
    """Return `settings` of a sink; if they name no credentials, with those of the server's first user. With `api_key=None`,
    the sink sends no credentials."""
    return settings if {"api_key", "basic_auth"} & settings.keys() else server.credentials | settings


class Stream:
    """A data stream of one test's own, and what the test does to it past every client library."""

    def __init__(self, server: Elasticsearch) -> None:
        self.server = server
        self.namespace = f"t{uuid4().hex[:12]}"
        self.name = f"logs-okta.system-{self.namespace}"

    def template(self, *, data_stream: bool = True, message: str = "long", **settings: Any) -> None:
        """Make an index template for this data stream alone, with `message` as the type of `UNFIT`."""
        mapped = {"properties": {"display_message": {"type": message}}}
        body = {
            "index_patterns": [self.name],
            "priority": 1000,
            "template": {
                "settings": {"number_of_replicas": 0, "index.max_result_window": MOST, **settings},
                "mappings": {"date_detection": False, "properties": {"okta": mapped}},
            },
        }
        self.server.call(
            "PUT", f"/_index_template/{self.namespace}", {**body, **({"data_stream": {}} if data_stream else {})}
        )

    def settings(self, **settings: Any) -> None:
        """Set something about the index behind it."""
        self.server.call("PUT", f"/{self.backing_index}/_settings", settings)

    @property
    def backing_index(self) -> str:
        (found,) = self.server.call("GET", f"/_resolve/index/{self.name}")["data_streams"]
        return str(found["backing_indices"][-1])

    def ids(self) -> list[str]:
        """The ids of all documents, sorted."""
        self.server.call("POST", f"/{self.name}/_refresh")
        query = {"size": MOST, "_source": False, "track_total_hits": True}
        hits = self.server.call("POST", f"/{self.name}/_search", query)["hits"]
        assert hits["total"]["value"] == len(hits["hits"])
        return sorted(hit["_id"] for hit in hits["hits"])

    def sink(self, clock: SystemClock | None = None, **more: Any) -> ElasticsearchSink:
        settings = {"hosts": (self.server.url,), "namespace": self.namespace, **signed_in(self.server, more)}
        return ElasticsearchSink(ElasticsearchSinkSettings(**settings), clock or HastyClock())

    async def send(self, *batch: StoredEvent, **more: Any) -> BatchResult:
        """One try with a sink of its own."""
        sink = self.sink(**more)
        try:
            return await sink.send(batch)
        finally:
            await sink.close()


def made(seq: int, **more: Any) -> StoredEvent:
    """An event that fits the tests' templates."""
    body = {
        "uuid": f"uuid-{seq}",
        "eventType": "user.session.start",
        "published": "2026-01-01T11:59:58.123Z",
        "actor": {"id": "00u1", "alternateId": "a@acme.test", "displayName": "Ada"},
        "client": {"ipAddress": "192.0.2.7"},
        **more,
    }
    return StoredEvent(seq, _event(json.dumps(body).encode()))


def happened(count: int, seed: int = 1) -> Iterator[Event]:
    """Events as an org has them. Their `displayMessage` is left out: the tests' templates refuse one."""
    generator = Generator(Random(seed), origin="https://acme.okta.test")
    for number in range(count):
        body = json.loads(generator.event(generator.event_type(), NOON - number * 1_000).hook)
        body.pop("displayMessage", None)
        yield _event(json.dumps(body).encode())


def _event(body: bytes) -> Event:
    return read_event(body, org="acme", source=Source.HOOK, received_at=NOON)


def seqs(outcome: BatchResult) -> tuple[list[int], list[int], list[int]]:
    return list(outcome.delivered), list(outcome.retry), [reject.seq for reject in outcome.rejected]
