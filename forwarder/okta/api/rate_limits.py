"""Keeps our calls within a configured share of each of Okta's rate limits.

Okta counts the calls per minute for each family of endpoints. Every response states the limit, how many calls are left,
and when the minute ends; calls above the limit get 429. We use only a share, because other clients of the org need the
same limits.
"""

import asyncio
from collections.abc import Mapping

from forwarder import logs
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, server_time

WINDOW = 60.0
"""Seconds of the window in which Okta counts calls."""

_MARGIN = 1.0  # seconds: Okta gives the end of the window and the `date` header in whole seconds only
_LONGEST = 2 * WINDOW
_LOG_FROM = 5.0  # seconds: a wait of this length or more is logged, so that an operator knows why calls take long

_logger = logs.get("okta")


class RateLimits:
    """The rate limits of one org. `share` is the part of each limit that we may use: more than 0, at most 1."""

    def __init__(self, share: float, clock: Clock) -> None:
        self._share = share
        self._clock = clock
        self._limiters: dict[str, RateLimiter] = {}

    def limiter(self, path: str) -> "RateLimiter":
        """Return the limiter of `path` and of all paths with the same first three segments.

        If one of Okta's limits covers only a part of these paths, we make fewer calls than Okta allows, never more.
        """
        family = "/".join(path.partition("?")[0].split("/")[:4])
        if family not in self._limiters:
            self._limiters[family] = RateLimiter(family, self._share, self._clock)
        return self._limiters[family]


class RateLimiter:
    """Keeps our calls within our share of one rate limit.

    A caller must hold `lock` from `acquire` until the response arrives. Otherwise two callers could both make the last
    call that is allowed.
    """

    def __init__(self, family: str, share: float, clock: Clock) -> None:
        """Start without knowing the limit. `family` is the common path prefix of the endpoints that the limit covers."""
        self.lock = asyncio.Lock()
        self.family = family
        self._share = share
        self._clock = clock
        self._limit: int | None = None
        self._used = 0
        self._is_empty = False  # whether Okta has stated that no call is left in this window
        self._ends = 0.0

    async def acquire(self) -> None:
        """Wait until our share allows another call."""
        while (wait := self._wait()) > 0:
            if wait >= _LOG_FROM:
                _logger.info(
                    "waiting for Okta's rate limit", action="rate_limited", family=self.family, seconds=round(wait)
                )
            await self._clock.sleep(wait)

    def record_request(self) -> None:
        """Count a call. Must be called before the call is sent, because Okta also counts calls that get no response."""
        now = self._clock.monotonic()
        if now >= self._ends:
            # A window begins with the first call after the previous window. The end is a guess until a response
            # states it.
            self._ends, self._used, self._is_empty = now + WINDOW, 0, False
        self._used += 1

    @property
    def exhausted(self) -> bool:
        """Whether the next call must wait for the next window."""
        return self._wait() > 0

    @property
    def allowance(self) -> int | None:
        """Our share of the limit, in calls per window; None before a response has stated the limit."""
        return None if self._limit is None else max(1, int(self._limit * self._share))

    def update_from_headers(self, headers: Mapping[str, str]) -> None:
        """Read the limit, the remaining calls and the end of the window from a response's headers.

        A limit of 0 is ignored: Okta sends it with a 429 for too many concurrent calls. Names in `headers` must be in lower
        case, unless the mapping ignores case.
        """
        limit, left, ends = (_number(headers, f"x-rate-limit-{name}") for name in ("limit", "remaining", "reset"))
        if not limit or left is None or ends is None:
            return
        # By Okta's clock, because ours may differ.
        lasts = ends - server_time(headers, self._clock.now()) / SECOND
        if lasts < -_MARGIN:
            return
        if self._limit is None:
            # Calls before our first one may also be ours, made before a restart: count all calls of this window as ours.
            self._used = max(self._used, limit - left)
        self._limit, self._is_empty = limit, left <= 0
        # The count stays even if the end moves: a new window starts only when our own clock reaches the end.
        self._ends = self._clock.monotonic() + min(max(lasts, 0.0), _LONGEST) + _MARGIN

    def _wait(self) -> float:
        """Return the seconds to wait before the next call."""
        if self.allowance is None or (not self._is_empty and self._used < self.allowance):
            return 0.0
        return self._ends - self._clock.monotonic()


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 15 else None
