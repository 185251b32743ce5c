"""The state of every part, for the status page, the metrics and the demo's live view."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.deliver.worker import Worker
from forwarder.metrics import Metrics
from forwarder.okta.org import OktaOrgRunner
from forwarder.store.ledger import SinkLedger
from forwarder.store.sqlite.store import Store

_SECOND = 1_000_000


class Status:
    """Gathers what the store, the workers and the Okta sides know, and brings the gauges up to date."""

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

    async def gather(self) -> dict[str, Any]:
        """All of it, as JSON can hold it. Times are seconds."""
        ledger = await self._store.ledger()
        now = self._clock.now()
        not_ready_reason = self._store.not_ready_reason
        self._metrics.store_bytes.set(ledger.bytes)
        self._metrics.store_events.set(ledger.events)
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
            "okta": {name: side.state() for name, side in sorted(self._okta.items())},
            "sinks": {name: self._sink(name, ledger.sinks[name], now) for name in sorted(self._workers)},
        }

    def _sink(self, name: str, sink: SinkLedger, now: Micros) -> dict[str, Any]:
        worker = self._workers[name].status
        oldest = 0.0 if sink.oldest is None else max(0.0, (now - sink.oldest) / _SECOND)
        self._metrics.sink_lag.labels(name).set(oldest)
        self._metrics.sink_backlog.labels(name).set(sink.waiting)
        return {
            "state": worker.state.value,
            "delivered": sink.delivered,
            "waiting": sink.waiting,
            "dead": sink.dead,
            "discarded": sink.discarded,
            "skipped": sink.skipped,
            "oldest_waiting_seconds": oldest,
            "in_flight": worker.in_flight,
            "held": worker.held,
            "attempt": worker.attempt,
            "last_error": worker.detail,
            "last_success_seconds_ago": _ago(worker.last_success, now),
            "next_try_in_seconds": None
            if worker.next_try is None
            else max(0.0, (worker.next_try - now) / _SECOND),
        }


def _ago(at: Micros | None, now: Micros) -> float | None:
    return None if at is None else max(0.0, (now - at) / _SECOND)
