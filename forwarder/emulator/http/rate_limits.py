"""Okta's rate limits: calls per minute and per family of paths, half of them for one caller."""

import math
from typing import Literal

import msgspec

from forwarder.core.ports import Clock
from forwarder.core.time import SECOND
from forwarder.emulator.settings import EmulatorSettings

_MINUTE = 60.0
_SHARE_OF_A_CALLER = 0.5

Family = Literal["logs", "other"]
"""Paths that share a limit."""


class RateLimitHeaders(msgspec.Struct, frozen=True):
    """The rate limit as a response shows it; `reset` is in seconds since 1970."""

    limit: int
    remaining: int
    reset: int

    def pairs(self) -> list[tuple[str, str]]:
        """Return names and values of the headers."""
        return [(f"x-rate-limit-{name}", str(value)) for name, value in msgspec.structs.asdict(self).items()]


class _Window:
    """The calls of one minute, which begins with the first of them."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.ends = 0.0
        self.left = 0

    def count(self, now: float) -> bool:
        if now >= self.ends:
            self.ends, self.left = now + _MINUTE, self.calls
        self.left -= 1
        return self.left >= 0


class RateLimits:
    """All rate limits of one org."""

    def __init__(self, settings: EmulatorSettings, clock: Clock) -> None:
        self._clock = clock
        self._calls = {"logs": settings.logs_per_minute, "other": settings.calls_per_minute}
        self._windows: dict[tuple[Family, str | None], _Window] = {}

    def count(self, family: Family, caller: str) -> tuple[bool, RateLimitHeaders]:
        """Count one call. Return whether it is within the limits, and the headers of the stricter limit."""
        calls = self._calls[family]
        own = self._window(family, caller, max(1, int(calls * _SHARE_OF_A_CALLER)))
        org = self._window(family, None, calls)
        now = self._clock.monotonic()
        allowed = own.count(now) and org.count(now)
        stricter = own if own.left <= org.left or org.ends <= now else org
        headers = RateLimitHeaders(stricter.calls, max(0, stricter.left), self.reset_in(stricter.ends - now))
        return allowed, headers

    def reset_in(self, seconds: float) -> int:
        """Return the value of `X-Rate-Limit-Reset` for a time from now."""
        return math.ceil(self._clock.now() / SECOND + seconds)

    def _window(self, family: Family, caller: str | None, calls: int) -> _Window:
        return self._windows.setdefault((family, caller), _Window(calls))
