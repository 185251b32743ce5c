"""Writes health documents (heartbeats) to the data stream of health documents of one Elasticsearch sink."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import elastic_transport
from elasticsearch import ApiError, AsyncElasticsearch, UnsupportedProductError

from forwarder import logs
from forwarder.ecs.health_document import HEALTH_DATASET, health_document
from forwarder.sinks import response_verdicts
from forwarder.sinks.elasticsearch import bulk
from forwarder.sinks.elasticsearch.client import connect
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

_TIMEOUT = 10.0
"""The number of seconds in which one document must be written. A later heartbeat has no use."""

_logger = logs.get("sinks")


class HealthStream:
    """Writes the health documents of one sink. Logs one line when documents can no longer be written, and one line when
    documents can be written again."""

    def __init__(self, name: str, settings: ElasticsearchSinkSettings) -> None:
        self._name = name
        self._namespace = settings.namespace
        self._index = settings.health_stream
        self._settings = settings
        self._host = socket.gethostname()
        self._client: AsyncElasticsearch | None = None
        self._failed = False

    async def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.close()

    async def write(self, status: Mapping[str, Any], now: int) -> None:
        """Write `status` as one document with the time `now`, within 10 s. Log an error instead of raising it."""
        document = health_document(status, now, self._host, self._namespace)
        # If two sinks write to one data stream, their documents have the same id, so only one document is stored.
        problem = await self._create(bulk.lines(f"{self._host}-{now}", document))
        if problem and not self._failed:
            _logger.warning(
                "the heartbeat cannot be written; events are not affected",
                action="heartbeat_failed",
                sink=self._name,
                data_stream=self._index,
                error=problem,
            )
        elif self._failed and not problem:
            _logger.info("the heartbeat can be written again", action="heartbeat_written", sink=self._name)
        self._failed = bool(problem)

    async def _create(self, lines: bytes) -> str:
        """Send `lines`, the lines of a bulk request for one document. Return the empty string if the document was
        written, else the error text."""
        try:
            if self._client is None:  # created in a thread, because this reads the files of the certificates
                self._client = await asyncio.to_thread(connect, self._settings, _TIMEOUT)
            response = await self._client.bulk(
                operations=lines,  # type: ignore[arg-type]  # the client's serializer takes it as it is
                index=self._index,
                require_data_stream=True,
                filter_path=bulk.FILTER,
            )
        except UnsupportedProductError:
            return "the server is not Elasticsearch; check `hosts`"
        except ApiError as error:
            return _explained(error.meta.status, str(error.body))
        except (elastic_transport.TransportError, OSError) as error:
            return str(getattr(error, "message", error))
        try:
            (item,) = response.body["items"]
            result = item["create"]
            status, reason = result["status"], result.get("error", {}).get("reason", "")
        except (TypeError, ValueError, KeyError, AttributeError):
            return "the response has no result for the document"
        if type(status) is not int:
            return "the response has no status for the document"
        written = response_verdicts.item_verdict(status) == response_verdicts.DELIVERED
        return "" if written else _explained(status, str(reason))


def _explained(status: int, reason: str) -> str:
    hint = ""
    if status == 401:
        hint = f"{bulk.WRONG_CREDENTIALS}: "
    elif status == 403:
        hint = (
            f"give the key `create_doc` and `auto_configure` on metrics-{HEALTH_DATASET}-*, or remove `ops.heartbeat`: "
        )
    elif status == 404:
        hint = f"{bulk.SETUP}: "
    return f"{hint}{status} {reason[:300]}"
