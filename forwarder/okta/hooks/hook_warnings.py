"""Finds warnings about hooks in events of the System Log: failed deliveries, and a quota that is nearly used up.

No hook carries these event types.
"""

from collections.abc import Sequence

from forwarder import logs
from forwarder.core.event import Event
from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.okta.system_log.event_details import EventDetails, read_details

_DELIVERY = "event_hook.delivery"  # Okta writes this event only if a delivery failed
_QUOTA = ("system.operation.rate_limit.warning", "system.operation.rate_limit.violation")
_HOOK_LIMIT = "event_hook_delivery"
_INTERVALS = {"hook_delivery_failed": 60.0, "hook_quota": 3600.0}
"""The minimum number of seconds between two log lines with the same `action`."""

_MAX_REASON = 300  # characters of Okta's text that are kept

_logger = logs.get("okta")


class HookWarnings:
    """The warnings of one org about hooks, since the start of the process.

    Attributes:
        failures: number of deliveries to our hook that Okta gave up.
        failed_at: the time of the last failed delivery, by Okta's clock; None if there was none.
        failure_reason: Okta's latest text about a failed delivery; empty if there was none.
        quota: Okta's last message about the quota of hook deliveries; None if there was none.
    """

    def __init__(self, org: str, metrics: Metrics, clock: Clock) -> None:
        self._org = org
        self._failed_deliveries = metrics.hook_deliveries_failed.labels(org)
        self._quota_warnings = metrics.hook_quota_warnings.labels(org)
        self._clock = clock
        self._unlogged = 0
        self._next_line = dict.fromkeys(_INTERVALS, 0.0)
        self.failures = 0
        self.failed_at: Micros | None = None
        self.failure_reason = ""
        self.quota: str | None = None

    def scan(self, events: Sequence[Event], hook_id: str) -> None:
        """Count the warnings in `events`, which were just stored, and log the warnings. All failed deliveries share one
        log line.

        `hook_id` is the id of our hook; empty if there is no hook, or if its id is not known yet.
        """
        for event in events:
            if event.event_type == _DELIVERY:
                details = read_details(event.body)
                if _is_other_hooks(event, details, hook_id):
                    continue
                self.failures += 1
                self._failed_deliveries.inc()
                self.failed_at = event.published
                self._unlogged += 1
                self.failure_reason = details.reason[:_MAX_REASON] or self.failure_reason
            elif event.event_type in _QUOTA:
                details = read_details(event.body)
                if details.debug_data.get("operationRateLimitType") == _HOOK_LIMIT:
                    self._record_quota(event, details.reason[:_MAX_REASON])
        if self._unlogged and self._is_due("hook_delivery_failed"):
            _logger.warning(
                "Okta could not deliver some events to our hook; the forwarder reads them from the System Log instead",
                action="hook_delivery_failed",
                org=self._org,
                failures=self._unlogged,
                last_reason=self.failure_reason,
            )
            self._unlogged = 0

    def _record_quota(self, event: Event, reason: str) -> None:
        self._quota_warnings.inc()
        self.quota = f"{event.event_type}: {reason}"
        if self._is_due("hook_quota"):
            _logger.warning(
                "the org's daily quota of hook deliveries is nearly or completely used up; as soon as it is used "
                "up, the forwarder reads the events from the System Log instead",
                action="hook_quota",
                org=self._org,
                event_type=event.event_type,
                reason=reason,
            )

    def _is_due(self, action: str) -> bool:
        """Whether a log line for `action` may be written now. If it may, start the interval until the next line."""
        now = self._clock.monotonic()
        if now < self._next_line[action]:
            return False
        self._next_line[action] = now + _INTERVALS[action]
        return True


def _is_other_hooks(event: Event, details: EventDetails, hook_id: str) -> bool:
    """Whether the failed delivery was to another hook than ours; also true if the id of our hook is not known.

    If the event does not name a hook, the delivery counts as a delivery to our hook, because Okta does not document the
    form of events about failed deliveries.
    """
    if not hook_id:
        return True
    return details.targets_a_hook and hook_id.encode() not in event.body
