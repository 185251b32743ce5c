"""Gathers the state of every part, for the status page, the metrics and the live view of the demo."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypedDict

import msgspec

from forwarder import logs, tls
from forwarder.control_socket.messages import ControlRequest
from forwarder.core.errors import StoreError
from forwarder.core.ports import Clock
from forwarder.core.redaction import redact_all
from forwarder.core.time import SECOND, Micros, iso, seconds_between
from forwarder.deliver.worker import Worker
from forwarder.health_verdict.refused import refused_level
from forwarder.health_verdict.samples import Samples, read_values
from forwarder.health_verdict.verdict import problems, verdict
from forwarder.logs import RateLimitedLogger
from forwarder.metrics import Metrics
from forwarder.okta.hooks.watch import HookState
from forwarder.okta.org_runner import OktaOrgRunner
from forwarder.okta.system_log.reconcile import ReconcileState
from forwarder.receive.auth import OrgRequests, Refusals, Refused, endpoint_path
from forwarder.settings import OrgSettings, Settings
from forwarder.status_gauges import set_gauges
from forwarder.store.interface import Store
from forwarder.store.ledger import Ledger, SinkLedger
from forwarder.store.settings import real_path

_logger = logs.get("app")

_VERSION = version("okta-forwarder")  # read once, because an upgrade replaces the files of the running process

_NO_REQUESTS = OrgRequests(None, 0, None)  # of an org without a hook, whose path may be that of another org
_NO_SINK = SinkLedger(0, 0, 0, 0, 0, 0, 0, None)


class _LiveSink(TypedDict):
    state: str
    last_error: str | None
    next_try_in_seconds: float | None
    held: int
    waiting: int


class _LiveHook(TypedDict, total=False):
    id: str | None


class _LiveOrg(TypedDict, total=False):
    hook: _LiveHook | None


class LiveStatus(TypedDict):
    """The parts of the status that commands read."""

    sinks: dict[str, _LiveSink]
    okta: dict[str, _LiveOrg | None]


class StatusRequest(ControlRequest, frozen=True, tag="status"):
    """The request for the result of `Status.gather` of the running forwarder."""

    returns: ClassVar[type] = LiveStatus


class Status:
    """Gathers the state that the store, the workers, the receiver and the runners of Okta orgs report.

    Attributes:
        reload_failed_reason: why the last reload was refused; None if it was applied. `forwarder_process` sets this
            attribute.
        certificates: the certificates that the settings name, by setting, as they were last read. `app` sets this
            attribute.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # it gathers from every part
        self,
        store: Store,
        workers: Mapping[str, Worker],
        okta: Mapping[str, OktaOrgRunner],
        refusals: Refusals,
        rules: Callable[[], Awaitable[dict[str, Any] | None]],
        reactions: Callable[[], dict[str, Any] | None],
        settings: Callable[[], Settings],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """Create the object. It reports the state of the given parts.

        `rules` and `reactions` return the state of the rules and of the reactions, or None if these are not configured.
        `settings` returns the settings in force. `okta` has the runners of the orgs that have the section `api`, by
        org.
        """
        self._store = store
        self._workers = workers
        self._okta = okta
        self._refusals = refusals
        self._rules = rules
        self._reactions = reactions
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._samples = Samples()
        self._started = clock.monotonic()
        self.reload_failed_reason: str | None = None
        self.certificates: Mapping[str, tls.Certificate] = {}
        self._ledger = Ledger(0, 0, 0, {}, 0, 0)  # the last ledger that could be read
        self._logger = RateLimitedLogger(logs.get("store"), clock, interval=600.0)

    async def refresh_gauges(self) -> None:
        """Set the gauges that show the status. Call this method before each scrape."""
        status = await self.gather()
        set_gauges(self._metrics, status, self._clock.now())

    async def gather(self) -> dict[str, Any]:
        """Return the state of every part and the verdict, ready for JSON. Durations are in seconds."""
        ledger, unreadable = await self._read_ledger()
        disk = await asyncio.to_thread(_disk_usage, self._settings().store.path)
        now = self._clock.now()
        not_ready_reason = self._store.not_ready_reason
        status = {
            "version": _VERSION,
            "uptime_seconds": self._clock.monotonic() - self._started,
            "ready": not_ready_reason is None,
            "not_ready_reason": not_ready_reason,
            "store_unreadable_reason": unreadable,
            "reload_failed_reason": self.reload_failed_reason,
            "stored": ledger.stored,
            "duplicates": ledger.duplicates,
            "rejected": ledger.rejected,
            "receiver_dead": ledger.receiver_dead,
            "balanced": ledger.balanced,
            "store_events": ledger.events,
            "store_bytes": ledger.bytes,
            "store_wal_bytes": ledger.wal_bytes,
            "store_max_bytes": self._settings().store.max_size,
            "store_waiting_bytes": ledger.waiting_bytes,
            "store_disk_bytes": disk.total,
            "store_disk_free_bytes": disk.free,
            "okta": {name: self._org(name, org, now) for name, org in sorted(self._settings().orgs.items())},
            "sinks": {name: self._sink(name, ledger.sinks.get(name, _NO_SINK), now) for name in sorted(self._workers)},
            "removed_sinks": dict(ledger.removed),
            "certificates": {
                setting: each.end.timestamp() - now / SECOND for setting, each in self.certificates.items()
            },
            "rules": await self._read_rules() if unreadable is None else None,
            **({} if (reactions := self._reactions()) is None else {"reactions": reactions}),
            "recent_refusals": [_refusal(each) for each in reversed(self._refusals.recent)],
        }
        if self._samples.is_due(self._clock.monotonic()):
            self._samples.add(self._clock.monotonic(), read_values(self._metrics, status))
        found = problems(status, self._samples)
        listed = [msgspec.structs.asdict(problem) for problem in found]
        whole = {"verdict": msgspec.structs.asdict(verdict(found, status)), "problems": listed, **status}
        redacted: dict[str, Any] = redact_all(whole)
        return redacted

    async def _read_ledger(self) -> tuple[Ledger, str | None]:
        """Return (the ledger, None). If the store cannot be read, return (the last known ledger, the reason).

        So the rest of the status can still be reported.
        """
        try:
            self._ledger = await self._store.ledger()
        except StoreError as error:
            reason = str(error)
        else:
            return self._ledger, None
        self._logger.error("the store cannot be read", action="store_unreadable", reason=reason)
        return self._ledger, reason

    async def _read_rules(self) -> dict[str, Any] | None:
        try:
            return await self._rules()
        except StoreError:  # the store was damaged after the ledger was read; the next call reports this
            return None

    def _org(self, name: str, org: OrgSettings, now: Micros) -> dict[str, Any]:
        path = endpoint_path(org)
        requests = self._refusals.requests(name, path, now) if org.secrets else _NO_REQUESTS
        runner = self._okta.get(name)
        state = runner.state if runner else None
        warnings = state.hook_warnings if state else None
        return {
            "api": org.api is not None,
            "accepted_seconds_ago": seconds_between(requests.accepted_at, now),
            "refused": requests.refused,
            "okta_refused": requests.okta_refused,
            "refused_level": refused_level(requests.refused, requests.okta_refused),
            "refused_from_okta": requests.refused_from_okta,
            "hook_configured": bool(org.secrets),
            "path": path,
            "refused_seconds_ago": seconds_between(requests.refused_at, now),
            "log": _log(state.log, now) if state else None,
            "hook": _hook(state.hook, now) if state and state.hook else None,
            "hook_failures": warnings.failures if warnings else 0,
            "hook_failed_seconds_ago": seconds_between(warnings.failed_at, now) if warnings else None,
            "hook_failure_reason": warnings.failure_reason if warnings else "",
            "hook_quota": warnings.quota if warnings else None,
        }

    def _sink(self, name: str, sink: SinkLedger, now: Micros) -> dict[str, Any]:
        worker = self._workers[name]
        health = worker.health
        return {
            "state": worker.state.value,
            "delivered": sink.delivered,
            "waiting": sink.waiting,
            "dead": sink.dead,
            "discarded": sink.discarded,
            "skipped": sink.skipped,
            "filtered": sink.filtered,
            "oldest_waiting_seconds": _oldest_age(sink, now),
            "in_flight": worker.in_flight,
            "held": worker.held,
            "set_aside": worker.set_aside,
            "attempt": health.attempt,
            "last_error": health.last_failure,
            "hint": health.hint,
            "warning": health.warning,
            "last_success_seconds_ago": seconds_between(health.last_success, now),
            "next_try_in_seconds": health.seconds_to_next_try,
        }


