"""The only place where rooms meet: builds everything from the settings, runs it, stops it in a written order.

Start, from the inside out, so that the door opens only when everything behind it stands:

    store (with its control socket), positions → sinks, workers → ops listener → door → Okta sides

Stop, from the outside in, so that nothing that was acknowledged is left half-way:

    1. end the Okta sides: a page that is not committed is read again after the next start
    2. close the door: what is in flight is committed and answered, what begins now gets 503
    3. let the workers deliver what waits, for a bounded time; the rest stays in the store
    4. close the sinks
    5. close the ops listener: until here an operator can watch the stop
    6. close the store
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from forwarder import logs
from forwarder.core.errors import SinkError
from forwarder.core.event import Source
from forwarder.core.ports import Clock, Sink
from forwarder.deliver.worker import Worker
from forwarder.http.connections import ConnectionLimiter
from forwarder.http.server import Server
from forwarder.http.settings import ListenerLimits, tls_context
from forwarder.metrics import Metrics
from forwarder.okta.api.client import OktaClient
from forwarder.okta.hooks.watch import HookWatch
from forwarder.okta.org import OktaOrgRunner
from forwarder.okta.system_log.pages import SystemLog
from forwarder.okta.system_log.reconcile import Reconciler
from forwarder.ops import listener
from forwarder.receive.receiver import HookReceiver
from forwarder.settings import ElasticsearchSink, FileSink, OtlpSink, Settings, SinkSettings
from forwarder.status import Status
from forwarder.store.sqlite.store import Store

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
        self._okta: dict[str, OktaOrgRunner] = {}
        self._polling: dict[str, asyncio.Task[None]] = {}
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
            self._start_okta()
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
        self._workers[name] = worker = Worker(
            name,
            self._sinks[name],
            self.store,
            position,
            settings.delivery,
            metrics=self.metrics,
            clock=self._clock,
        )
        self._running[name] = asyncio.create_task(worker.run(), name=f"deliver {name}")

    async def _start_ops(self) -> None:
        self.status = Status(self.store, self._workers, self._okta, self.metrics, self._clock)
        app = listener.app(self.metrics, self.status.gather, lambda: self.store.not_ready_reason)
        self.ops = Server(app, self.settings.ops.listen, self._guard(ListenerLimits(max_connections=100)))
        await self.ops.start()
        self._stops.insert(1, self.ops.stop)  # after the sinks, before the store

    async def _start_door(self) -> None:
        receiver = self.settings.receiver
        tls = tls_context(receiver.tls) if receiver.tls else None
        self._receiver = HookReceiver(self.store, self.settings.orgs, receiver, self.metrics, self._clock)
        self.door = Server(self._receiver.app, receiver.listen, self._guard(receiver), tls)
        await self.door.start()
        self._stops.append(self._close_door)

    def _guard(self, limits: ListenerLimits) -> ConnectionLimiter:
        return ConnectionLimiter(
            limits, self._clock, lambda reason: self.metrics.connections_shed.labels(reason).inc()
        )

    def _start_okta(self) -> None:
        self._stops.append(self._stop_okta)
        for name in self.settings.orgs:
            self._reach_okta(name, self.settings)

    def _reach_okta(self, name: str, settings: Settings) -> None:
        """Watch the org's hook and read its System Log, where it has credentials for that."""
        org = settings.orgs[name]
        for way in Source:
            self.metrics.org_ways.labels(name, way.value).set(1 if way in org.ways else 0)
        if org.api is None or org.url is None:
            return
        api = OktaClient(org.url, org.api, settings.reconcile.rate_share, self._clock)
        watch = HookWatch(name, api, org.hook, self.metrics, self._clock) if org.hook else None
        log = SystemLog(name, org.url, api, self._clock)
        reconciler = Reconciler(log, self.store, settings.reconcile, watch, self.metrics, self._clock)
        self._okta[name] = OktaOrgRunner(name, api, watch, reconciler, self._clock)
        self._polling[name] = asyncio.create_task(self._okta[name].run(), name=f"okta {name}")

    async def _stop_okta(self, *names: str) -> None:
        """Stop those sides; all, where none is named."""
        polling = [self._polling.pop(name) for name in names or list(self._polling)]
        for task in polling:
            task.cancel()
        await asyncio.gather(*polling, return_exceptions=True)

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

        The Okta side of an org that has changed is made anew. Orgs' paths, listeners, the store and the set of sinks take a restart; a line says so.

        Raises:
            SettingsError: the new settings cannot be taken; the old ones stay in force.
        """
        self._receiver.reload(settings.orgs, settings.receiver)
        self.door.reload(settings.receiver)
        for name in sorted(settings.sinks.keys() & self.settings.sinks.keys()):
            if settings.sinks[name] != self.settings.sinks[name]:
                await self._replace_sink(name, settings.sinks[name])
        for name in settings.orgs:
            if _reached(settings, name) != _reached(self.settings, name):
                if name in self._polling:
                    await self._stop_okta(name)
                    del self._okta[name]
                self._reach_okta(name, settings)
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
        from forwarder.sinks.elasticsearch.sink import ElasticsearchSink as Elasticsearch

        # Below the worker's own limit, so that the client learns which host hangs and tries another one next.
        return Elasticsearch(settings, clock, 0.8 * settings.delivery.timeout)
    if isinstance(settings, OtlpSink):
        from forwarder.sinks.otlp.sink import OtlpSink as Otlp

        return Otlp(settings, clock, settings.delivery.timeout)
    assert isinstance(settings, FileSink)
    from forwarder.sinks.file.sink import FileSink as File

    return File(name, settings, clock)


def _reached(settings: Settings, name: str) -> object:
    """What makes the Okta side of an org; None where it is not configured."""
    org = settings.orgs.get(name)
    return org and (org.url, org.api, org.hook, settings.reconcile)


def _needs_restart(old: Settings, new: Settings) -> list[str]:
    """The sections whose change a reload does not bring into force."""
    sections = [name for name in ("store", "ops", "log") if getattr(old, name) != getattr(new, name)]
    if old.sinks.keys() != new.sinks.keys():
        sections.append("sinks")
    if (old.receiver.listen, old.receiver.tls) != (new.receiver.listen, new.receiver.tls):
        sections.append("receiver")
    return sections
