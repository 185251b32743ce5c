"""Counts how often each limit held actions back in the last day, for the status."""

from typing import NamedTuple

from forwarder.core.time import SECOND, Micros

_MINUTE: Micros = 60 * SECOND
_HOUR = 60  # minutes
_DAY = 24 * _HOUR


class LimitHit(NamedTuple):
    """One limit that was reached.

    Attributes:
        last: when the last action that the limit held back was planned.
        hour, day: how many actions it held back in the last hour and in the last day, to the minute.
    """

    limit: str
    last: Micros
    hour: int
    day: int


class LimitHits:
    """Counts by limit and minute; keeps two days of minutes for each limit."""

    def __init__(self) -> None:
        self._minutes: dict[str, dict[int, int]] = {}
        self._last: dict[str, Micros] = {}

    def add(self, limit: str, at: Micros) -> None:
        """Count an action that was planned at `at`, and is over `limit`."""
        minutes = self._minutes.setdefault(limit, {})
        minute = at // _MINUTE
        minutes[minute] = minutes.get(minute, 0) + 1
        self._last[limit] = max(at, self._last.get(limit, at))
        if len(minutes) > 2 * _DAY:
            newest = max(minutes)
            self._minutes[limit] = {each: n for each, n in minutes.items() if each > newest - _DAY}

    def found(self, now: Micros) -> list[LimitHit]:
        """Return the limits that were reached in the last day, the most recent first."""
        minute = now // _MINUTE
        hits = [
            LimitHit(limit, self._last[limit], _sum(minutes, minute - _HOUR), _sum(minutes, minute - _DAY))
            for limit, minutes in self._minutes.items()
        ]
        return sorted((hit for hit in hits if hit.day), key=lambda hit: -hit.last)


def _sum(minutes: dict[int, int], after: int) -> int:
    return sum(count for minute, count in minutes.items() if minute > after)
