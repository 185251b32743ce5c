"""Brings envelopes to one hook, by Okta's rules: two attempts at most, a quota a day, and (once) a quiet period."""

from collections import deque
from collections.abc import Sequence
from uuid import uuid4

import msgspec

from forwarder.core.ports import Clock
from forwarder.emulator.events.generator import GeneratedEvent
from forwarder.emulator.events.payloads import timestamp
from forwarder.emulator.hooks.caller import Caller
from forwarder.emulator.hooks.hooks import Hook
from forwarder.emulator.reports import Reports
from forwarder.emulator.settings import EmulatorSettings

_DAY = 86_400.0
_QUIET = 900.0
"""Seconds in which failures are counted, and seconds of the quiet that follows."""
_WARN_AT = 0.7
"""Okta warns at 280,000 of 400,000."""


class Quota:
    """How many events all hooks of the org may carry in a day, which begins with the first one. Retries do not count.

    Args:
        clock: what time it is.
        events: how many.
        reports: told when most are spent, and when all are.
    """

    def __init__(self, clock: Clock, events: int, reports: Reports) -> None:
        self._clock = clock
        self._events = events
        self._reports = reports
        self._ends = 0.0
        self._spent = 0
        self._violated = False

    def spend(self, events: int) -> bool:
        """Take so many of the day's; False when they are no longer there."""
        now = self._clock.monotonic()
        if now >= self._ends:
            self._ends, self._spent, self._violated = now + _DAY, 0, False
        warn_at = round(self._events * _WARN_AT)
        if self._spent + events > self._events:
            if not self._violated:
                self._violated = True
                self._reports.quota("violation", self._events)
            return False
        if self._spent < warn_at <= self._spent + events:
            self._reports.quota("warning", warn_at)
        self._spent += events
        return True


class Post:
    """One hook's post.

    Args:
        hook: whose address and state it is; looked at again for every envelope.
        caller: makes the calls.
        settings: what of it can be told otherwise.
        clock: what time it is.
        quota: the org's.
        reports: told what was given up.
    """

    def __init__(
        self,
        hook: Hook,
        caller: Caller,
        settings: EmulatorSettings,
        clock: Clock,
        quota: Quota,
        reports: Reports,
    ) -> None:
        self._hook = hook
        self._caller = caller
        self._settings = settings
        self._clock = clock
        self._quota = quota
        self._reports = reports
        self._failures: deque[float] = deque()
        self._quiet_until = 0.0

    async def bring(self, batch: Sequence[GeneratedEvent]) -> bool:
        """Bring one envelope. Says whether the receiver took it; if not, nobody tries again."""
        # A hook that was deactivated meanwhile gets nothing more (Okta documents no rule; this is the plain one).
        if not self._hook.live or self._quiet() or not self._quota.spend(len(batch)):
            return False
        events = [msgspec.Raw(event.hook) for event in batch]
        body = envelope(self._settings.url, self._hook, events, timestamp(self._clock.now()))
        answer = await self._caller.post(self._hook, body)
        if answer.again:
            await self._clock.sleep(self._settings.retry_after)
            if self._settings.retry_renames:
                body = envelope(self._settings.url, self._hook, events, timestamp(self._clock.now()))
            answer = await self._caller.post(self._hook, body)
        if not answer.taken:
            self._failures.append(self._clock.monotonic())
            self._reports.undelivered(self._hook, answer.told)
        return answer.taken

    def _quiet(self) -> bool:
        """Whether the hook fails so much that Okta leaves it alone for a while: documented until 2024-11."""
        now = self._clock.monotonic()
        while self._failures and self._failures[0] <= now - _QUIET:
            self._failures.popleft()
        most = self._settings.quiet_failures
        if most is not None and len(self._failures) >= most:
            self._failures.clear()
            self._quiet_until = now + _QUIET
        return now < self._quiet_until


def envelope(org_url: str, hook: Hook, events: Sequence[msgspec.Raw], time: str) -> bytes:
    """What a hook posts: `events`, sent at `time`."""
    return msgspec.json.encode(
        {
            "eventType": "com.okta.event_hook",
            "eventTypeVersion": "1.0",
            "cloudEventsVersion": "0.1",
            "source": f"{org_url}/api/v1/eventHooks/{hook.id}",
            "eventId": str(uuid4()),
            "data": {"events": events},
            "eventTime": time,
            "contentType": "application/json",
        }
    )
