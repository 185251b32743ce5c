from typing import Any

import pytest

from forwarder.metrics import Metrics
from forwarder.status_gauges import set_gauges
from forwarder.store.ledger import PLACES

SINK: dict[str, Any] = {
    "state": "running",
    "delivered": 5,
    "dead": 1,
    "discarded": 2,
    "skipped": 0,
    "filtered": 0,
    "waiting": 2,
    "oldest_waiting_seconds": 7.5,
    "last_success_seconds_ago": 3.0,
}
STATUS: dict[str, Any] = {
    "ready": True,
    "stored": 10,
    "receiver_dead": 4,
    "store_events": 8,
    "store_bytes": 4096,
    "store_wal_bytes": 512,
    "store_max_bytes": 8192,
    "store_waiting_bytes": 1024,
    "store_disk_bytes": 100_000,
    "store_disk_free_bytes": 50_000,
    "sinks": {"siem": SINK, "archive": SINK | {"state": "paused", "last_success_seconds_ago": None}},
    "okta": {
        "acme": {"hook": {"condition": "unverified"}, "refused": 5, "okta_refused": 2},
        "other": {"hook": None, "refused": 0, "okta_refused": 0},
    },
}
NOW = 1_000_000_000


def gauge(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"forwarder_{name}", labels)


@pytest.mark.long
def test_a_scrape_repeats_the_status() -> None:
    metrics = Metrics()
    set_gauges(metrics, STATUS, NOW)
    assert gauge(metrics, "ready") == 1
    assert gauge(metrics, "store_waiting_bytes") == 1024
    assert gauge(metrics, "store_max_bytes") == 8192
    assert gauge(metrics, "store_disk_free_bytes") == 50_000
    assert gauge(metrics, "dead_letters", sink="receiver") == 4
    assert gauge(metrics, "dead_letters", sink="siem") == 1
    assert gauge(metrics, "sink_lag_seconds", sink="siem") == 7.5
    assert gauge(metrics, "sink_backlog_events", sink="siem") == 2
    assert gauge(metrics, "sink_last_delivery_timestamp_seconds", sink="siem") == 997
    assert gauge(metrics, "sink_last_delivery_timestamp_seconds", sink="archive") is None
    assert [gauge(metrics, "sink_paused", sink=name) for name in ("siem", "archive")] == [0, 1]
    assert gauge(metrics, "hook_refused_requests", org="acme", sender="okta") == 2
    assert gauge(metrics, "hook_refused_requests", org="acme", sender="other") == 3
    assert gauge(metrics, "hook_state", org="acme", condition="unverified") == 1
    assert gauge(metrics, "hook_state", org="acme", condition="live") == 0
    assert gauge(metrics, "hook_state", org="other", condition="live") is None


def test_the_law_of_the_ledger_is_a_metric() -> None:
    metrics = Metrics()
    set_gauges(metrics, STATUS, NOW)
    places = [gauge(metrics, "ledger_events", sink="siem", place=place) or 0.0 for place in PLACES]
    assert sum(places) == gauge(metrics, "stored_events") == 10


def test_what_is_over_is_no_longer_shown() -> None:
    metrics = Metrics()
    set_gauges(metrics, STATUS, NOW)
    acme = {"hook": {"condition": "live"}, "refused": 0, "okta_refused": 0}
    later = {"ready": False, "okta": {"acme": acme}, "sinks": {"archive": SINK}}
    set_gauges(metrics, STATUS | later, NOW)
    assert gauge(metrics, "ready") == 0
    assert gauge(metrics, "sink_paused", sink="archive") == 0
    assert gauge(metrics, "hook_refused_requests", org="acme", sender="okta") == 0
    assert gauge(metrics, "hook_refused_requests", org="other", sender="okta") is None  # a reload removed the org
    assert gauge(metrics, "hook_state", org="acme", condition="unverified") == 0
