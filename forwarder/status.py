"""The state of every part, for the status page, the metrics and the demo's live view."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from forwarder.core.ports import Clock
from forwarder.core.time import Micros, seconds_between
from forwarder.deliver.worker import Worker
from forwarder.metrics import Metrics
from forwarder.okta.org import OktaOrgRunner, OktaOrgState
from forwarder.store.engine import Store
from forwarder.store.ledger import SinkLedger


class Status:
    """Gathers what the store, the workers and the runners of Okta orgs report."""

    def __init__(
        self,
        store: Store,
        workers: Mapping[str, Worker],
        okta: Mapping[str, OktaOrgRunner],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._store = store
        self._workers = workers
        self._okta = okta
        self._metrics = metrics
        self._clock = clock
        self._started = clock.monotonic()

    async def refresh_gauges(self) -> None:
        """Set the gauges that nothing else keeps up to date, before a scrape."""
        ledger = await self._store.ledger()
        now = self._clock.now()
        self._metrics.store_bytes.set(ledger.bytes)
        self._metrics.store_events.set(ledger.events)
        for name in self._workers:
            sink = ledger.sinks[name]
            self._metrics.sink_lag.labels(name).set(_oldest_age(sink, now))
            self._metrics.sink_backlog.labels(name).set(sink.waiting)

    async def gather(self) -> dict[str, Any]:
        """Return the state of everything, ready for JSON. Times are in seconds."""
        ledger = await self._store.ledger()
        now = self._clock.now()
        not_ready_reason = self._store.not_ready_reason
        return {
            "version": version("okta-forwarder"),
            "uptime_seconds": self._clock.monotonic() - self._started,
            "ready": not_ready_reason is None,
            "not_ready_reason": not_ready_reason,
            "stored": ledger.stored,
            "duplicates": ledger.duplicates,
            "rejected": ledger.rejected,
            "balanced": ledger.balanced,
            "store_events": ledger.events,
            "store_bytes": ledger.bytes,
            "okta": {name: _okta(runner.state, now) for name, runner in sorted(self._okta.items())},
            "sinks": {name: self._sink(name, ledger.sinks[name], now) for name in sorted(self._workers)},
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
            "oldest_waiting_seconds": _oldest_age(sink, now),
            "in_flight": worker.in_flight,
            "held": worker.held,
            "attempt": health.attempt,
            "last_error": health.last_failure,
            "last_success_seconds_ago": seconds_between(health.last_success, now),
            "next_try_in_seconds": health.seconds_to_next_try,
        }


def _okta(state: OktaOrgState, now: Micros) -> dict[str, Any]:
    log, hook = state.log, state.hook
    return {
        "log": {
            "last_poll_seconds_ago": seconds_between(log.last_poll, now),
            "complete_up_to_seconds_ago": seconds_between(log.complete_until, now),
            "missed": log.missed,
            "restarts": log.restarts,
            "error": log.error,
        },
        "hook_failures": state.alerts.failures,
        "hook_quota": state.alerts.quota,
        "hook": None
        if hook is None
        else {
            "id": hook.hook_id,
            "condition": hook.condition.value,
            "since_seconds_ago": seconds_between(hook.since, now),
            "error": hook.error,
        },
    }


def _oldest_age(sink: SinkLedger, now: Micros) -> float:
    """Seconds since the oldest waiting event was published; 0 if none waits."""
    return seconds_between(sink.oldest, now) or 0.0
