"""Okta's rate limits: so many calls a minute of each kind, half of them for one caller, told on every answer."""

import math
from typing import Literal

import msgspec

from forwarder.core.ports import Clock
from forwarder.emulator.settings import EmulatorSettings

_MINUTE = 60.0

Bucket = Literal["logs", "all else"]
"""Calls that share a limit."""


class Told(msgspec.Struct, frozen=True):
    """What a caller is told about the limit.

    Attributes:
        limit: calls a minute.
        remaining: of them.
        reset: when the next minute begins, in seconds since 1970.
    """

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """As headers."""
        return {
            "x-rate-limit-limit": str(self.limit),
            "x-rate-limit-remaining": str(self.remaining),
            "x-rate-limit-reset": str(self.reset),
        }


class _Budget:
    """One minute's calls; the minute begins with the first of them."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.ends = 0.0
        self.left = 0

    def spend(self, now: float) -> bool:
        if now >= self.ends:
            self.ends, self.left = now + _MINUTE, self.calls
        self.left -= 1
        return self.left >= 0


class Budgets:
    """All limits of one org.

    Args:
        settings: how high they are.
        clock: what time it is.
    """

    def __init__(self, settings: EmulatorSettings, clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[Bucket, int] = {
            "logs": settings.logs_per_minute,
            "all else": settings.calls_per_minute,
        }
        self._share = settings.principal_share
        self._budgets: dict[tuple[Bucket, str], _Budget] = {}

    def spend(self, bucket: Bucket, principal: str) -> tuple[bool, Told]:
        """Take one call of `principal`. Says whether there was one left, and what to tell: the tighter of both limits."""
        calls = self._calls[bucket]
        own = self._budget(bucket, f"of {principal}", max(1, int(calls * self._share)))
        org = self._budget(bucket, "of all", calls)
        now = self._clock.monotonic()
        left = own.spend(now) and org.spend(now)
        tighter = own if own.left <= org.left or org.ends <= now else org
        return left, Told(tighter.calls, max(0, tighter.left), self.later(tighter.ends - now))

    def later(self, seconds: float) -> int:
        """The time in so many seconds, as headers tell it."""
        return math.ceil(self._clock.now() / 1e6 + seconds)

    def _budget(self, bucket: Bucket, whose: str, calls: int) -> _Budget:
        return self._budgets.setdefault((bucket, whose), _Budget(calls))
