"""The org's System Log: every event that happened, in the order in which it was stored."""

from collections import deque
from collections.abc import Iterable
from itertools import islice

import msgspec

from forwarder.core.event import Micros


class LogEntry(msgspec.Struct, frozen=True, gc=False):
    """One event as the log keeps it.

    Attributes:
        published: when it happened.
        body: the JSON object.
    """

    published: Micros
    body: bytes


class SystemLog:
    """A log that remembers the newest `history` events; older ones are left out of every page, as Okta does after 90 days."""

    def __init__(self, history: int) -> None:
        self._events: deque[LogEntry] = deque(maxlen=history)
        self._count = 0

    def append(self, events: Iterable[LogEntry]) -> None:
        """Store what happened."""
        for event in events:
            self._events.append(event)
            self._count += 1

    def page(self, *, after: int | None, since: Micros, limit: int) -> tuple[list[LogEntry], int]:
        """One page, as a poller sees it.

        Args:
            after: the cursor of the page before; None for a first page.
            since: a first page starts at the first event that is not older.
            limit: most events.

        Returns:
            The events, and the cursor of the page that follows.
        """
        oldest = self._count - len(self._events)
        if after is None:
            new = (place for place, event in enumerate(self._events) if event.published >= since)
            skipped = next(new, len(self._events))
        else:
            skipped = min(max(after - oldest, 0), len(self._events))
        events = list(islice(self._events, skipped, skipped + limit))
        return events, oldest + skipped + len(events)
