"""Okta's daily quota of events that hooks may carry."""

from collections.abc import Callable
from typing import Literal

from forwarder.core.ports import Clock

_DAY = 86_400.0
_WARN_AT = 0.7


class Quota:
    """Counts the events that all hooks of an org carry in 24 hours, starting with the first event. Retries do
    not count.

    When 70 % of the quota is used, `report` is called with `warning` and the number of events that make up the 70 %.
    The first time that a delivery would exceed the quota, `report` is called with `violation` and the quota.
    """

    def __init__(
        self, clock: Clock, events: int, report: Callable[[Literal["warning", "violation"], int], None]
    ) -> None:
        self._clock = clock
        self._events = events
        self._report = report
        self._ends = 0.0
        self._used = 0
        self._violated = False

    def use(self, events: int) -> bool:
        """Take `events` events from the quota, and return True. If fewer than `events` are left, take none and return
        False."""
        now = self._clock.monotonic()
        if now >= self._ends:
            self._ends, self._used, self._violated = now + _DAY, 0, False
        if self._used + events > self._events:
            if not self._violated:
                self._violated = True
                self._report("violation", self._events)
            return False
        warn_at = round(self._events * _WARN_AT)
        if self._used < warn_at <= self._used + events:
            self._report("warning", warn_at)
        self._used += events
        return True
