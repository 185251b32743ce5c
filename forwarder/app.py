"""The only place where rooms meet: builds everything from the settings, runs it, stops it in a written order.

Start, from the inside out, so that Okta can post only when everything behind the receiver works:

    store, control socket, positions → sinks, workers → ops listener → receiver → Okta orgs

Stop, from the outside in (`_STOP_ORDER`), so that nothing that was acknowledged is left half done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from importlib.metadata import version

from forwarder import logs
from forwarder.control import ControlServer, Handler, Report, Request
from forwarder.core.backoff import Backoff
from forwarder.core.errors import OktaError, StoreError
from forwarder.core.event import Source
from forwarder.core.ports import Clock, EventLog, Sink
from forwarder.deliver.worker import Worker
from forwarder.http.connections import ConnectionLimiter
from forwarder.http.server import Server
from forwarder.http.settings import ListenerLimits, tls_context
from forwarder.metrics import Metrics
from forwarder.okta.api.client import OktaClient
from forwarder.okta.hooks.watch import HookWatch
from forwarder.okta.org import OktaOrgRunner
from forwarder.okta.system_log.backfill import Backfill, BackfillRequest, Progress, backlog
from forwarder.okta.system_log.pages import PATH, SystemLog
from forwarder.okta.system_log.reconcile import Reconciler
from forwarder.ops import listener
from forwarder.receive.receiver import HookReceiver
from forwarder.receive.refusals import Refusals
from forwarder.settings import Settings
from forwarder.sink_settings import SinkSettings
from forwarder.sinks import registry
from forwarder.sinks.file.settings import FileSinkSettings
from forwarder.status import Status
from forwarder.store.dead_letters import DiscardRequest, ReplayRequest
from forwarder.store.engine import open_store
from forwarder.store.ledger import ForgetSinkRequest

FLUSH_GRACE = 10.0
"""Seconds that sinks may go on delivering while the forwarder stops."""

RELOAD_GRACE = 5.0
"""Seconds that a sink has to answer what is in flight before it is replaced."""

_STOP_ORDER = (
    "okta",  # a page that is not committed is read again after the next start
    "receiver",  # requests in flight are committed and answered; later ones get 503
    "workers",  # deliver what waits, for a bounded time; the rest stays in the store
    "sinks",
    "ops",  # until here an operator can watch the stop
    "control",
    "store",
)

_logger = logs.get("app")


class Forwarder:
    """One forwarder: its parts, from start to stop. Start it once.

    Attributes:
        settings: those in force.
        server: where Okta posts; known after `start`.
        ops: where operators look; known after `start`.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.metrics.build_info.info({"version": version("okta-forwarder")})
        self._clock = clock
        self._sinks: dict[str, Sink] = {}
        self._workers: dict[str, Worker] = {}
        self._delivering: dict[str, asyncio.Task[None]] = {}
        self._refusals = Refusals()
        self._okta: dict[str, OktaOrgRunner] = {}
        self._polling: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, Callable[[], Awaitable[None]]] = {}

    async def start(self) -> None:
        """Start every part; when it returns, Okta can post.

        Raises:
            ForwarderError: a part cannot start. The parts that had started are stopped again.
        """
        try:
            await self._start_store()
            await self._start_delivery()
            await self._start_ops()
            await self._start_receiver()
            self._start_okta()
        except BaseException:
            await self.stop(grace=0)
            raise
        _logger.info(
            "the forwarder has started",
            action="started",
            receiver=str(self.server.address),
            ops=str(self.ops.address),
            orgs=sorted(self.settings.orgs),
            sinks=sorted(self.settings.sinks),
        )

    async def stop(self, grace: float = FLUSH_GRACE) -> None:
        """Stop every part that has started, in the order of `_STOP_ORDER`. Safe to call twice.

        Args:
            grace: seconds that the sinks may go on delivering what waits.
        """
        self._grace = grace
        for part in _STOP_ORDER:
            if part in self._stops:
                await self._stops.pop(part)()

    async def _start_store(self) -> None:
        self.store = await open_store(self.settings.store, self._clock, self.metrics)
        self._stops["store"] = self.store.close
        handlers: dict[type[Request], Handler] = {
            ReplayRequest: lambda request, _: self.store.replay(request.selection),
            DiscardRequest: lambda request, _: self.store.discard(request.selection),
            ForgetSinkRequest: lambda request, _: self.store.forget_sink(request.sink),
            BackfillRequest: self._backfill,
        }
        control = ControlServer(self.settings.store.path, handlers)
        await control.start()
        self._stops["control"] = control.close

    async def _start_delivery(self) -> None:
        sinks = self.settings.sinks
        logs_and_positions = {name: await self.store.log(name, sinks[name].start) for name in sinks}
        await self.store.detach_except(sinks)
        await self._warn_of_removed_sinks()
        self._stops["sinks"] = self._close_sinks
        for name in sinks:
            self._sinks[name] = registry.build(name, sinks[name], self._clock)
        self._stops["workers"] = self._stop_workers
        for name in sinks:
            self._deliver(name, sinks[name], *logs_and_positions[name])

    async def _warn_of_removed_sinks(self) -> None:
        try:
            removed = (await self.store.ledger()).removed
        except StoreError:
            return  # the status says so, and everything else goes on
        for name, waiting in removed.items():
            _logger.warning(
                "events wait for a sink that is no longer configured, and are dropped after store.retention; configure it "
                "again by this name, or forget it: forwarder forget-sink NAME",
                action="sink_removed",
                sink=name,
                waiting=waiting,
            )

    def _deliver(self, name: str, settings: SinkSettings, log: EventLog, position: int) -> None:
        worker = Worker(
            name, self._sinks[name], log, position, settings.delivery, metrics=self.metrics, clock=self._clock
        )
        self._workers[name] = worker
        self._delivering[name] = asyncio.create_task(worker.run(), name=f"deliver {name}")

    async def _start_ops(self) -> None:
        self.status = Status(
            self.store,
            self._workers,
            self._okta,
            self._refusals,
            lambda: self.settings,
            self.metrics,
            self._clock,
        )
        ops = self.settings.ops
        app = listener.app(self.metrics, self.status, lambda: self.store.not_ready_reason, ops.allowed_hosts)
        self.ops = Server(app, ops.listen, self._limiter(ListenerLimits(max_connections=100)))
        await self.ops.start("ops.listen")
        self._stops["ops"] = self.ops.stop

    async def _start_receiver(self) -> None:
        settings = self.settings.receiver
        tls = tls_context(settings.tls) if settings.tls else None
        self.receiver = HookReceiver(
            self.store, self.settings.orgs, settings, self.metrics, self._clock, self._refusals
        )
        self.server = Server(self.receiver.app, settings.listen, self._limiter(settings), tls)
        await self.server.start("receiver.listen")
        self._stops["receiver"] = self._stop_receiver

    def _limiter(self, limits: ListenerLimits) -> ConnectionLimiter:
        return ConnectionLimiter(
            limits, self._clock, lambda reason: self.metrics.connections_evicted.labels(reason).inc()
        )

    def _start_okta(self) -> None:
        self._stops["okta"] = lambda: self._stop_okta(*self._polling)
        runners = {name: self._build_okta_org(name, self.settings) for name in self.settings.orgs}
        self._run_okta(self.settings, runners)

    def _build_okta_org(self, name: str, settings: Settings) -> OktaOrgRunner | None:
        """Build the watch of the org's hook and the polling of its System Log; None if it has no `api`.

        Raises:
            SettingsError: the credentials or the URL cannot be used.
        """
        org = settings.orgs.get(name)
        if org is None or org.api is None or org.url is None:
            return None
        api = OktaClient(org.url, org.api, settings.reconcile.rate_share, self._clock)
        watch = HookWatch(name, api, org.hook, self.metrics, self._clock) if org.hook else None
        log = SystemLog(name, org.url, api, self._clock)
        reconciler = Reconciler(log, self.store, settings.reconcile, watch, self.metrics, self._clock)
        backfills = Backfill(
            log, self.store, self._clock, self.metrics, self._backlog, lambda: api.allowance(PATH)
        )
        return OktaOrgRunner(name, api, watch, reconciler, backfills, self._clock)

    async def _backlog(self) -> str | None:
        ledger = await self.store.ledger()
        return backlog({name: sink.waiting for name, sink in ledger.sinks.items()})

    async def _backfill(self, request: BackfillRequest, report: Report) -> Progress:
        runner = self._okta.get(request.org)
        if runner is None:
            raise OktaError(
                f"the running forwarder does not read the System Log of {request.org}; if its configuration "
                "has changed, reload or restart it"
            )
        return await runner.backfill(request, report)

    def _run_okta(self, settings: Settings, runners: Mapping[str, OktaOrgRunner | None]) -> None:
        for name, runner in runners.items():
            if runner is not None:
                self._okta[name] = runner
                self._polling[name] = asyncio.create_task(runner.run(), name=f"okta {name}")
        for name, org in settings.orgs.items():
            for source in Source:
                enabled = 1 if source in org.sources else 0
                self.metrics.org_source_enabled.labels(name, source.value).set(enabled)

    async def _stop_okta(self, *names: str) -> None:
        for name in names:
            self._polling[name].cancel()
        await asyncio.gather(*(self._polling.pop(name) for name in names), return_exceptions=True)

    async def _stop_receiver(self) -> None:
        self.receiver.close()
        await self.server.stop()

    async def _stop_workers(self) -> None:
        await asyncio.gather(*(worker.stop(self._grace) for worker in self._workers.values()))
        for task in self._delivering.values():
            task.cancel()
        await asyncio.gather(*self._delivering.values(), return_exceptions=True)

    async def _close_sinks(self) -> None:
        await asyncio.gather(*(sink.close() for sink in self._sinks.values()))

    async def reload(self, settings: Settings) -> None:
        """Apply new settings, all or none, without dropping a request.

        The listeners, the store and the set of sinks stay as they are until a restart; a log line says so.

        Raises:
            ForwarderError: the new settings cannot be used. Nothing has changed.
        """
        old = self.settings
        async with AsyncExitStack() as unused:
            # First everything that can fail, then the swap.
            orgs = [
                name
                for name in settings.orgs | old.orgs
                if _okta_settings(settings, name) != _okta_settings(old, name)
            ]
            runners = {name: self._build_okta_org(name, settings) for name in orgs}
            sinks: dict[str, Sink | None] = {}
            for name in sorted(settings.sinks.keys() & old.sinks.keys()):
                if settings.sinks[name] != old.sinks[name]:
                    sinks[name] = None
                    if not _same_file(old.sinks[name], settings.sinks[name]):
                        sinks[name] = sink = registry.build(name, settings.sinks[name], self._clock)
                        unused.push_async_callback(sink.close)
            self.receiver.reload(settings.orgs, settings.receiver)
            unused.pop_all()
        self.server.reload(settings.receiver)
        for name, new in sinks.items():
            await self._replace_sink(name, settings, new)
        await self._stop_okta(*(name for name in runners if name in self._polling))
        for name in runners:
            self._okta.pop(name, None)
        self._run_okta(settings, runners)
        for section in _needs_restart(old, settings):
            text = "the changed section takes effect after a restart"
            _logger.warning(text, action="restart_needed", section=section)
        self.settings = settings
        _logger.info("the configuration is reloaded", action="reloaded")

    async def _replace_sink(self, name: str, settings: Settings, new: Sink | None) -> None:
        """Replace a sink. If `new` is None, build the new sink here, after the old one has released its file lock.

        The new sink sends batches again that have no result by then."""
        await self._workers[name].stop(RELOAD_GRACE)
        await self._sinks[name].close()
        self._sinks[name] = new or registry.build(name, settings.sinks[name], self._clock)
        attempt = 0
        while True:
            try:
                # Only the store knows the position: the last settlement may have landed after its worker
                # ended.
                log, position = await self.store.log(name, self.settings.sinks[name].start)
                break
            except StoreError as error:  # without a worker, the sink would stand still until the next start
                attempt += 1
                if attempt == 1:
                    _logger.exception(
                        "the sink waits for the store", action="reload_waits", sink=name, error=str(error)
                    )
                await self._clock.sleep(Backoff().delay(attempt))
        self._deliver(name, settings.sinks[name], log, position)


def _same_file(old: SinkSettings, new: SinkSettings) -> bool:
    """Whether both write one file, which only one of them can lock at a time."""
    return isinstance(old, FileSinkSettings) and isinstance(new, FileSinkSettings) and old.path == new.path


def _okta_settings(settings: Settings, name: str) -> object:
    """What the runner of an org is built from; None if the org does not exist."""
    org = settings.orgs.get(name)
    return org and (org.url, org.api, org.hook, settings.reconcile)


def _needs_restart(old: Settings, new: Settings) -> list[str]:
    """The changed sections that a reload does not apply."""
    sections = [name for name in ("store", "ops", "log") if getattr(old, name) != getattr(new, name)]
    if old.sinks.keys() != new.sinks.keys():
        sections.append("sinks")
    if (old.receiver.listen, old.receiver.tls) != (new.receiver.listen, new.receiver.tls):
        sections.append("receiver")
    return sections
