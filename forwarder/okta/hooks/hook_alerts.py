"""What Okta says about hooks in the System Log alone: deliveries that failed, and a quota that runs out.

Okta tells it nowhere else: these types are carried by no hook.
"""

from collections.abc import Sequence

from forwarder import logs
from forwarder.core.event import Event
from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.okta.system_log.event_details import read_details

_DELIVERY = "event_hook.delivery"  # written only where a delivery failed
_QUOTA = ("system.operation.rate_limit.warning", "system.operation.rate_limit.violation")
_OF_HOOKS = "event_hook_delivery"
_QUIET = {"hook_delivery_failed": 60.0, "hook_quota": 3600.0}
"""Seconds between two lines of an action, at least."""

_LONGEST = 300  # characters of Okta's words in a line

_logger = logs.get("okta")


class Notices:
    """Of one org. Counts begin with the process.

    Attributes:
        failures: deliveries that Okta says failed for good.
        quota: Okta's last words about the quota of hooks; None where it said nothing.
        quota_at: when that was, by Okta's clock.
    """

    def __init__(self, org: str, clock: Clock) -> None:
        self._org = org
        self._clock = clock
        self._untold = 0
        self._quiet_until = dict.fromkeys(_QUIET, 0.0)
        self.failures = 0
        self.quota: str | None = None
        self.quota_at: Micros | None = None

    def look(self, events: Sequence[Event]) -> None:
        """Surface what is among `events`, which were stored just now: one line, not one for each event."""
        reason = ""
        for event in events:
            if event.event_type == _DELIVERY:
                self.failures += 1
                self._untold += 1
                reason = read_details(event.body).reason[:_LONGEST] or reason
            elif event.event_type in _QUOTA:
                details = read_details(event.body)
                if details.debug_data.get("operationRateLimitType") == _OF_HOOKS:
                    self._warn_of_quota(event, details.reason[:_LONGEST])
        if self._untold and self._may_tell("hook_delivery_failed"):
            _logger.warning(
                "Okta could not deliver to a hook and has given up; the System Log brings those events",
                action="hook_delivery_failed",
                org=self._org,
                failures=self._untold,
                last_reason=reason,
            )
            self._untold = 0

    def _warn_of_quota(self, event: Event, words: str) -> None:
        self.quota = f"{event.event_type}: {words}"
        self.quota_at = event.published
        if self._may_tell("hook_quota"):
            _logger.warning(
                "the org's daily quota of hook deliveries runs out or is used up; Okta sends nothing by hook then, "
                "and the System Log brings the events",
                action="hook_quota",
                org=self._org,
                event_type=event.event_type,
                words=words,
            )

    def _may_tell(self, action: str) -> bool:
        """Whether the line is due; if so, the next one is not for a while."""
        now = self._clock.monotonic()
        if now < self._quiet_until[action]:
            return False
        self._quiet_until[action] = now + _QUIET[action]
        return True
