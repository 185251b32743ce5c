"""Delivers envelopes by Okta's rules: at most two attempts, and a quota per day."""

from collections.abc import Sequence
from uuid import uuid4

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import iso
from forwarder.emulator.events.generator import GeneratedEvent
from forwarder.emulator.hooks.hooks import Hook
from forwarder.emulator.hooks.receiver_client import ReceiverClient
from forwarder.emulator.hooks.reports import HookReports

_DAY = 86_400.0
_WARN_AT = 0.7
"""Okta warns at 280,000 of 400,000."""


class Quota:
    """The events that all hooks of the org may carry in a day, which begins with the first of them. Retries do not count.

    Args:
        limit: events in a day.
        reports: where to warn, and to report the violation.
    """

    def __init__(self, clock: Clock, limit: int, reports: HookReports) -> None:
        self._clock = clock
        self._limit = limit
        self._reports = reports
        self._ends = 0.0
        self._used = 0
        self._violated = False

    def use(self, events: int) -> bool:
        """Count some events; False if the day's quota does not suffice."""
        now = self._clock.monotonic()
        if now >= self._ends:
            self._ends, self._used, self._violated = now + _DAY, 0, False
        if self._used + events > self._limit:
            if not self._violated:
                self._violated = True
                self._reports.quota("violation", self._limit)
            return False
        warn_at = round(self._limit * _WARN_AT)
        if self._used < warn_at <= self._used + events:
            self._reports.quota("warning", warn_at)
        self._used += events
        return True


class Deliverer:
    """Delivers envelopes to the org's hooks."""

    def __init__(
        self, org_url: str, client: ReceiverClient, clock: Clock, quota: Quota, reports: HookReports
    ) -> None:
        self._org_url = org_url
        self._client = client
        self._clock = clock
        self._quota = quota
        self._reports = reports

    async def deliver(self, hook: Hook, batch: Sequence[GeneratedEvent]) -> bool:
        """Deliver one envelope. Return whether the receiver accepted it; if not, Okta gives up."""
        # A hook that was deactivated meanwhile gets nothing more; Okta documents no rule.
        if not hook.live or not self._quota.use(len(batch)):
            return False
        body = self._envelope(hook, batch)
        result = await self._client.post(hook, body)
        if result.retry:
            result = await self._client.post(hook, body)
        if not result.delivered:
            self._reports.undelivered(hook, result.message)
        return result.delivered

    def _envelope(self, hook: Hook, batch: Sequence[GeneratedEvent]) -> bytes:
        return msgspec.json.encode(
            {
                "eventType": "com.okta.event_hook",
                "eventTypeVersion": "1.0",
                "cloudEventsVersion": "0.1",
                "source": f"{self._org_url}/api/v1/eventHooks/{hook.id}",
                "eventId": str(uuid4()),
                "data": {"events": [msgspec.Raw(event.hook) for event in batch]},
                "eventTime": iso(self._clock.now(), "milliseconds"),
                "contentType": "application/json",
            }
        )
