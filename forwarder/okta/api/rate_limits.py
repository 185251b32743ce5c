"""Okta's rate limits: a share of each is ours, and no call goes beyond it.

Okta counts calls a minute for each family of endpoints, tells the limit, what is left of it and when the minute ends on
every answer, and refuses what is above (429). Other clients of the org live on the same limit, hence the share.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from forwarder import logs
from forwarder.core.ports import Clock

WINDOW = 60.0
"""Seconds: the span over which Okta counts."""

_MARGIN = 1.0  # seconds: Okta tells the end in whole seconds, and its clock is read from a header of whole seconds too
_LONGEST = 2 * WINDOW
_TOLD_FROM = 5.0  # seconds of waiting, from which on a human may wonder

_logger = logs.get("okta")


class Limits:
    """The limits of one org."""

    def __init__(self, share: float, clock: Clock) -> None:
        """Args:
        share: of each limit, from ]0, 1].
        clock: to wait by.
        """
        self._share = share
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def bucket(self, path: str) -> "Bucket":
        """The limit that calls of `path` count for. Okta draws the families finer in places; to count two of them as
        one can only make us more careful."""
        family = "/".join(path.partition("?")[0].split("/")[:4])
        if family not in self._buckets:
            self._buckets[family] = Bucket(family, self._share, self._clock)
        return self._buckets[family]


class Bucket:
    """One limit. Whoever calls holds `turn` from before `admitted` until the answer is in: two who looked at the same time
    would both take the last call.

    Attributes:
        turn: to hold.
    """

    def __init__(self, family: str, share: float, clock: Clock) -> None:
        """Args:
        family: beginning of the paths, for the log.
        share: of the limit that is ours.
        clock: to wait by.
        """
        self.turn = asyncio.Lock()
        self._family = family
        self._share = share
        self._clock = clock
        self._limit: int | None = None
        self._used = 0
        self._empty = False  # nothing is left in this window, whoever used it
        self._ends = 0.0

    async def admitted(self) -> None:
        """Wait until a call is within our share."""
        while (wait := self._wait()) > 0:
            if wait >= _TOLD_FROM:
                _logger.info(
                    "waits for Okta's rate limit",
                    action="rate_limited",
                    family=self._family,
                    seconds=round(wait),
                )
            await self._clock.sleep(wait)

    def sent(self) -> None:
        """Count a call, before it goes out: one without an answer counts for Okta too."""
        now = self._clock.monotonic()
        if now >= self._ends:
            # A window begins with the first call after the last one. Until an answer tells, its end is a guess.
            self._ends, self._used, self._empty = now + WINDOW, 0, False
        self._used += 1

    @property
    def closed(self) -> bool:
        """Whether a call has to wait for the next window."""
        return self._wait() > 0

    @property
    def allowance(self) -> int | None:
        """Calls in a window that are ours; None before an answer has told the limit."""
        return None if self._limit is None else max(1, int(self._limit * self._share))

    def answered(self, headers: Mapping[str, str]) -> None:
        """Learn from an answer. Where calls at the same time are too many, Okta refuses with zeros that tell nothing.

        Args:
            headers: names in lower case, or in any where the mapping does not heed it.
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
        self._limit, self._empty = limit, left <= 0
        # The count is kept even where the end moves: only our own clock begins a window anew.
        self._ends = self._clock.monotonic() + min(max(lasts, 0.0), _LONGEST) + _MARGIN

    def _wait(self) -> float:
        """Seconds to wait before the next call."""
        if self.allowance is None or (not self._empty and self._used < self.allowance):
            return 0.0
        return self._ends - self._clock.monotonic()

    def _okta_now(self, headers: Mapping[str, str]) -> float:
        """Okta's own clock, in seconds since 1970, so that it does not matter if ours is wrong."""
        try:
            return parsedate_to_datetime(headers["date"]).astimezone(UTC).timestamp()
        except (KeyError, ValueError):
            return self._clock.now() / 1e6


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 15 else None
