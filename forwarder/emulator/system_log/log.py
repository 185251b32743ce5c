"""The org's System Log: every event that happened, in the order in which it was stored, and by the time of its happening.

An event is stored at its persistence time, which may be later than `published` and not in the same order. A poller reads in the
order of storage, so it misses nothing; a bounded reader goes by `published`, and misses what is stored after it has passed.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from itertools import count

import msgspec

from forwarder.core.time import Micros

Key = tuple[Micros, int]
"""A place in the log: a time, and a number that tells entries of the same time apart."""


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One event as the log keeps it.

    Attributes:
        published: when it happened.
        body: the JSON object.
    """

    published: Micros
    body: bytes


_Placed = tuple[Micros, int, LogEntry]


def _key(placed: _Placed) -> Key:
    return placed[:2]


Match = Callable[[LogEntry], bool]
"""Whether an entry is wanted."""


class Part(msgspec.Struct, frozen=True):
    """What of the log is asked for: from one time to another, and only entries that match.

    Attributes:
        since: not older.
        until: older than this.
        match: None for all.
    """

    since: Micros
    until: Micros
    match: Match | None = None


class LogPage(msgspec.Struct, frozen=True):
    """One page.

    Attributes:
        entries: as asked for.
        after: where the next page begins.
        more: there is more already.
    """

    entries: Sequence[LogEntry]
    after: Key
    more: bool


class SystemLog:
    """A log that remembers the newest `history` events.

    Args:
        history: how many.
        now: the time, which decides what is stored already.
    """

    def __init__(self, history: int, now: Callable[[], Micros]) -> None:
        self._history = history
        self._now = now
        self._numbers = count()
        self._coming: list[_Placed] = []
        self._stored: list[_Placed] = []
        self._by_published: list[_Placed] = []

    def append(self, entries: Iterable[LogEntry], *, at: Micros | None = None) -> None:
        """Store what happened.

        Args:
            entries: in any order.
            at: when they are stored; None for now. A time to come keeps them out of every page until then.
        """
        if at is None:
            # A clock that is set back must not put an event where pollers have been already.
            at = max(self._now(), self._stored[-1][0] if self._stored else 0)
        for entry in entries:
            heapq.heappush(self._coming, (at, next(self._numbers), entry))
        self._store()

    def poll(self, part: Part, *, after: Key | None, limit: int) -> LogPage:
        """One page in the order of storage; `part` goes by the time of storage.

        Args:
            part: what is asked for.
            after: where the page before ended; None for a first page.
            limit: most entries.
        """
        self._store()
        return _page(self._stored, part, after, limit)

    def between(self, part: Part, *, after: Key | None, limit: int, descending: bool = False) -> LogPage:
        """One page in the order of `published`; `part` goes by it too. Arguments as of `poll`.

        Args:
            part: as of `poll`.
            after: as of `poll`.
            limit: as of `poll`.
            descending: the newest first.
        """
        self._store()
        if descending:
            return _page_back(self._by_published, part, after, limit)
        return _page(self._by_published, part, after, limit)

    def _store(self) -> None:
        """Let everything in whose time of storage has come, and forget what is too much."""
        now = self._now()
        while self._coming and self._coming[0][0] <= now:
            at, number, entry = heapq.heappop(self._coming)
            insort(self._stored, (at, number, entry))
            insort(self._by_published, (entry.published, number, entry))
        excess = max(0, len(self._stored) - self._history)
        for _, number, entry in self._stored[:excess]:
            del self._by_published[bisect_left(self._by_published, (entry.published, number), key=_key)]
        del self._stored[:excess]


def _page(log: list[_Placed], part: Part, after: Key | None, limit: int) -> LogPage:
    """A page of a log that is sorted upwards."""
    start = (part.since, -1) if after is None else max((after[0], after[1] + 1), (part.since, -1))
    place = bisect_left(log, start, key=_key)
    end = bisect_left(log, (part.until, -1), key=_key)
    return _collect(log, range(place, end), part, (start[0], start[1] - 1), limit)


def _page_back(log: list[_Placed], part: Part, after: Key | None, limit: int) -> LogPage:
    """A page of a log that is sorted upwards, read downwards."""
    end = min(after or (part.until, -1), (part.until, -1))
    first = bisect_left(log, (part.since, -1), key=_key)
    last = bisect_left(log, end, key=_key)
    return _collect(log, range(last - 1, first - 1, -1), part, end, limit)


def _collect(log: list[_Placed], places: range, part: Part, start: Key, limit: int) -> LogPage:
    entries: list[LogEntry] = []
    after = start
    for place in places:
        at, number, entry = log[place]
        if part.match is None or part.match(entry):
            if len(entries) == limit:
                return LogPage(entries, after, more=True)
            entries.append(entry)
        after = (at, number)
    return LogPage(entries, after, more=False)