async def log_hourly(gather: Callable[[], Awaitable[Mapping[str, Any]]], clock: Clock) -> None:
    """Log every hour that the forwarder is running, with its main numbers.

    If this line is missing in the log, the forwarder is not running.
    """
    while True:
        await clock.sleep(3600)
        try:
            status = await gather()
        except Exception:  # one failed line must not prevent the later ones
            _logger.exception(
                "the hourly log line `heartbeat` could not be written. This is a bug: please report it",
                action="heartbeat_error",
            )
            continue
        sinks = status["sinks"]
        _logger.info(
            "the forwarder is running",
            action="heartbeat",
            uptime_seconds=round(status["uptime_seconds"]),
            ready=status["ready"],
            problems=[problem["text"] for problem in status["problems"]],
            stored=status["stored"],
            waiting={name: sink["waiting"] for name, sink in sinks.items()},
            dead={name: sink["dead"] for name, sink in sinks.items()},
        )


def _refusal(refused: Refused) -> dict[str, Any]:
    return msgspec.structs.asdict(refused) | {"at": iso(refused.at, "milliseconds")}


def _log(log: ReconcileState, now: Micros) -> dict[str, Any]:
    return {
        "last_poll_seconds_ago": seconds_between(log.last_poll, now),
        "complete_up_to_seconds_ago": seconds_between(log.complete_until, now),
        "missed": log.missed,
        "differing": log.differing,
        "restarts": log.restarts,
        "error": log.error,
    }


def _hook(hook: HookState, now: Micros) -> dict[str, Any]:
    return {
        "id": hook.hook_id,
        "condition": hook.condition.value,
        "since_seconds_ago": seconds_between(hook.since, now),
        "error": hook.error,
    }


class _Disk(NamedTuple):
    total: int
    free: int


def _disk_usage(store: Path) -> _Disk:
    """Return the size and the free space of the file system of `store`, in bytes; zeros if its folder is missing."""
    try:
        total, _, free = shutil.disk_usage(real_path(store).parent)
    except OSError:
        return _Disk(0, 0)
    return _Disk(total, free)


def _oldest_age(sink: SinkLedger, now: Micros) -> float:
    """Return the seconds since the oldest event that waits for `sink` was received; 0 if no event waits."""
    return seconds_between(sink.oldest, now) or 0.0
