from prometheus_client.parser import text_string_to_metric_families

from forwarder.core.catalogue import EVENT_TYPES, HOOK_ELIGIBLE
from forwarder.core.event import Source
from forwarder.core.security_event_types import SECURITY_TYPES, SECURITY_TYPES_OF_LOG
from forwarder.metrics import Metrics
from forwarder.stored_event_metrics import StoredEventMetrics
from tools.make_metrics_page import PAGE, page

# What users rely on: a change breaks their dashboards and alerts.
PROMISED = {
    "events_received_total": "org via event_type",
    "events_duplicate_total": "org via",
    "auth_failures_total": "org reason",
    "okta_auth_failures_total": "org",
    "unknown_path_requests_total": "sender",
    "challenges_total": "org outcome",
    "hook_requests_total": "org code",
    "ack_duration_seconds": "org",
    "receive_lag_seconds": "org via",
    "delivery_lag_seconds": "sink",
    "sink_lag_seconds": "sink",
    "sink_backlog_events": "sink",
    "events_delivered_total": "sink",
    "events_dead_lettered_total": "sink reason",
    "delivery_retries_total": "sink reason",
    "sink_set_aside_events": "sink",
    "sink_up": "sink",
    "batch_events": "sink",
    "batch_duration_seconds": "sink",
    "store_bytes": "",
    "store_wal_bytes": "",
    "store_events": "",
    "store_commit_duration_seconds": "",
    "hook_refused_requests": "org sender",
    "hook_verified": "org",
    "reconcile_lag_seconds": "org",
    "events_differing_total": "org",
    "events_missed_total": "org",
    "events_rejected_total": "org",
    "connections_evicted_total": "reason",
    "org_source_enabled": "org via",
    "build_info": "",
    "last_event_timestamp_seconds": "org via",
    "sink_paused": "sink",
    "sink_last_delivery_timestamp_seconds": "sink",
    "dead_letters": "sink",
    "store_max_bytes": "",
    "store_waiting_bytes": "",
    "store_disk_bytes": "",
    "store_disk_free_bytes": "",
    "stored_events": "",
    "ledger_events": "sink place",
    "ready": "",
    "hook_state": "org condition",
    "hook_deliveries_failed_total": "org",
    "hook_quota_warnings_total": "org",
    "connections": "listener",
    "connections_limit": "listener",
    "okta_requests_total": "org operation code",
    "okta_rate_limit_remaining_ratio": "org bucket",
    "clock_offset_seconds": "org",
    "config_last_reload_successful": "",
    "config_last_reload_success_timestamp_seconds": "",
    "certificate_expiry_timestamp_seconds": "setting",
    "log_lines_total": "level",
    "rule_matches_total": "org rule",
    "alerts_total": "org rule level",
    "rule_held_back_total": "rule reason",
    "rule_events_too_old_total": "org",
    "rule_events_muted_total": "org",
    "rule_evaluation_seconds": "",
    "rule_state_keys": "",
    "rule_state_evicted_total": "",
    "rule_lag_seconds": "",
    "reactions_total": "rule action mode outcome",
    "reactions_refused_total": "action reason",
    "reactions_waiting": "for",
    "reactions_live": "action",
    "reaction_latency_seconds": "action",
    "undo_overdue": "",
    "prompts_total": "by answer",
    "reactions_paused": "",
    "reactions_paused_since_timestamp_seconds": "",
    "reactions_limit_tripped_total": "limit",
}


def test_the_metrics_are_the_promised_ones_with_their_labels() -> None:
    real = {metric.name: " ".join(metric.labels) for metric in Metrics().declared}
    assert real == {f"forwarder_{name}": labels for name, labels in PROMISED.items()}


def test_the_page_of_the_metrics_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tools.make_metrics_page"


def test_a_scrape_speaks_both_formats() -> None:
    metrics = Metrics()
    metrics.store_bytes.set(3)
    text, kind = metrics.render("*/*")
    assert kind.startswith("text/plain")
    names = {family.name for family in text_string_to_metric_families(text.decode())}
    assert "forwarder_store_bytes" in names
    openmetrics, kind = metrics.render("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert openmetrics.endswith(b"# EOF\n")


async def test_the_first_event_of_a_type_that_matters_raises_its_rate() -> None:
    metrics = Metrics()
    StoredEventMetrics(metrics, "acme", Source.HOOK)
    StoredEventMetrics(metrics, "acme", Source.LOG)

    def received(event_type: str, via: str) -> float | None:
        labels = {"org": "acme", "via": via, "event_type": event_type}
        return metrics.registry.get_sample_value("forwarder_events_received_total", labels)

    assert received("user.mfa.factor.reset_all", "hook") == 0
    assert received("user.session.impersonation.grant", "log") == 0
    assert received("user.session.impersonation.grant", "hook") is None


def test_the_types_that_matter_are_okta_s() -> None:
    assert [name for name in SECURITY_TYPES if HOOK_ELIGIBLE not in EVENT_TYPES[name]] == []
    assert [name for name in SECURITY_TYPES_OF_LOG if HOOK_ELIGIBLE in EVENT_TYPES[name]] == []


def test_the_process_is_measured() -> None:
    assert b"process_resident_memory_bytes" in Metrics().render("")[0]


def test_log_lines_are_counted_by_level() -> None:
    lines = {"error": 2, "info": 0}
    metrics = Metrics(lines)
    lines["info"] += 1
    text = metrics.render("")[0]
    assert b'forwarder_log_lines_total{level="error"} 2.0' in text
    assert b'forwarder_log_lines_total{level="info"} 1.0' in text
