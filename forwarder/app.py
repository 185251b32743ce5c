"""The only place where rooms meet: builds everything from the settings, runs it, stops it in a written order.

Start, from the inside out, so that the door opens only when everything behind it stands:

    store (with its control socket), positions → sinks, workers → ops listener → door

Stop, from the outside in, so that nothing that was acknowledged is left half-way:

    1. close the door: what is in flight is committed and answered, what begins now gets 503
    2. let the workers deliver what waits, for a bounded time; the rest stays in the store
    3. close the sinks
    4. close the ops listener: until here an operator can watch the stop
    5. close the store
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from forwarder import logs
from forwarder.core.errors import SinkError
from forwarder.core.ports import Clock, Sink
from forwarder.deliver.progress import Instruments
from forwarder.deliver.worker import Outlet, Worker
from forwarder.metrics import Metrics
from forwarder.ops import listener
from forwarder.receive.door import Door
from forwarder.receive.guard import Guard
from forwarder.receive.server import Server
from forwarder.receive.settings import ListenerLimits, tls_context
from forwarder.settings import ElasticsearchSink, FileSink, OtlpSink, Settings, SinkSettings
from forwarder.status import Status
from forwarder.store.store import Store

FLUSH_GRACE = 10.0
"""Seconds that sinks may go on delivering while the forwarder stops."""

RELOAD_GRACE = 5.0
"""Seconds that a sink has to answer what is in flight before it is made anew with new settings."""

_logger = logs.get("app")


class Forwarder:
    """One forwarder: its parts, from start to stop. Start it once.

    Attributes:
        settings: those in force.
        metrics: of this forwarder.
        door: where Okta posts; known after `start`.
        ops: where operators look; known after `start`.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.metrics.build_info.info({"version": version("okta-forwarder")})
        self._clock = clock
        self._sinks: dict[str, Sink] = {}
        self._workers: dict[str, Worker] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stops: list[Callable[[], Awaitable[None]]] = []

    async def start(self) -> None:
        """Start every part; when it returns, Okta can post.

        Raises:
            ForwarderError: a part cannot start. What had started is stopped again.
        """
        try:
            await self._start_store()
            self._start_delivery()
            await self._start_ops()
            await self._start_door()
        except BaseException:
            await self.stop(grace=0)
            raise
        _logger.info(
            "the forwarder is up",
            action="started",
            door=str(self.door.address),
            ops=str(self.ops.address),
            orgs=sorted(self.settings.orgs),
            sinks=sorted(self.settings.sinks),
        )
        for note in self.settings.not_yet_used():
            _logger.warning(note, action="not_yet_used")

    async def stop(self, grace: float = FLUSH_GRACE) -> None:
        """Stop every part that has started, in the order at the top of this file. Safe to call twice.

        Args:
            grace: seconds that the sinks may go on delivering what waits.
        """
        self._grace = grace
        while self._stops:
            await self._stops.pop()()

    async def _start_store(self) -> None:
        self.store = await Store.open(self.settings.store, self._clock, self.metrics)
        self._stops.append(self.store.close)
        starts = {name: sink.start for name, sink in self.settings.sinks.items()}
        self._positions = await self.store.attach(starts)

    def _start_delivery(self) -> None:
        self._stops.append(self._close_sinks)
        for name, settings in self.settings.sinks.items():
            self._sinks[name] = build_sink(name, settings, self._clock)
        self._stops.append(self._stop_workers)
        for name, settings in self.settings.sinks.items():
            self._deliver(name, settings, self._positions[name])

    def _deliver(self, name: str, settings: SinkSettings, position: int) -> None:
        outlet = Outlet(name, self._sinks[name], settings.delivery)
        worker = Worker(outlet, self.store, position, Instruments(self._clock, random.random, self.metrics))
        self._workers[name] = worker
        self._running[name] = asyncio.create_task(worker.run(), name=f"deliver {name}")

    async def _start_ops(self) -> None:
        self.status = Status(self.store, self._workers, self.metrics, self._clock)
        app = listener.app(self.metrics, self.status.gather, lambda: self.store.unready)
        self.ops = Server(app, self.settings.ops.listen, self._guard(ListenerLimits(max_connections=100)))
        await self.ops.start()
        self._stops.insert(1, self.ops.stop)  # after the sinks, before the store

    async def _start_door(self) -> None:
        receiver = self.settings.receiver
        tls = tls_context(receiver.tls) if receiver.tls else None
        self._receiver = Door(self.store, self.settings.orgs, receiver, self.metrics, self._clock)
        self.door = Server(self._receiver.app, receiver.listen, self._guard(receiver), tls)
        await self.door.start()
        self._stops.append(self._close_door)

    def _guard(self, limits: ListenerLimits) -> Guard:
        return Guard(limits, self._clock, lambda reason: self.metrics.connections_shed.labels(reason).inc())

    async def _close_door(self) -> None:
        self._receiver.close()
        await self.door.stop()

    async def _stop_workers(self) -> None:
        await asyncio.gather(*(worker.stop(self._grace) for worker in self._workers.values()))
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _close_sinks(self) -> None:
        await asyncio.gather(*(sink.close() for sink in self._sinks.values()))

    async def reload(self, settings: Settings) -> None:
        """Take new secrets, limits and settings of sinks without dropping a request.

        Orgs' paths, listeners, the store and the set of sinks take a restart; a line says so.

        Raises:
            SettingsError: the new settings cannot be taken; the old ones stay in force.
        """
        self._receiver.reload(settings.orgs, settings.receiver)
        self.door.reload(settings.receiver)
        for name in sorted(settings.sinks.keys() & self.settings.sinks.keys()):
            if settings.sinks[name] != self.settings.sinks[name]:
                await self._replace_sink(name, settings.sinks[name])
        for section in _needs_restart(self.settings, settings):
            _logger.warning("changed; restart for that", action="restart_needed", section=section)
        self.settings = settings
        _logger.info("the configuration is reloaded", action="reloaded")

    async def _replace_sink(self, name: str, settings: SinkSettings) -> None:
        """Deliver by a sink made anew; what was in flight and is not settled is sent again by the new one."""
        await self._workers[name].stop(RELOAD_GRACE)
        await self._sinks[name].close()
        try:
            self._sinks[name] = build_sink(name, settings, self._clock)
        except SinkError as error:
            _logger.exception(
                "the sink keeps its old settings", action="reload_failed", sink=name, error=str(error)
            )
            settings = self.settings.sinks[name]
            self._sinks[name] = build_sink(name, settings, self._clock)
        # The store knows best how far the sink has come: the last settlement may have landed after its worker ended.
        positions = await self.store.attach({name: sink.start for name, sink in self.settings.sinks.items()})
        self._deliver(name, settings, positions[name])


