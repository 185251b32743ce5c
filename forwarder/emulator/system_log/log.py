"""The org's System Log, in the order in which events were stored, and in the order of `published`.

An event may be stored later than it was published, so the order of storage may differ from the order of `published`. A
polling query reads in the order of storage, so it misses no event. A bounded query reads in the order of `published`.
So it misses an event that is stored later, but was published before the events that the query has already read.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from itertools import count

import msgspec

from forwarder.core.time import Micros

Key = tuple[Micros, int]
"""A position in the log: a time, and a number that distinguishes entries of the same time."""


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One event; `body` is its JSON object."""

    published: Micros
    body: bytes


_Positioned = tuple[Micros, int, LogEntry]


def _key(positioned: _Positioned) -> Key:
    return positioned[:2]


class LogRange(msgspec.Struct, frozen=True):
    """The part of the log that a caller asks for.

    Attributes:
        since: start of the time range, inclusive.
        until: end of the time range, exclusive.
        matches: selects entries; None selects all.
    """

    since: Micros
    until: Micros
    matches: Callable[[LogEntry], bool] | None = None


class EmulatedLogPage(msgspec.Struct, frozen=True):
    """One page of the log.

    Attributes:
        after: position of the last entry that was examined; the next page begins after it.
        more: whether the log already has a matching entry after this page.
    """

    entries: Sequence[LogEntry]
    after: Key
    more: bool


class EmulatedSystemLog:
    """A log that keeps the newest `history` events. A page contains an entry only after the entry's time of
    storage.

    `now` returns the current time.
    """

    def __init__(self, history: int, now: Callable[[], Micros]) -> None:
        self._history = history
        self._now = now
        self._numbers = count()
        self._pending: list[_Positioned] = []
        self._stored: list[_Positioned] = []
        self._by_published: list[_Positioned] = []

    def append(self, entries: Iterable[LogEntry], *, at: Micros | None = None) -> None:
        """Store entries at the time `at`, by default now. Before the time `at`, no page contains the entries."""
        if at is None:
            # If the clock is set back, a polling query with a later cursor must not miss the event.
            at = max(self._now(), self._stored[-1][0] if self._stored else 0)
        for entry in entries:
            heapq.heappush(self._pending, (at, next(self._numbers), entry))
        self._store()

    def poll(self, part: LogRange, *, after: Key | None, limit: int) -> EmulatedLogPage:
        """Return one page in the order of storage: the entries after the position `after`.

        `after` is `EmulatedLogPage.after` of the previous page; None asks for the first page. The times in `part` are
        times of storage.
        """
        self._store()
        return _page(self._stored, part, after, limit)

    def between(self, part: LogRange, *, after: Key | None, limit: int, descending: bool = False) -> EmulatedLogPage:
        """Return one page in the order of `published`. The arguments mean what they mean for `poll`, except that the
        times in `part` are compared with `published`."""
        self._store()
        if descending:
            return _page_descending(self._by_published, part, after, limit)
        return _page(self._by_published, part, after, limit)

    def _store(self) -> None:
        """Store all entries whose time of storage has come. Then remove the oldest entries, so that at most `history`
        entries are left."""
        now = self._now()
        while self._pending and self._pending[0][0] <= now:
            at, number, entry = heapq.heappop(self._pending)
            insort(self._stored, (at, number, entry))
            insort(self._by_published, (entry.published, number, entry))
        excess = max(0, len(self._stored) - self._history)
        for _, number, entry in self._stored[:excess]:
            del self._by_published[bisect_left(self._by_published, (entry.published, number), key=_key)]
        del self._stored[:excess]


def _page(log: list[_Positioned], part: LogRange, after: Key | None, limit: int) -> EmulatedLogPage:
    start = (part.since, -1) if after is None else max((after[0], after[1] + 1), (part.since, -1))
    first = bisect_left(log, start, key=_key)
    end = bisect_left(log, (part.until, -1), key=_key)
    return _collect(log, range(first, end), part, (start[0], start[1] - 1), limit)


def _page_descending(log: list[_Positioned], part: LogRange, after: Key | None, limit: int) -> EmulatedLogPage:
    end = min(after or (part.until, -1), (part.until, -1))
    first = bisect_left(log, (part.since, -1), key=_key)
    last = bisect_left(log, end, key=_key)
    return _collect(log, range(last - 1, first - 1, -1), part, end, limit)


def _collect(log: list[_Positioned], indexes: range, part: LogRange, start: Key, limit: int) -> EmulatedLogPage:
    entries: list[LogEntry] = []
    after = start
    for index in indexes:
        at, number, entry = log[index]
        if part.matches is None or part.matches(entry):
            if len(entries) == limit:
                return EmulatedLogPage(entries, after, more=True)
            entries.append(entry)
        after = (at, number)
    return EmulatedLogPage(entries, after, more=False)
