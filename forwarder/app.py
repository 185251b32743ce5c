"""Connects the rooms (the packages): builds all parts from the settings, runs them, and stops them in a fixed order.

The start goes from the inside out, so that Okta can post only when everything behind the receiver works:

    store, control socket, positions → sinks, workers → rules → ops listener → receiver → Okta orgs → reactions

The stop goes from the outside in (`_STOP_ORDER`), so that acknowledged events are not left half processed.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from forwarder import logs
from forwarder.control_socket.messages import ControlRequest, Handler, Report, WatchRequest
from forwarder.control_socket.server import ControlServer, never
from forwarder.core.errors import StoreError
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND
from forwarder.detect.runner import RuleRunner
from forwarder.heartbeat import Heartbeat
from forwarder.http.connections import ConnectionLimiter
from forwarder.http.server import Server
from forwarder.http.settings import ListenerLimits, TlsSettings, tls_context
from forwarder.metrics import Metrics
from forwarder.okta.hooks.watch import CheckHookRequest
from forwarder.okta.system_log.backfill import BackfillRequest, backlog
from forwarder.okta_orgs import OktaOrgs
from forwarder.ops.listener import OpsListener
from forwarder.ops_data import OpsData
from forwarder.react.operator_requests import ApproveRequest, PauseRequest, ResumeRequest, UndoRequest
from forwarder.react.prompts.muted import Muted
from forwarder.reaction_runner.build import Reactions
from forwarder.reaction_runner.runner import ReactionRunner
from forwarder.receive.auth import Refusals
from forwarder.receive.receiver import HookReceiver
from forwarder.rules.evaluation.ruleset import Ruleset
from forwarder.settings import Settings
from forwarder.sink_workers import SinkWorkers
from forwarder.status import Status, StatusRequest, log_hourly
from forwarder.status_gauges import count_connections, set_certificates
from forwarder.store.backup import BackupRequest
from forwarder.store.dead_letters import DiscardRequest, ReplayRequest
from forwarder.store.interface import open_store
from forwarder.store.ledger import ForgetSinkRequest
from forwarder.store.redelivery import RedeliverRequest, RedeliveryProgress, redeliver
from forwarder.tasks import end_tasks

FLUSH_GRACE = 10.0
"""The number of seconds for which the sinks may go on delivering while the forwarder stops."""

_STOP_ORDER = (
    "reactions",  # they call Okta; after the next start, the rows in the store show which calls had begun
    "okta",  # a page that is not committed is read again after the next start
    "receiver",  # requests in flight are committed and answered; later ones get 503
    "rules",  # evaluate all stored events, so that their alerts are delivered too
    "workers",  # deliver the waiting events, for a limited time; the rest stays in the store
    "sinks",
    "heartbeat",
    "hourly line",
    "ops",  # stops late, so that an operator can watch the other parts stop
    "control",
    "store",
)

_logger = logs.get("app")


class Forwarder:
    """One forwarder: its parts, from start to stop. Start it once.

    Attributes:
        settings: the settings in force.
        server: the HTTP server that Okta posts to; set by `start`.
        ops: the HTTP server of the ops listener; set by `start`.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self._started_with = settings
        self.metrics = Metrics(logs.lines_written)
        self.metrics.build_info.info({"version": version("okta-forwarder")})
        self._clock = clock
        self._refusals = Refusals()
        self._muted = Muted()
        self._stops: dict[str, Callable[[], Awaitable[None]]] = {}
        self._replaying: set[str] = set()  # the sinks with a running replay

    async def start(self) -> None:
        """Start every part of the forwarder. When this method returns, Okta can post events.

        Raises:
            ForwarderError: a part cannot start. The parts that had already started have been stopped.
        """
        try:
            await self._start_store()
            await self._start_delivery()
            await self._start_rules()
            await self._start_ops()
            await self._start_receiver()
            await self._start_okta()
            await self._start_reactions()
            await self._start_heartbeat()
        except BaseException:
            await self.stop(grace=0)
            raise
        await self._record_configuration()
        _logger.info(
            "the forwarder has started",
            action="started",
            receiver=str(self.server.address),
            ops=str(self.ops.address),
            orgs=sorted(self.settings.orgs),
            sinks=sorted(self.settings.sinks),
        )

    async def stop(self, grace: float = FLUSH_GRACE) -> None:
        """Stop every part that has started, in the order of `_STOP_ORDER`. A second call does nothing.

        The sinks may go on delivering waiting events for `grace` seconds.
        """
        self._grace = grace
        for part in _STOP_ORDER:
            if part in self._stops:
                await self._stops.pop(part)()

    async def _start_store(self) -> None:
        self.store = await open_store(self.settings.store, self._clock, self.metrics)
        self._stops["store"] = self.store.close
        self._delivery = SinkWorkers(self.store, self.metrics, self._clock)
        self._rules = RuleRunner(self.store, self.metrics, self._clock, self._muted)
        self._orgs = OktaOrgs(self.store, self.metrics, self._clock, self._backlog)
        self._reactions = ReactionRunner(self.store, self.metrics, self._clock, self._muted.note)
        self.status = Status(
            self.store,
            self._delivery.workers,
            self._orgs.runners,
            self._refusals,
            self._rules.gather,
            lambda: self._reactions.gather(self.settings.reactions),
            lambda: self.settings,
            self.metrics,
            self._clock,
        )
        handlers: dict[type[ControlRequest], Handler] = {
            WatchRequest: never,
            StatusRequest: lambda *_: self.status.gather(),
            ReplayRequest: lambda request, _: self.store.replay(request.selection),
            DiscardRequest: lambda request, _: self.store.discard(request.selection),
            ForgetSinkRequest: lambda request, _: self.store.forget_sink(request.sink),
            BackfillRequest: self._orgs.backfill,
            CheckHookRequest: self._orgs.check_hook,
            RedeliverRequest: self._redeliver,
            ApproveRequest: lambda request, _: self._reactions.approve(request),
            UndoRequest: lambda request, _: self._reactions.undo(request),
            PauseRequest: lambda request, _: self._reactions.pause(request),
            ResumeRequest: lambda request, _: self._reactions.resume(request),
            BackupRequest: lambda request, report: self.store.backup(Path(request.target), report),
        }
        control = ControlServer(self.settings.store.path, handlers)
        await control.start()
        self._stops["control"] = control.close

    async def _start_delivery(self) -> None:
        self._stops["sinks"] = self._delivery.close
        self._stops["workers"] = lambda: self._delivery.stop(self._grace)
        await self._delivery.start(self.settings.sinks)

    async def _start_rules(self) -> None:
        self._stops["rules"] = self._rules.stop
        engine = await self._rules.build(self.settings.rules)
        self._ruleset = engine.rules
        await self._rules.apply(self.settings.rules, engine)

    async def _start_ops(self) -> None:
        ops = self.settings.ops
        self._listener = OpsListener(
            self.metrics,
            self.status,
            self.store.view,
            OpsData(self.store),
            lambda: self.store.not_ready_reason,
            settings=lambda: self.settings.ops,
            approvals=self._reactions,
            clock=self._clock,
        )
        # A browser may suspend a tab. Its page then reads nothing for a while, but must stay connected.
        limits = ListenerLimits(max_connections=100, body_timeout="60s")
        context = tls_context(ops.tls, "ops.tls") if ops.tls else None
        self.ops = Server(self._listener.app, ops.listen, self._limiter("ops", limits), context)
        await self.ops.start("ops.listen")
        self._stops["ops"] = self._stop_ops
        self._history = asyncio.create_task(self._listener.history.run(), name="history")
        self._hourly = asyncio.create_task(log_hourly(self.status.gather, self._clock), name="hourly line")
        self._stops["hourly line"] = self._stop_hourly_line

    async def _start_receiver(self) -> None:
        settings = self.settings.receiver
        context = tls_context(settings.tls, "receiver.tls") if settings.tls else None
        self.receiver = HookReceiver(
            self.store, self.settings.orgs, settings, self.metrics, self._clock, self._refusals
        )
        self.receiver.public = self.settings.reactions.public_documents
        self.server = Server(self.receiver.app, settings.listen, self._limiter("receiver", settings), context)
        await self.server.start("receiver.listen")
        self._stops["receiver"] = self._stop_receiver

    def _limiter(self, listener: str, limits: ListenerLimits) -> ConnectionLimiter:
        limiter = ConnectionLimiter(
            limits, self._clock, lambda reason: self.metrics.connections_evicted.labels(reason).inc()
        )
        count_connections(self.metrics, listener, limiter)
        return limiter

    async def _start_okta(self) -> None:
        self._stops["okta"] = self._orgs.stop
        await self._orgs.apply(self.settings, self._orgs.build(self.settings))

    async def _start_reactions(self) -> None:
        self._stops["reactions"] = self._reactions.stop
        await self._reactions.apply(self._build_reactions(self.settings, self._ruleset))

    def _build_reactions(self, settings: Settings, rules: Ruleset) -> Reactions:
        runner = self._reactions
        return Reactions(
            settings,
            rules,
            self._orgs.client,
            self.store,
            memory=runner.memory,
            pauses=lambda: runner.pauses,
            clock=self._clock,
        )

    async def _start_heartbeat(self) -> None:
        self._heartbeat = Heartbeat(self.status.gather, self._clock)
        self._stops["heartbeat"] = self._heartbeat.stop
        await self._heartbeat.start(self.settings)

    async def _backlog(self) -> str | None:
        ledger = await self.store.ledger()
        return backlog({name: sink.waiting for name, sink in ledger.sinks.items()})

    async def _redeliver(self, request: RedeliverRequest, report: Report) -> RedeliveryProgress:
        settings = self.settings.sinks.get(request.sink)
        if settings is None:
            raise StoreError(f"the running forwarder has no sink {request.sink}; reload its configuration")
        if request.sink in self._replaying:  # two replays to one sink would store their progress under the same name
            raise StoreError(f"another replay to the sink {request.sink} is running; wait for its end, or stop it")
        self._replaying.add(request.sink)
        try:
            return await redeliver(self.store, self._clock, request, settings.accepts, report)
        finally:
            self._replaying.discard(request.sink)

    async def _stop_hourly_line(self) -> None:
        await end_tasks([self._hourly])

    async def _stop_receiver(self) -> None:
        self.receiver.close()
        await self.server.stop()

    async def _stop_ops(self) -> None:
        await end_tasks([self._history])
        self._listener.close_streams()  # otherwise the listener would wait until every open page is closed
        await self.ops.stop()

    async def reload(self, settings: Settings) -> None:
        """Apply all of the new settings, or none of them. No request is dropped.

        The addresses of the listeners and the store stay as they are until a restart; a log line says so.

        Raises:
            ForwarderError: the new settings cannot be used. Nothing has changed.
        """
        # First do everything that can fail. Each part compares the new settings with those that it runs with, and not
        # with those of the last reload, which may have failed.
        context = _new_context(self.server, settings.receiver.tls, "receiver.tls")
        ops_context = _new_context(self.ops, settings.ops.tls, "ops.tls")
        asked, settings = settings, _in_force(self._started_with, settings)
        endpoints = self.receiver.build(settings.orgs, settings.receiver)
        public = settings.reactions.public_documents
        orgs = self._orgs.build(settings)
        engine = await self._rules.build(settings.rules)
        reactions = self._build_reactions(settings, engine.rules)
        sinks = await self._delivery.build(settings.sinks)
        # Then replace the parts, which cannot fail.
        self.settings = settings
        self.server.tls, self.ops.tls = context, ops_context
        self.server.reload(settings.receiver)
        self.receiver.apply(endpoints)
        self.receiver.public = public
        await self._orgs.apply(settings, orgs)
        await self._delivery.apply(settings.sinks, sinks)
        await self._rules.apply(settings.rules, engine)
        await self._reactions.apply(reactions)
        await self._heartbeat.start(settings)
        await self._record_configuration()
        for section in ("store", "log", "ops", "receiver"):
            if getattr(asked, section) != getattr(settings, section):
                text = "a section of the configuration has changed that needs a restart; restart the forwarder"
                _logger.warning(text, action="restart_needed", section=section)
        _logger.info("the configuration was reloaded", action="reloaded")

    async def _record_configuration(self) -> None:
        """Set the metrics about the configuration that is now in force, and log each certificate that was replaced."""
        found = await asyncio.to_thread(set_certificates, self.metrics, self.settings)
        for setting, certificate in found.items():
            if self.status.certificates.get(setting, certificate).serial != certificate.serial:
                _logger.info(
                    "a certificate was replaced; new connections use the new one",
                    action="certificate_replaced",
                    setting=setting,
                    serial=certificate.serial,
                    valid_until=certificate.end.isoformat(),
                )
        self.status.certificates = found
        self.metrics.config_reload_successful.set(1)
        self.metrics.config_reloaded_at.set(self._clock.now() / SECOND)


def _in_force(started: Settings, asked: Settings) -> Settings:
    """Return the settings that are in force after a reload with the settings `asked`.

    A reload cannot change the store, the log, the addresses of the listeners, or whether a listener serves HTTPS. These
    settings stay as in `started`, the settings with which this process started.
    """
    kept: dict[str, Any] = {"store": started.store, "log": started.log}
    for name in ("ops", "receiver"):
        before, after = getattr(started, name), getattr(asked, name)
        tls = after.tls if before.tls and after.tls else before.tls
        kept[name] = after.model_copy(update={"listen": before.listen, "tls": tls})
    return asked.model_copy(update=kept)


def _new_context(server: Server, wanted: TlsSettings | None, path: str) -> ssl.SSLContext | None:
    """Return the TLS context of `server` after a reload; None if the server serves HTTP.

    A reload cannot change a listener from HTTP to HTTPS or back. `path` is the path of the setting, for the text of an
    error.

    Raises:
        SettingsError: the certificate cannot be used.
    """
    return tls_context(wanted, path) if server.tls and wanted else server.tls
