"""The heartbeat: writes the state of the forwarder as a document to each Elasticsearch sink, at a fixed interval.

The documents show that the forwarder can write to the SIEM, and a rule in the SIEM can alert when no more documents
come. The documents do not pass through the store, and have HTTP clients of their own. So they neither wait for the
delivery of events nor delay it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from forwarder import logs
from forwarder.core.ports import Clock
from forwarder.settings import Settings
from forwarder.sinks.elasticsearch.settings import ElasticsearchSinkSettings
from forwarder.tasks import end_tasks

_logger = logs.get("app")

Gather = Callable[[], Awaitable[Mapping[str, Any]]]


class Heartbeat:
    """Writes the heartbeat documents of a running forwarder, from `start` to `stop`."""

    def __init__(self, gather: Gather, clock: Clock) -> None:
        """Create the heartbeat. `gather` returns the status of the forwarder, which becomes the content of each
        document."""
        self._gather = gather
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self, settings: Settings) -> None:
        """Stop the heartbeats of an earlier call, if any. Then start new ones, if `settings` ask for them."""
        await self.stop()
        sinks = {name: sink for name, sink in settings.sinks.items() if isinstance(sink, ElasticsearchSinkSettings)}
        if settings.ops.heartbeat is not None and sinks:
            self._task = asyncio.create_task(self._beat(settings.ops.heartbeat, sinks), name="heartbeat")

    async def stop(self) -> None:
        """Stop the heartbeats. A request in flight is cancelled."""
        if self._task is not None:
            await end_tasks([self._task])
            self._task = None

    async def _beat(self, interval: float, sinks: Mapping[str, ElasticsearchSinkSettings]) -> None:
        # Imported only where a heartbeat is written: the client takes 20 MB of memory.
        from forwarder.sinks.elasticsearch.health_stream import HealthStream  # noqa: PLC0415  # as above

        async with contextlib.AsyncExitStack() as open_streams:
            streams = [HealthStream(name, sink) for name, sink in sinks.items()]
            for stream in streams:
                open_streams.push_async_callback(stream.close)
            while True:
                due = self._clock.monotonic() + interval
                try:
                    status = await self._gather()
                    now = self._clock.now()
                    await asyncio.gather(*(stream.write(status, now) for stream in streams))
                except Exception:  # one failed heartbeat must not prevent the later ones
                    _logger.exception(
                        "the heartbeat document could not be written. This is a bug: please report it",
                        action="heartbeat_error",
                    )
                await self._clock.sleep(due - self._clock.monotonic())
