"""The heartbeat: the state of the forwarder as a document a minute in each Elasticsearch sink, past the store.

It proves the way into the SIEM, and its absence can be alerted on there. It has clients of its own, so that it neither
waits for the delivery of events nor holds it up.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import elastic_transport
from elasticsearch import ApiError, AsyncElasticsearch, UnsupportedProductError

from forwarder import logs
from forwarder.core.ports import Clock
from forwarder.ecs.health import HEALTH_DATASET, health_document
from forwarder.settings import Settings
from forwarder.sinks.elasticsearch import bulk
from forwarder.sinks.elasticsearch.client import connect
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings

_TIMEOUT = 10.0
"""Seconds for one document; a heartbeat that comes later says nothing."""

_logger = logs.get("app")

Gather = Callable[[], Awaitable[Mapping[str, Any]]]


class Heartbeat:
    """Writes the documents of a running forwarder, from `start` to `stop`."""

    def __init__(self, gather: Gather, clock: Clock) -> None:
        """Args: `gather` is as `Status.gather`."""
        self._gather = gather
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self, settings: Settings) -> None:
        """Write by these settings from now on; with others before, those end."""
        await self.stop()
        sinks = {
            name: sink for name, sink in settings.sinks.items() if isinstance(sink, ElasticsearchSinkSettings)
        }
        if settings.ops.heartbeat is not None and sinks:
            self._task = asyncio.create_task(self._beat(settings.ops.heartbeat, sinks), name="heartbeat")

    async def stop(self) -> None:
        """End; a document on its way is given up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _beat(self, interval: float, sinks: Mapping[str, ElasticsearchSinkSettings]) -> None:
        async with contextlib.AsyncExitStack() as open_streams:
            streams = [_Stream(name, sink) for name, sink in sinks.items()]
            for stream in streams:
                open_streams.push_async_callback(stream.close)
            while True:
                due = self._clock.monotonic() + interval
                status = await self._gather()
                now = self._clock.now()
                await asyncio.gather(*(stream.write(status, now) for stream in streams))
                await self._clock.sleep(due - self._clock.monotonic())


class _Stream:
    """The data stream of health documents of one sink. Logs once that it cannot be written, and once that it can again."""

    def __init__(self, name: str, settings: ElasticsearchSinkSettings) -> None:
        self._name = name
        self._namespace = settings.namespace
        self._index = settings.health_stream
        self._settings = settings
        self._host = socket.gethostname()
        self._client: AsyncElasticsearch | None = None
        self._failed = False

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def write(self, status: Mapping[str, Any], now: int) -> None:
        """Write one document, at most for `_TIMEOUT`. Logs what keeps it from being written, and raises nothing."""
        document = health_document(status, now, self._host, self._namespace)
        # Two sinks may write to one data stream; the second then finds the document there.
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
            _logger.info("the heartbeat is written again", action="heartbeat_written", sink=self._name)
        self._failed = bool(problem)

    async def _create(self, lines: bytes) -> str:
        """Return what kept the document from being written; empty if nothing did."""
        try:
            if self._client is None:  # reads the certificates
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
            return "the response does not name the document"
        return "" if status < 300 or status == 409 else _explained(status, str(reason))


def _explained(status: int, reason: str) -> str:
    hint = ""
    if status in {401, 403}:
        hint = f"give the key `create_doc` and `auto_configure` on metrics-{HEALTH_DATASET}-*, or remove `ops.heartbeat`: "
    elif status == 404:
        hint = f"{bulk.SETUP}: "
    return f"{hint}{status} {reason[:300]}"