def build_sink(name: str, settings: Any, clock: Clock) -> Sink:
    """The sink of `settings`. The libraries of a kind that nobody configured are not even imported.

    Raises:
        SinkError: it cannot be built.
    """
    if isinstance(settings, ElasticsearchSink):
        from forwarder.sinks.elasticsearch import ElasticsearchSink as Elasticsearch

        # Below the worker's own limit, so that the client learns which host hangs and tries another one next.
        return Elasticsearch(settings, clock, 0.8 * settings.delivery.timeout)
    if isinstance(settings, OtlpSink):
        from forwarder.sinks.otlp import OtlpSink as Otlp

        return Otlp(settings, clock, settings.delivery.timeout)
    assert isinstance(settings, FileSink)
    from forwarder.sinks.file import FileSink as File

    return File(name, settings, clock)


def _needs_restart(old: Settings, new: Settings) -> list[str]:
    """The sections whose change a reload does not bring into force."""
    sections = [
        name for name in ("store", "ops", "reconcile", "log") if getattr(old, name) != getattr(new, name)
    ]
    if old.sinks.keys() != new.sinks.keys():
        sections.append("sinks")
    if (old.receiver.listen, old.receiver.tls) != (new.receiver.listen, new.receiver.tls):
        sections.append("receiver")
    return sections
