"""Okta's rate limits: we use a share of each, and no call exceeds it.

Okta counts calls per minute for each family of endpoints. Every response says the limit, what is left of it and when the
minute ends; calls above the limit get 429. Other clients of the org use the same limits, hence the share.
"""

import asyncio
from collections.abc import Mapping

from forwarder import logs
from forwarder.core.ports import Clock
from forwarder.core.time import SECOND, from_http_date

WINDOW = 60.0
"""Seconds over which Okta counts."""

_MARGIN = 1.0  # seconds: Okta gives the end in whole seconds, and its `date` header too
_LONGEST = 2 * WINDOW
_LOG_FROM = 5.0  # seconds of waiting, from which on an operator may wonder

_logger = logs.get("okta")


class RateLimits:
    """The rate limits of one org, of which `share` (from ]0, 1]) is ours."""

    def __init__(self, share: float, clock: Clock) -> None:
        self._share = share
        self._clock = clock
        self._limiters: dict[str, RateLimiter] = {}

    def limiter(self, path: str) -> "RateLimiter":
        """Return the limiter of all paths that share the first three segments with `path`. Some of Okta's
        limits cover fewer endpoints; a shared limiter is only more conservative."""
        family = "/".join(path.partition("?")[0].split("/")[:4])
        if family not in self._limiters:
            self._limiters[family] = RateLimiter(family, self._share, self._clock)
        return self._limiters[family]


class RateLimiter:
    """Keeps our calls within our share of one rate limit. Hold `lock` from `acquire` until the response
    arrives, or two callers could both use the last allowed call."""

    def __init__(self, family: str, share: float, clock: Clock) -> None:
        """Start with an unknown limit; `family` is the path prefix that its endpoints share."""
        self.lock = asyncio.Lock()
        self.family = family
        self._share = share
        self._clock = clock
        self._limit: int | None = None
        self._used = 0
        self._is_empty = False  # nothing is left in this window
        self._ends = 0.0

    async def acquire(self) -> None:
        """Wait until our share allows another call."""
        while (wait := self._wait()) > 0:
            if wait >= _LOG_FROM:
                _logger.info(
                    "waiting for Okta's rate limit",
                    action="rate_limited",
                    family=self.family,
                    seconds=round(wait),
                )
            await self._clock.sleep(wait)

    def record_request(self) -> None:
        """Count a call; called before it is sent, because Okta also counts calls that get no response."""
        now = self._clock.monotonic()
        if now >= self._ends:
            # A window begins with the first call after the last one. Its end is a guess until a response says it.
            self._ends, self._used, self._is_empty = now + WINDOW, 0, False
        self._used += 1

    @property
    def exhausted(self) -> bool:
        """Whether a call has to wait for the next window."""
        return self._wait() > 0

    @property
    def allowance(self) -> int | None:
        """Our share of the limit, in calls per window; None before a response has stated the limit."""
        return None if self._limit is None else max(1, int(self._limit * self._share))

    def update_from_headers(self, headers: Mapping[str, str]) -> None:
        """Take limit, remaining calls and end of the window from a response's headers. A limit of 0 is
        ignored: it comes with a 429 for too many concurrent calls.

        Args:
            headers: response headers; names in lower case, unless the mapping ignores case.
        """
        limit, left, ends = (
            _number(headers, f"x-rate-limit-{name}") for name in ("limit", "remaining", "reset")
        )
        if not limit or left is None or ends is None:
            return
        lasts = ends - self._okta_now(headers)
        if lasts < -_MARGIN:
            return
        if self._limit is None:
            # What was used before our first call may have been ours too, before a restart.
            self._used = max(self._used, limit - left)
        self._limit, self._is_empty = limit, left <= 0
        # The count is kept even if the end moves: only our own clock starts a new window.
        self._ends = self._clock.monotonic() + min(max(lasts, 0.0), _LONGEST) + _MARGIN

    def _wait(self) -> float:
        """Return the seconds to wait before the next call."""
        if self.allowance is None or (not self._is_empty and self._used < self.allowance):
            return 0.0
        return self._ends - self._clock.monotonic()

    def _okta_now(self, headers: Mapping[str, str]) -> float:
        """Return Okta's time from the `date` header, in seconds since 1970; our time if there is no such
        header."""
        sent = from_http_date(headers.get("date", ""))
        return (self._clock.now() if sent is None else sent) / SECOND


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 15 else None
