"""Metrics and log lines of the rules. Only ids of loaded rules become labels."""

from collections import Counter
from collections.abc import Iterable

from forwarder import logs
from forwarder.core.errors import StoreError
from forwarder.core.event import Event
from forwarder.core.ports import Clock
from forwarder.core.time import Micros, seconds_between
from forwarder.ecs.decode import decode
from forwarder.logs import RateLimitedLogger
from forwarder.metrics import Metrics
from forwarder.rules.evaluation.engine import Evaluation, RuleEngine

_logger = logs.get("rules")


class RuleMetrics:
    """The counts and log lines of one `RuleRunner`.

    Attributes:
        held_back: the number of alerts, by rule and reason, that were held back since the counts were last stored.
        failures: the number of events that could not be evaluated since the start.
        failed_at: when an event last could not be evaluated; None if every event could be evaluated.
        evaluation: the histogram of the time that the evaluation of an event takes.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._limited = RateLimitedLogger(_logger, clock, interval=600.0)
        self._clock = clock
        self.held_back: Counter[tuple[str, str]] = Counter()
        self.failures = 0
        self.failed_at: Micros | None = None
        self.evaluation = metrics.rule_evaluation

    def count(self, event: Event, found: Evaluation, now: Micros) -> None:
        """Count `found`, the result of the evaluation of `event` at the time `now`."""
        for rule in found.matched:
            self._metrics.rule_matches.labels(event.org, rule).inc()
        for rule, reason in found.held_back:
            self._metrics.rule_held_back.labels(rule, reason).inc()
        self.held_back.update(found.held_back)
        if found.too_old:
            self._metrics.rule_events_too_old.labels(event.org).inc()
        for alert in found.alerts:
            if alert.late:
                self._metrics.rule_held_back.labels(alert.rule.id, "late").inc()
            self._metrics.rule_lag.observe(seconds_between(event.published, now) or 0.0)

    def count_muted(self, event: Event) -> None:
        """Count an event that the rules must skip, such as one that a reaction's prompt caused."""
        self._metrics.rule_events_muted.labels(event.org).inc()

    def count_alerts(self, alerts: Iterable[Event]) -> None:
        """Count and log alerts that are stored."""
        for event in alerts:
            about = decode(event.body)["forwarder"]["alert"]
            rule = about["rule"]
            self._metrics.alerts.labels(event.org, rule["id"], rule["level"]).inc()
            self._limited.info(
                "a rule has alerted",
                action="rule_alert",
                org=event.org,
                rule=rule["title"],
                level=rule["level"],
                alert=event.uuid,
            )

    def update_groups(self, engine: RuleEngine) -> None:
        """Update two metrics: how many groups of correlations `engine` has in memory, and how many groups it has
        evicted since the last call."""
        self._metrics.rule_state_keys.set(len(engine.groups))
        more, engine.groups.evicted = engine.groups.evicted, 0
        if more > 0:
            self._metrics.rule_state_evicted.inc(more)
            self._limited.warning(
                "the rules keep counts for more values (such as users) than rules.max_keys allows, so the oldest "
                "counts were dropped; alerts may be late or missing; raise rules.max_keys, or group by fewer fields",
                action="rules_evicted",
                groups=more,
            )

    def log_skipped(self, events: int) -> None:
        """Log that the store dropped `events` events before the rules could read them. Their alerts are lost."""
        self._limited.warning(
            "the store dropped events that the rules had not read yet, so alerts about these events are "
            "missing; raise store.max_size or store.retention",
            action="rules_skipped_events",
            events=events,
        )

    def count_failure(self, event: Event) -> None:
        """Count and log an event whose evaluation failed. Call it in the `except` block."""
        self.failures += 1
        self.failed_at = self._clock.now()
        self._limited.error(
            "the rules could not evaluate an event, and skipped it. This is a bug: please report it",
            action="rule_failed",
            uuid=event.uuid,
            exc_info=True,
        )

    def log_store_error(self, error: StoreError) -> None:
        """Log that the store cannot be read or written."""
        self._limited.error(
            "the rules cannot read or write the store; the forwarder retries until it succeeds",
            action="rules_store_error",
            error=str(error),
        )
