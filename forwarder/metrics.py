"""Declares every metric: name, kind, labels, meaning.

Label values come from the configuration (orgs, sinks), from enums, or from Okta's catalogue of event types. An event
type that the catalogue does not have counts as `other`. So a sender cannot create an unlimited number of series.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from forwarder.histogram import Histogram

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the size of a scrape

OPENMETRICS_TYPE = "application/openmetrics-text"

_ACK = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
_COMMIT = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_LAG = (0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
_SEND = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_EVALUATION = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
_EVENTS = (1, 10, 50, 100, 200, 500, 1000, 2000, 5000)


class Declared(NamedTuple):
    """The declaration of one metric. `kind` is counter, gauge, histogram or info.

    docs/metrics.md is made from the declarations, and a test compares the alert rules with them.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class Metrics:
    """All metrics of one forwarder, in a registry of their own. `declared` has the declaration of each metric."""

    def __init__(self, log_lines: Mapping[str, int] = MappingProxyType({})) -> None:
        """Declare every metric. `log_lines` has the number of written log lines by level, and is read at each
        scrape."""
        self.declared: list[Declared] = []
        self._gauges: dict[str, Gauge] = {}
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._declare_receive()
        self._declare_deliver()
        self._declare_store()
        self._declare_okta()
        self._declare_rules()
        self._declare_reactions()
        self._declare_process(log_lines)

    def _declare_process(self, log_lines: Mapping[str, int]) -> None:
        self.config_reload_successful = self._gauge(
            "config_last_reload_successful", "1 if the last reload was applied, 0 if the reload was refused."
        )
        self.config_reloaded_at = self._gauge(
            "config_last_reload_success_timestamp_seconds", "When the configuration in force was applied."
        )
        self.certificate_expiry = self._gauge(
            "certificate_expiry_timestamp_seconds", "When the certificate of this setting expires.", "setting"
        )
        meaning = "Log lines written, by level."
        self._declare("log_lines_total", "counter", ("level",), meaning)
        self.registry.register(_LogLines("forwarder_log_lines", meaning, log_lines))
        self._declare("build_info", "info", (), meaning := "Version of the forwarder.")
        self.build_info = Info("forwarder_build", meaning, registry=self.registry)

    def _declare_receive(self) -> None:
        self.events_received = self._counter(
            "events_received_total", "Events stored, by org, source and event type.", "org", "via", "event_type"
        )
        self.events_duplicate = self._counter(
            "events_duplicate_total", "Events that were already in the store.", "org", "via"
        )
        self.events_rejected = self._counter(
            "events_rejected_total", "Malformed events, which become dead letters of the receiver.", "org"
        )
        self.auth_failures = self._counter(
            "auth_failures_total", "Requests without a secret, or with a wrong one.", "org", "reason"
        )
        self.okta_auth_failures = self._counter(
            "okta_auth_failures_total", "Requests with Okta's user agent, but without a valid secret.", "org"
        )
        self.hook_refused_requests = self._gauge(
            "hook_refused_requests",
            "POSTs to the org's path without a valid secret since the last request with its secret, within 24 hours. "
            "With the sender `okta`, verifications count too.",
            "org",
            "sender",
        )
        self.unknown_path_requests = self._counter(
            "unknown_path_requests_total",
            "POSTs to a path that no org has (404). `sender` is `okta` if the user agent is Okta's.",
            "sender",
        )
        self.challenges = self._counter("challenges_total", "Okta's verification requests.", "org", "outcome")
        self.hook_requests = self._counter("hook_requests_total", "Responses to Okta, by status.", "org", "code")
        self.ack_duration = self._histogram(
            "ack_duration_seconds", "Time from the first byte of a POST to its response.", _ACK, "org"
        )
        self.receive_lag = self._histogram(
            "receive_lag_seconds", "Time from `published` to receipt: Okta's own delay.", _LAG, "org", "via"
        )
        self.connections_evicted = self._counter(
            "connections_evicted_total", "Connections closed at the limit, or after a deadline.", "reason"
        )
        for reason in ("idle", "half_sent", "deadline"):
            self.connections_evicted.labels(reason)
        self.connections = self._gauge("connections", "Open connections.", "listener")
        self.connections_limit = self._gauge(
            "connections_limit", "The most connections allowed: `max_connections`.", "listener"
        )
        self.last_event = self._gauge(
            "last_event_timestamp_seconds", "When the newest received event was published.", "org", "via"
        )

    def _declare_deliver(self) -> None:
        self.delivery_lag = self._histogram("delivery_lag_seconds", "Time from `published` to delivery.", _LAG, "sink")
        self.sink_lag = self._gauge("sink_lag_seconds", "Time since the oldest waiting event came.", "sink")
        self.sink_backlog = self._gauge("sink_backlog_events", "Events that wait for the sink.", "sink")
        self.events_delivered = self._counter("events_delivered_total", "Events that the sink has accepted.", "sink")
        self.events_dead_lettered = self._counter(
            "events_dead_lettered_total", "Events that the sink will never accept.", "sink", "reason"
        )
        self.delivery_retries = self._counter(
            "delivery_retries_total", "Batches after which events must be sent again.", "sink", "reason"
        )
        self.sink_set_aside = self._gauge(
            "sink_set_aside_events", "Events that fail again and again while the sink accepts others.", "sink"
        )
        self.sink_up = self._gauge("sink_up", "1 if the last try to send to the sink succeeded, else 0.", "sink")
        self.sink_paused = self._gauge("sink_paused", "1 while the sink waits for an operator.", "sink")
        self.sink_last_delivery = self._gauge(
            "sink_last_delivery_timestamp_seconds", "When the sink last accepted events.", "sink"
        )
        self.dead_letters = self._gauge(
            "dead_letters", "Dead letters that the store holds; falls when they are replayed or discarded.", "sink"
        )
        self.batch_events = self._histogram("batch_events", "Events in a batch.", _EVENTS, "sink")
        self.batch_duration = self._histogram(
            "batch_duration_seconds", "Time from sending a batch to its response.", _SEND, "sink"
        )

    def _declare_store(self) -> None:
        self.store_bytes = self._gauge("store_bytes", "Size of the store on disk, with its WAL.")
        self.store_wal_bytes = self._gauge(
            "store_wal_bytes", "Size of the store's WAL; it grows while another process keeps reading the store."
        )
        self.store_events = self._gauge("store_events", "Events whose bodies the store holds.")
        self.store_max_bytes = self._gauge("store_max_bytes", "The largest allowed size of the store: `max_size`.")
        self.store_waiting_bytes = self._gauge(
            "store_waiting_bytes",
            "Bytes of the events that wait for a sink, estimated from their number; at `max_size`, new events are refused.",
        )
        self.store_disk_bytes = self._gauge("store_disk_bytes", "Size of the file system of the store.")
        self.store_disk_free_bytes = self._gauge("store_disk_free_bytes", "Free space in the store's file system.")
        self.stored_events = self._gauge(
            "stored_events",
            "Events stored since the store was created. For each sink, `forwarder_ledger_events` add up to this number.",
        )
        self.ledger_events = self._gauge(
            "ledger_events", "Stored events, by their place in the ledger, such as `delivered`.", "sink", "place"
        )
        self.ready = self._gauge("ready", "1 while events can be stored, else 0. /readyz shows the same state.")
        self.store_commit_duration = self._histogram(
            "store_commit_duration_seconds", "Time of a commit with its fsync.", _COMMIT
        ).labels()

    def _declare_okta(self) -> None:
        self.org_source_enabled = self._gauge(
            "org_source_enabled",
            "1 if events of the org are read from this source, 0 if it is not configured.",
            "org",
            "via",
        )
        self.hook_verified = self._gauge(
            "hook_verified",
            "1 while Okta sends the events of our hook to `hook.uri`: the hook is ACTIVE and VERIFIED. Else 0.",
            "org",
        )
        self.hook_state = self._gauge(
            "hook_state", "1 for the present condition of our hook, 0 for the others.", "org", "condition"
        )
        self.hook_deliveries_failed = self._counter(
            "hook_deliveries_failed_total", "Deliveries to our hook that Okta reports as failed.", "org"
        )
        self.hook_quota_warnings = self._counter(
            "hook_quota_warnings_total", "Okta's warnings about its daily quota of hook deliveries.", "org"
        )
        self.okta_requests = self._counter(
            "okta_requests_total",
            "Calls of Okta's API, by family of endpoints; `code` is `none` without a response.",
            "org",
            "operation",
            "code",
        )
        self.okta_rate_limit_remaining = self._gauge(
            "okta_rate_limit_remaining_ratio",
            "The part of the rate limit of these endpoints that is left, from 0 to 1.",
            "org",
            "bucket",
        )
        self.clock_offset = self._gauge(
            "clock_offset_seconds",
            "How far this machine's clock is ahead of Okta's clock; negative if it is behind.",
            "org",
        )
        self.reconcile_lag = self._gauge("reconcile_lag_seconds", "How far the store is behind the System Log.", "org")
        self.events_differing = self._counter(
            "events_differing_total",
            "Events in the System Log that differ from the event that the hook delivered with the same uuid.",
            "org",
        )
        self.events_missed = self._counter(
            "events_missed_total", "Events that Okta should have delivered to our hook, but did not.", "org"
        )

    def _declare_rules(self) -> None:
        self.rule_matches = self._counter(
            "rule_matches_total", "Events that matched a rule, or completed a correlation.", "org", "rule"
        )
        self.alerts = self._counter("alerts_total", "Alerts stored.", "org", "rule", "level")
        self.rule_held_back = self._counter(
            "rule_held_back_total",
            "Matches that made no alert, because an exception applies or the last alert of the rule is more recent than "
            "`rules.again`; and late alerts, which cause no action.",
            "rule",
            "reason",
        )
        self.rule_events_too_old = self._counter(
            "rule_events_too_old_total", "Events skipped because they are older than `rules.max_age`.", "org"
        )
        self.rule_events_muted = self._counter(
            "rule_events_muted_total",
            "Events about the factors of a user while one of our prompts asked this user; rules ignore these events.",
            "org",
        )
        self.rule_evaluation = self._histogram(
            "rule_evaluation_seconds", "Time to evaluate all rules on one event.", _EVALUATION
        ).labels()
        self.rule_state_keys = self._gauge(
            "rule_state_keys", "Values, such as users, for which rules that count or compare events keep a state."
        )
        self.rule_state_evicted = self._counter(
            "rule_state_evicted_total",
            "Values, such as users, whose state was dropped because there were more than `rules.max_keys`.",
        )
        self.rule_lag = self._histogram("rule_lag_seconds", "Time from `published` to the alert.", _LAG).labels()

    def _declare_reactions(self) -> None:
        self.reactions = self._counter(
            "reactions_total", "Actions that have an outcome.", "rule", "action", "mode", "outcome"
        )
        self.reactions_refused = self._counter(
            "reactions_refused_total", "Actions that a guard or a human refused.", "action", "reason"
        )
        self.reactions_waiting = self._gauge("reactions_waiting", "Actions that wait, by what they wait for.", "for")
        self.reactions_live = self._gauge("reactions_live", "Effects that will be undone.", "action")
        self.reaction_latency = self._histogram(
            "reaction_latency_seconds", "Time from `published` until the action is done.", _LAG, "action"
        )
        self.undo_overdue = self._gauge(
            "undo_overdue", "Effects that should have been undone at least a minute ago, and still exist."
        )
        self.prompts = self._counter("prompts_total", "Prompts to users, by method and answer.", "by", "answer")
        self.reactions_paused = self._gauge("reactions_paused", "Pauses of reactions in force.")
        self.reactions_paused_since = self._gauge(
            "reactions_paused_since_timestamp_seconds", "When the oldest pause in force began; 0 without a pause."
        )
        self.reactions_limit_tripped = self._counter(
            "reactions_limit_tripped_total", "Actions that wait because a limit is reached.", "limit"
        )

    def _declare(self, name: str, kind: str, labels: tuple[str, ...], meaning: str) -> None:
        self.declared.append(Declared(f"forwarder_{name}", kind, labels, meaning))

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self._declare(name, "counter", labels, meaning)
        return Counter(f"forwarder_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        self._declare(name, "gauge", labels, meaning)
        gauge = Gauge(f"forwarder_{name}", meaning, labels, registry=self.registry)
        self._gauges[f"forwarder_{name}"] = gauge
        return gauge

    def _histogram(self, name: str, meaning: str, buckets: Iterable[float], *labels: str) -> Histogram:
        self._declare(name, "histogram", labels, meaning)
        return Histogram(f"forwarder_{name}", meaning, labels, buckets, self.registry)

    def forget(self, **label: str) -> None:
        """Remove the gauges of a sink or an org that no longer runs. `label` is the sink or org, as in
        `sink="siem"`."""
        for metric in self.declared:
            gauge = self._gauges.get(metric.name)
            if gauge is not None and gauge is not self.last_event and label.keys() <= set(metric.labels):
                gauge.remove_by_labels(label)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return (all metrics as text, content type), in the format that `accept`, a header of the request, asks for.

        With many series, this is slow, so call it in a thread.
        """
        if OPENMETRICS_TYPE in accept:
            return generate_openmetrics(self.registry), OPENMETRICS  # type: ignore[no-untyped-call]
        return prometheus_client.generate_latest(self.registry), prometheus_client.CONTENT_TYPE_LATEST


class _LogLines(Collector):
    """The counter of log lines. The module `logs` counts them, because it writes lines before any metric exists."""

    def __init__(self, name: str, meaning: str, lines: Mapping[str, int]) -> None:
        self._name = name
        self._meaning = meaning
        self._lines = lines

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._meaning, labels=["level"])
        for level, lines in self._lines.items():
            family.add_metric([level], lines)
        return [family]
