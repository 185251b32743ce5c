"""Sets the gauges that show the status or the settings. Counters and histograms are updated elsewhere, at each
event."""

import math
from collections.abc import Mapping
from typing import Any

from forwarder import tls
from forwarder.certificate_check import certificates
from forwarder.core.time import SECOND, Micros
from forwarder.http.connections import ConnectionLimiter
from forwarder.metrics import Metrics
from forwarder.okta.hooks.watch import Condition
from forwarder.receive.auth import Sender
from forwarder.settings import Settings
from forwarder.store.ledger import PLACES


def set_gauges(metrics: Metrics, status: Mapping[str, Any], now: Micros) -> None:
    """Set the gauges to the values in `status`, the result of `Status.gather` at `now`."""
    metrics.ready.set(1 if status["ready"] else 0)
    metrics.stored_events.set(status["stored"])
    for key in ("events", "bytes", "wal_bytes", "max_bytes", "waiting_bytes"):
        getattr(metrics, f"store_{key}").set(status[f"store_{key}"])
    is_disk_known = status["store_disk_bytes"] > 0
    for key in ("disk_bytes", "disk_free_bytes"):
        # Without the store's folder, its disk is not known. With 0, the alert ForwarderDiskFilling would fire.
        getattr(metrics, f"store_{key}").set(status[f"store_{key}"] if is_disk_known else math.nan)
    metrics.dead_letters.labels("receiver").set(status["receiver_dead"])
    for name, sink in status["sinks"].items():
        _set_sink(metrics, name, sink, now)
    metrics.hook_refused_requests.clear()  # a reload may have removed orgs
    for name, org in status["okta"].items():
        metrics.hook_refused_requests.labels(name, Sender.OKTA.value).set(org["okta_refused"])
        metrics.hook_refused_requests.labels(name, Sender.OTHER.value).set(org["refused"] - org["okta_refused"])
        if org["hook"] is not None:
            for condition in Condition:
                is_current = condition.value == org["hook"]["condition"]
                metrics.hook_state.labels(name, condition.value).set(1 if is_current else 0)


def count_connections(metrics: Metrics, listener: str, limiter: ConnectionLimiter) -> None:
    """Let two gauges show, at each scrape, the number and the limit of the connections of `listener`."""
    metrics.connections.labels(listener).set_function(lambda: len(limiter.connections))
    metrics.connections_limit.labels(listener).set_function(lambda: limiter.limits.max_connections)


def set_certificates(metrics: Metrics, settings: Settings) -> dict[str, tls.Certificate]:
    """Read each certificate that `settings` name, and set the gauge of its expiry.

    Return the readable certificates, by the path of their setting, such as `receiver.tls.cert`.
    """
    metrics.certificate_expiry.clear()
    readable = {setting: certificate for setting, _, certificate in certificates(settings)}
    for setting, certificate in readable.items():
        metrics.certificate_expiry.labels(setting).set(certificate.end.timestamp())
    return readable


def _set_sink(metrics: Metrics, name: str, sink: Mapping[str, Any], now: Micros) -> None:
    metrics.sink_lag.labels(name).set(sink["oldest_waiting_seconds"])
    metrics.sink_backlog.labels(name).set(sink["waiting"])
    metrics.sink_paused.labels(name).set(1 if sink["state"] == "paused" else 0)
    metrics.dead_letters.labels(name).set(sink["dead"])
    if sink["last_success_seconds_ago"] is not None:
        metrics.sink_last_delivery.labels(name).set(now / SECOND - sink["last_success_seconds_ago"])
    for place in PLACES:
        metrics.ledger_events.labels(name, place).set(sink[place])
