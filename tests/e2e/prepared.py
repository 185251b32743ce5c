"""`forwarder setup elasticsearch` without a process around it, what it tells, and events for what it made."""

import urllib.error
from random import Random
from typing import Any

import msgspec

from forwarder.clock import SystemClock
from forwarder.core.catalogue import EVENT_TYPES
from forwarder.core.event import Source, StoredEvent, read_event
from forwarder.emulator.events.generator import Generator
from forwarder.setup.elasticsearch.admin import ElasticsearchAdmin
from forwarder.setup.elasticsearch.cluster import UntilReady
from forwarder.setup.elasticsearch.run import setup
from forwarder.setup.elasticsearch.template_bodies import Options, Retention, SetupTarget
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.elasticsearch.sink import ElasticsearchSink
from tests.e2e.streams import Stream, signed_in
from tests.fakes.clock import NOON
from tests.fakes.reporter import Message, into
from tests.stack.elasticsearch import Elasticsearch

OURS = (
    "/_index_template/okta-forwarder",
    "/_component_template/okta-forwarder@mappings",
    "/_index_template/okta-forwarder-alerts",
    "/_component_template/okta-forwarder-alerts@mappings",
    "/_index_template/okta-forwarder-actions",
    "/_component_template/okta-forwarder-actions@mappings",
    "/_index_template/okta-forwarder-health",
    "/_component_template/okta-forwarder-health@mappings",
    "/_ingest/pipeline/okta-forwarder",
)
"""What a run of setup makes."""
STREAMS = "logs-okta*,metrics-okta*"
"""The data streams that come of it."""


class Told(msgspec.Struct, frozen=True):
    """What a run told.

    Attributes:
        fine: whether events of the sink will be readable.
        lines: in order.
    """

    fine: bool
    lines: list[Message]

    def of(self, kind: str) -> list[str]:
        return [line.text for line in self.lines if line.kind == kind]

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


def remove(server: Elasticsearch, *others: str) -> None:
    """Remove what setup makes, and what lies at these other paths. The data streams that came of it stay.

    The servers of the tests have no request that removes a data stream, and keep a template or a pipeline as long as one
    needs it. So each stream gets a template for itself alone, and no pipeline.
    """
    found = {each["name"] for each in server.call("GET", f"/_resolve/index/{STREAMS}")["data_streams"]}
    for name in found - {each["name"] for each in server.call("GET", "/_index_template")["index_templates"]}:
        server.call("PUT", f"/_index_template/{name}", {"index_patterns": [name], "priority": 0, "data_stream": {}})
    if found:
        none = dict.fromkeys(("index.default_pipeline", "index.final_pipeline"))
        server.call("PUT", f"/{','.join(found)}/_settings", none)
    for path in (*others, *OURS):
        try:
            server.call("DELETE", path)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise


async def prepare(
    server: Elasticsearch,
    *,
    retention: Retention | None = None,
    dry_run: bool = False,
    rollover: bool = False,
    **sink: Any,
) -> Told:
    """One run of setup with a sink of these settings."""
    lines: list[Message] = []
    settings = ElasticsearchSinkSettings(hosts=(server.url,), **signed_in(server, sink))
    target = SetupTarget(settings.data_stream, settings.document_format, settings.pipeline)
    options = Options(retention or Retention(), dry_run=dry_run, rollover=rollover)
    async with ElasticsearchAdmin(settings) as cluster:
        ready = UntilReady(cluster, SystemClock())  # as the command
        return Told(await setup(ready, target, options, into(lines)), lines)


def of_every_type(shape: str) -> list[StoredEvent]:
    """One event of each type of the catalogue, in the shape `hook` or `log`."""
    generator = Generator(Random(4), origin="https://acme.okta.test", edge_case_share=0.2)
    bodies = [getattr(generator.event(name, NOON), shape) for name in EVENT_TYPES]
    source = Source.HOOK if shape == "hook" else Source.LOG
    events = [read_event(body, org="acme", source=source, received_at=NOON) for body in bodies]
    return [StoredEvent(seq, event) for seq, event in enumerate(events, 1)]


async def deliver(stream: Stream, batch: list[StoredEvent], **more: Any) -> None:
    """Deliver all of `batch` at the first try, however long a server that other tests use too takes for it."""
    where = {"hosts": (stream.server.url,), "namespace": stream.namespace, "delivery": {"timeout": "2m"}}
    settings = ElasticsearchSinkSettings(**where | signed_in(stream.server, more))
    sink = ElasticsearchSink(settings, SystemClock())
    try:
        outcome = await sink.send(batch)
    finally:
        await sink.close()
    told = [reject.detail for reject in outcome.rejected]
    assert (told, list(outcome.retry), outcome.detail) == ([], [], "")
    assert len(outcome.delivered) == len(batch)


def search(stream: Stream, query: dict[str, Any]) -> Any:
    """The answer to a search over all that was written."""
    stream.server.call("POST", f"/{stream.name}/_refresh")
    return stream.server.call("POST", f"/{stream.name}/_search", query)


def ids(stream: Stream) -> list[str]:
    """The ids of all documents, sorted; one that is there twice stands there twice."""
    hits = search(stream, {"size": 5_000, "_source": False})["hits"]["hits"]
    return sorted(hit["_id"] for hit in hits)
