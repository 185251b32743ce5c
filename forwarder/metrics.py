"""Every metric: name, kind, labels, meaning. The only importer of prometheus_client.

Label values come from the configuration (orgs, sinks), from enums, or from Okta's catalogue of event types
(anything else counts as `other`), so the number of series is bounded whatever a sender writes.
"""

from collections.abc import Iterable

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from forwarder.core.catalogue import EVENT_TYPES

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # they double every scrape

_ACK = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
_COMMIT = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_LAG = (0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
_SEND = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_EVENTS = (1, 10, 50, 100, 200, 500, 1000, 2000, 5000)


def event_type_label(event_type: str) -> str:
    """The event type as a label value: itself where Okta's catalogue has it, else `other`."""
    return event_type if event_type in EVENT_TYPES else "other"


class Metrics:
    """All metrics of one forwarder, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"forwarder_{name}", meaning, labels, registry=r)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"forwarder_{name}", meaning, labels, registry=r)

        def histogram(name: str, meaning: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(f"forwarder_{name}", meaning, labels, buckets=tuple(buckets), registry=r)

        # receive
        self.events_received = counter(
            "events_received_total",
            "Events stored, by org, way in and event type.",
            "org",
            "via",
            "event_type",
        )
        self.events_duplicate = counter(
            "events_duplicate_total", "Events that were stored already.", "org", "via"
        )
        self.events_rejected = counter(
            "events_rejected_total",
            "Elements of an envelope that were no event; the receiver's dead letters.",
            "org",
        )
        self.auth_failures = counter(
            "auth_failures_total", "Requests with no or a wrong secret.", "org", "reason"
        )
        self.challenges = counter("challenges_total", "Verification challenges from Okta.", "org", "outcome")
        self.hook_requests = counter("hook_requests_total", "Requests answered, by status.", "org", "code")
        self.ack_duration = histogram(
            "ack_duration_seconds", "From the first byte of a POST to its answer.", _ACK, "org"
        )
        self.receive_lag = histogram(
            "receive_lag_seconds", "From `published` to received: Okta's own delay.", _LAG, "org", "via"
        )
        self.connections_evicted = counter(
            "connections_evicted_total",
            "Connections closed on their client: above the limit, or past a deadline.",
            "reason",
        )

        # deliver
        self.delivery_lag = histogram("delivery_lag_seconds", "From `published` to delivered.", _LAG, "sink")
        self.sink_lag = gauge("sink_lag_seconds", "Age of the oldest waiting event.", "sink")
        self.sink_backlog = gauge("sink_backlog_events", "Events that wait for the sink.", "sink")
        self.events_delivered = counter("events_delivered_total", "Events that the sink has taken.", "sink")
        self.events_dead_lettered = counter(
            "events_dead_lettered_total", "Events that the sink will never take.", "sink", "reason"
        )
        self.delivery_retries = counter(
            "delivery_retries_total", "Tries that must be repeated.", "sink", "reason"
        )
        self.sink_up = gauge("sink_up", "1 while the last try of the sink succeeded.", "sink")
        self.batch_events = histogram("batch_events", "Events in a batch.", _EVENTS, "sink")
        self.batch_duration = histogram(
            "batch_duration_seconds", "From send to answer, a batch.", _SEND, "sink"
        )

        # store
        self.store_bytes = gauge("store_bytes", "Size of the store on disk, its log included.")
        self.store_events = gauge("store_events", "Events whose bodies the store holds.")
        self.store_commit_duration = histogram(
            "store_commit_duration_seconds", "A commit with its fsync.", _COMMIT
        )

        # okta
        self.org_source_enabled = gauge(
            "org_source_enabled",
            "1 where events of the org come in this way, 0 where that is not configured.",
            "org",
            "via",
        )
        self.hook_verified = gauge(
            "hook_verified",
            "1 while Okta holds our hook for ACTIVE and VERIFIED, 0 while it sends us nothing.",
            "org",
        )
        self.reconcile_lag = gauge(
            "reconcile_lag_seconds", "Age of the newest moment up to which the System Log is stored.", "org"
        )
        self.events_missed = counter(
            "events_missed_total",
            "Events that Okta named our hook for and that the hook never brought.",
            "org",
        )

        # the process
        self.build_info = Info("forwarder_build", "Version of the forwarder.", registry=r)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The scrape and its content type, as `accept` asks. Slow with many series: call it in a thread."""
        if "application/openmetrics-text" in accept:
            return generate_openmetrics(self.registry), OPENMETRICS  # type: ignore[no-untyped-call]
        return prometheus_client.generate_latest(self.registry), prometheus_client.CONTENT_TYPE_LATEST
