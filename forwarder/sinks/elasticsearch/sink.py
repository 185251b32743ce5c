"""The sink `elasticsearch`: events as ECS documents in the data stream `logs-okta.system-<namespace>`.

What keeps each event there once, and none lost:

- `create` with `_id` = uuid. A second copy is answered 409, which is delivered. So a try whose answer was lost is
  simply sent again. Elasticsearch knows an `_id` per backing index only: after a rollover it would take a late copy,
  and the store's own memory of uuids is what stops that.
- The client library neither retries nor follows a redirect nor uses a proxy of the environment: the delivery loop
  alone decides what is sent again, and the configuration alone says where to.
- `require_data_stream`: without an index template the events wait, and no plain index with guessed types comes
  to be.
- An event that Elasticsearch put into the data stream's failure store is a dead letter with that reason: it is kept
  there, but no dashboard and no rule reads it, so to call it delivered would hide it.
- What an ingest pipeline drops on purpose (its `drop` processor) counts as delivered: the operator wanted it so.
"""

import asyncio
from collections.abc import Sequence

import elastic_transport
import msgspec
from elasticsearch import ApiError, AsyncElasticsearch, UnsupportedProductError
from isal import igzip

from forwarder.cooperative import Cooperative
from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event, StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason
from forwarder.core.ports import Clock
from forwarder.ecs.document import document
from forwarder.ecs.raw import raw_document
from forwarder.sinks import outcomes
from forwarder.sinks.elasticsearch import bulk
from forwarder.sinks.elasticsearch.client import causes, connect, credentials
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings


class ElasticsearchSink:
    """`core.ports.Sink` for Elasticsearch. Several `send`s may run at once."""

    def __init__(self, settings: ElasticsearchSinkSettings, clock: Clock, timeout: float = 30.0) -> None:
        """Args:
            settings: the operator's.
            clock: for a `Retry-After` that names a date.
            timeout: seconds without a byte from a host before it is given up and another one is tried next.

        Raises:
            SinkError: `ca_file` cannot be used.
        """
        self._settings = settings
        self._clock = clock
        self._options = settings.options
        self._make = raw_document if settings.document_format == "raw" else document
        self._owner = connect(settings, timeout)
        self._client = self._authorized(settings)

    def reload(self, settings: ElasticsearchSinkSettings) -> None:
        """Take the credentials of `settings` from the next `send` on. Everything else stays as it was."""
        self._client = self._authorized(settings)

    def _authorized(self, settings: ElasticsearchSinkSettings) -> AsyncElasticsearch:
        chosen = credentials(settings)
        if self._settings.compress:
            chosen["headers"] = {"content-encoding": "gzip"}
        return self._owner.options(**chosen)

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        """As the port says."""
        seqs, parts, rejected = await self._documents(batch)
        if not seqs:
            return BatchResult(rejected=rejected)
        body = b"".join(parts)
        if self._settings.compress:
            body = await asyncio.to_thread(igzip.compress, body, 1)
        outcome = await self._bulk(seqs, body)
        if not rejected:
            return outcome
        return msgspec.structs.replace(outcome, rejected=[*rejected, *outcome.rejected])

    async def _documents(
        self, batch: Sequence[StoredEvent]
    ) -> tuple[list[int], list[bytes], list[Rejection]]:
        """The seqs and lines of the events that have a document, and the others with the reason."""
        seqs: list[int] = []
        parts: list[bytes] = []
        rejected: list[Rejection] = []
        cooperative = Cooperative()
        for stored in batch:
            try:
                parts.append(self._lines(stored.event))
                seqs.append(stored.seq)
            except UnmappableError as error:
                words = str(error)[: outcomes.DETAIL_LIMIT]
                rejected.append(Rejection(stored.seq, RejectReason.UNMAPPABLE, words))
            await cooperative.yield_if_due()
        return seqs, parts, rejected

    def _lines(self, event: Event) -> bytes:
        try:
            return bulk.lines(event.uuid, self._make(event, self._options))
        except UnmappableError:
            raise
        except (
            Exception
        ) as error:  # a fault of our mapping costs one event, which can be replayed; never the sink
            words = f"the event cannot be turned into a document: {type(error).__name__}: {error}"
            raise UnmappableError(words) from error

    async def _bulk(self, seqs: Sequence[int], body: bytes) -> BatchResult:
        try:
            answer = await self._client.bulk(
                operations=body,  # type: ignore[arg-type]  # the serializer above takes it as it is
                index=self._settings.data_stream,
                require_data_stream=True,
                pipeline=self._settings.pipeline,
                filter_path=bulk.FILTER,
            )
        except UnsupportedProductError:
            # Only now does the client look whether it talks to Elasticsearch: the request may have been obeyed.
            words = "who answers is not Elasticsearch (no X-Elastic-Product header); look at `hosts`"
            return outcomes.whole(seqs, outcomes.REFUSED, words)
        except ApiError as error:
            verdict, words = bulk.refusal(error.meta.status, error.body, len(seqs))
            return outcomes.whole(seqs, verdict, words, self._wait(error.meta))
        except elastic_transport.TransportError as error:
            return outcomes.whole(seqs, _no_answer(error), causes(error))
        answers = bulk.items(answer.body, len(seqs))
        if answers is None:
            words = f"the answer does not name the {len(seqs)} events that were sent"
            return outcomes.whole(seqs, outcomes.UNKNOWN, words)
        return outcomes.each(seqs, answers, self._wait(answer.meta))

    def _wait(self, meta: elastic_transport.ApiResponseMeta) -> float | None:
        return outcomes.retry_after(meta.headers.get("retry-after"), self._clock.now())

    async def close(self) -> None:
        """As the port says."""
        await self._owner.close()


def _no_answer(error: elastic_transport.TransportError) -> outcomes.Verdict:
    """What it means that there is no answer. The client's own classes say more than the causes that they carry."""
    if outcomes.failure(error) is outcomes.UNTRUSTED:
        return outcomes.UNTRUSTED
    if isinstance(error, elastic_transport.ConnectionTimeout):
        return outcomes.TIMEOUT
    if isinstance(error, elastic_transport.ConnectionError):
        return outcomes.CONNECTION
    return outcomes.UNKNOWN
