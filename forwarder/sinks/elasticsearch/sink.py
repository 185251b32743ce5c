"""The sink `elasticsearch`, which writes ECS documents to these data streams:

- Okta's events to `logs-okta.system-<namespace>`,
- alerts of rules to `logs-okta_forwarder.alert-<namespace>`,
- reports about actions of reactions to `logs-okta_forwarder.action-<namespace>`.

Why Elasticsearch stores each event once, and no event is lost:

- Each document is sent as `create`. Its `_id` is the uuid of the event; with several orgs, it is org and uuid.
  Elasticsearch answers a second copy with the status 409, which counts as delivered. So it is safe to send a request
  again if its response was lost. But Elasticsearch compares an `_id` only within one backing index, so after a
  rollover, Elasticsearch would accept a copy of an earlier event. The forwarder's store prevents such a copy: the store
  keeps the uuids of earlier events, and does not store a second copy.
- The client library does not retry, does not follow redirects, and does not use a proxy of the environment. So only the
  delivery loop decides what is sent again, and only the configuration decides to which host.
- Requests have the parameter `require_data_stream`. So if Elasticsearch has no index template for the data stream, the
  events wait. Without the parameter, Elasticsearch would create a plain index with guessed types.
- If Elasticsearch puts an event into the failure store of the data stream, the event becomes a dead letter with the
  reason `failure_store`. No dashboard and no rule reads the failure store, so the event must not count as delivered.
- Alerts and reports about actions are sent by separate requests, after the request with Okta's events. If the data
  stream of alerts or the data stream of reports cannot be written, only the alerts or the reports become dead letters,
  and Okta's events do not wait.
- An event that the `drop` processor of an ingest pipeline drops counts as delivered, because the operator wants that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import elastic_transport
from elastic_transport import ObjectApiResponse
from elasticsearch import ApiError, UnsupportedProductError
from isal import igzip
from msgspec.structs import replace

from forwarder.core.event import OKTA_SOURCES, Event, StoredEvent
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.core.ports import Clock
from forwarder.core.time import retry_after
from forwarder.core.wording import count
from forwarder.ecs.document import document
from forwarder.ecs.document_by_source import document_of
from forwarder.ecs.document_for_elastic_pipeline import raw_document
from forwarder.sinks import response_verdicts
from forwarder.sinks.conversion import Conversion
from forwarder.sinks.elasticsearch import bulk
from forwarder.sinks.elasticsearch.bulk import OwnStream
from forwarder.sinks.elasticsearch.client import connect
from forwarder.sinks.elasticsearch.connection import TooLargeError
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.sinks.response_verdicts import ResponseVerdict


class ElasticsearchSink:
    """The `core.ports.Sink` for Elasticsearch. Several calls of `send` may run at once."""

    def __init__(self, settings: ElasticsearchSinkSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._options = settings.options
        self._org_in_id = settings.org_in_id
        self._warning = ""
        # Each response must name the pipelines that ran, until a response names the right pipeline. If the settings
        # name a `pipeline`, that pipeline is the right one, so nothing must be checked.
        self._asks_for_pipelines = settings.pipeline is None
        self._document = raw_document if settings.document_format == "raw" else document
        self._lines = Conversion(self._line)
        self._own_lines = Conversion(self._own_line)
        # This timeout is shorter than the timeout of the worker. So the client itself notices which host hangs, and
        # uses another host for the next request.
        timeout = 0.8 * settings.delivery.timeout
        self._client = connect(settings, timeout, {"content-encoding": "gzip"} if settings.compress else None)

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        events = [stored for stored in batch if stored.event.source in OKTA_SOURCES]
        result = await self._lines.send(events, self._send_lines) if events else BatchResult()
        for source, stream in bulk.OWN_STREAMS.items() if len(events) < len(batch) else ():
            if own := [stored for stored in batch if stored.event.source is source]:
                result = await _send_after(result, own, partial(self._send_own, stream))
        return replace(result, warning=self._warning) if self._warning else result

    async def _send_own(self, stream: OwnStream, own: Sequence[StoredEvent]) -> BatchResult:
        return await self._own_lines.send(own, partial(self._send_lines, stream=stream))

    def _own_line(self, event: Event) -> tuple[str, bytes]:
        return event.uuid, bulk.lines(event.uuid, document_of(event, self._options))

    def _line(self, event: Event) -> tuple[str, bytes]:
        id_ = bulk.document_id(event.uuid, event.org if self._org_in_id else "")
        return id_, bulk.lines(id_, self._document(event, self._options))

    async def _send_lines(
        self, seqs: list[int], lines: list[tuple[str, bytes]], *, stream: OwnStream | None = None
    ) -> BatchResult:
        body = b"".join([line for _, line in lines])
        if self._settings.compress:
            # Without `mtime`, the compression fails if the clock is before 1970 or after 2106.
            body = await asyncio.to_thread(igzip.compress, body, 1, mtime=0)
        try:
            response = await (self._bulk_own(body, stream) if stream else self._bulk(body))
        except UnsupportedProductError:
            # The client checks only the response, so the server may have processed the request.
            text = "the server is not Elasticsearch (no X-Elastic-Product header); check `hosts`"
            return response_verdicts.batch_outcome(seqs, response_verdicts.REFUSED, text)
        except ApiError as error:
            target = error.meta.headers.get("location") or ""
            verdict, detail = bulk.request_error(error.meta.status, error.body, len(seqs), target)
            if stream:
                verdict, detail = stream.verdict(verdict, detail)
            return response_verdicts.batch_outcome(seqs, verdict, detail, self._wait(error.meta))
        except TooLargeError as error:
            # The response is too large because it has a long text about each event. Half of the batch gets a smaller
            # response.
            return response_verdicts.batch_outcome(
                seqs, ResponseVerdict(RetryReason.UNKNOWN, split=len(seqs) > 1), error.message
            )
        except elastic_transport.TransportError as error:
            return response_verdicts.batch_outcome(seqs, _no_response(error), error.message)
        return self._result(response, seqs, lines, stream)

    def _result(
        self,
        response: ObjectApiResponse[Any],
        seqs: list[int],
        lines: list[tuple[str, bytes]],
        stream: OwnStream | None,
    ) -> BatchResult:
        """Return the result of the batch with the events `seqs`. `response` is the response to the request with the
        batch, and has a 2xx status. `lines` has the `_id` and the bulk lines of each event. `stream` is the data stream
        of the forwarder's own events; None for Okta's events."""
        if other := bulk.other_success(response.meta.status, len(seqs)):
            return response_verdicts.batch_outcome(seqs, *other)
        items = bulk.items(response.body, len(seqs), [id_ for id_, _ in lines])
        if items is None:
            text = f"the response does not have a result for each event; sent: {count(len(seqs), 'event')}"
            return response_verdicts.batch_outcome(seqs, response_verdicts.UNKNOWN, text)
        if stream:
            items = [stream.verdict(verdict, detail) for verdict, detail in items]
        elif self._asks_for_pipelines:
            warning = bulk.template_warning(response.body, raw=self._settings.document_format == "raw")
            self._warning = self._warning if warning is None else warning
            self._asks_for_pipelines = warning != ""
        return response_verdicts.item_outcomes(seqs, items, self._wait(response.meta))

    async def _bulk(self, body: bytes) -> ObjectApiResponse[Any]:
        ask = self._asks_for_pipelines
        try:
            return await self._client.bulk(
                operations=body,  # type: ignore[arg-type]  # the client's serializer takes it as it is
                index=self._settings.data_stream,
                require_data_stream=True,
                pipeline=self._settings.pipeline,
                list_executed_pipelines=True if ask else None,
                filter_path=f"{bulk.FILTER},{bulk.PIPELINES}" if ask else bulk.FILTER,
            )
        except ApiError as error:
            if not ask or error.meta.status != 400 or "list_executed_pipelines" not in str(error.body):
                raise
        self._asks_for_pipelines = False  # Elasticsearch before 8.12 does not know this parameter
        return await self._bulk(body)

    async def _bulk_own(self, body: bytes, stream: OwnStream) -> ObjectApiResponse[Any]:
        return await self._client.bulk(
            operations=body,  # type: ignore[arg-type]  # as above
            index=f"logs-{stream.dataset}-{self._settings.namespace}",
            require_data_stream=True,
            filter_path=bulk.FILTER,
        )

    def _wait(self, meta: elastic_transport.ApiResponseMeta) -> float | None:
        return retry_after(meta.headers, self._clock.now())

    async def close(self) -> None:
        await self._client.close()


async def _send_after(
    earlier: BatchResult, own: Sequence[StoredEvent], send: Callable[[Sequence[StoredEvent]], Awaitable[BatchResult]]
) -> BatchResult:
    """Send `own`, the forwarder's own events of a batch (such as alerts), and return one result for the whole batch.

    `earlier` is the result of the events of the batch that were sent before `own`, or an empty result if no event was
    sent before. If `earlier` says that the whole request failed, `own` is not sent now, and must be sent later.
    Otherwise, if there were events before `own`, a failure of `own` does not count as a failure of the whole sink.
    """
    if earlier.whole or earlier.pause:
        return replace(earlier, retry=[*earlier.retry, *(stored.seq for stored in own)])
    result = await send(own)
    both = replace(
        earlier if earlier.retry else result,
        delivered=[*earlier.delivered, *result.delivered],
        retry=[*earlier.retry, *result.retry],
        rejected=[*earlier.rejected, *result.rejected],
    )
    return both if not earlier.made_progress and not earlier.retry else replace(both, whole=False, pause=False)


def _no_response(error: elastic_transport.TransportError) -> response_verdicts.ResponseVerdict:
    """Return the verdict for the events of a request that raised `error` instead of getting a response."""
    if response_verdicts.error_verdict(error) is response_verdicts.TLS_UNTRUSTED:
        return response_verdicts.TLS_UNTRUSTED
    if isinstance(error, elastic_transport.ConnectionTimeout):
        return response_verdicts.TIMEOUT
    if isinstance(error, elastic_transport.ConnectionError):
        return response_verdicts.CONNECTION
    return response_verdicts.UNKNOWN
