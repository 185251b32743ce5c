"""Okta's rate limits: how many calls each caller may make in a minute. The System Log has a limit of its own;
all other paths share another limit."""

import math
from typing import Literal

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import SECOND
from forwarder.emulator.settings import EmulatorSettings

_MINUTE = 60.0

Family = Literal["logs", "other"]
"""The groups of paths; the paths of one group share a limit."""


class RateLimitHeaders(msgspec.Struct, frozen=True):
    """The rate limit in the headers of a response; `reset` is in seconds since 1970."""

    limit: int
    remaining: int
    reset: int


class EmulatedRateLimits:
    """The rate limits of one org. A caller's minute begins with the caller's first call."""

    def __init__(self, settings: EmulatorSettings, clock: Clock) -> None:
        self._clock = clock
        # Okta lets one token or app use half of the org's limit.
        self._limits = {"logs": max(1, settings.logs_per_minute // 2), "other": max(1, settings.calls_per_minute // 2)}
        self._minutes: dict[tuple[Family, str], tuple[float, int]] = {}

    def count(self, family: Family, caller: str) -> tuple[bool, RateLimitHeaders]:
        """Count one call of `caller`. Return whether the call is within the limit, and the headers for its
        response."""
        limit, now = self._limits[family], self._clock.monotonic()
        ends, used = self._minutes.get((family, caller), (now, 0))
        if now >= ends:
            ends, used = now + _MINUTE, 0
        self._minutes[family, caller] = ends, used + 1
        return used < limit, RateLimitHeaders(limit, max(0, limit - used - 1), self.reset_in(ends - now))

    def reset_in(self, seconds: float) -> int:
        """Return the value of `X-Rate-Limit-Reset` for a reset in `seconds` seconds."""
        return math.ceil(self._clock.now() / SECOND + seconds)
