"""When each row is due, and which of those that are due may begin: a side that hangs delays no other."""

import heapq
from collections import Counter
from collections.abc import Collection
from itertools import count
from typing import NamedTuple

from forwarder.core.action import OUTSIDE, Action, State
from forwarder.core.time import Micros

_MOST_STALE = 1000
"""Times of rows that were put again since, and are dropped together."""

Lane = tuple[str, str]
"""What has slots of its own: what for, and the org, webhook or receiver."""

Subject = tuple[str, str]
"""What only one action at a time is worked on for."""

_UNDO = "undo"


def lane_of(action: Action) -> Lane:
    """Return whose slots an action needs. Undos and polls of prompts have their own beside the other calls to their org."""
    if action.name in OUTSIDE:
        return action.name, str(action.settings.get("to", ""))
    if action.state in {State.LIVE, State.UNDOING}:
        return _UNDO, action.org
    return "poll" if action.state is State.PROMPTING else "call", action.org


def subject_of(action: Action) -> Subject:
    """Return what only one action at a time is worked on for: its target, because what one action does to it decides what
    the next one finds. What goes elsewhere changes nothing at the target, and keeps no other one waiting."""
    return ("", action.key) if action.name in OUTSIDE else (action.org, action.target.id)


class _Row(NamedTuple):
    """What is kept of a row.

    Attributes:
        number: tells the order of rows that are due at the same time: the order in which they came first.
    """

    number: int
    due: Micros | None
    lane: Lane
    subject: Subject


class Schedule:
    """The open rows by their time, and those that are due by their lane and subject."""

    def __init__(self) -> None:
        self._numbers = count()
        self._rows: dict[str, _Row] = {}
        self._heap: list[tuple[Micros, int, str]] = []
        self._ready: dict[Lane, dict[Subject, dict[str, None]]] = {}

    def put(self, action: Action) -> None:
        """Take an open row as it is now."""
        known = self._rows.get(action.key)
        number = next(self._numbers) if known is None else known.number
        self._set(action.key, _Row(number, action.due, lane_of(action), subject_of(action)))

    def postpone(self, key: str, until: Micros) -> None:
        """Let a row be due then, until it is put again."""
        if (row := self._rows.get(key)) is not None:
            self._set(key, row._replace(due=until))

    def drop(self, key: str) -> None:
        """Forget a row; it may be unknown."""
        self._leave(key)
        self._rows.pop(key, None)

    def due(self, now: Micros) -> list[str]:
        """Return the keys of all that is due, the longest due first. They are due until they are put."""
        self._advance(now)
        ready = [key for lane in self._ready.values() for keys in lane.values() for key in keys]
        return sorted(ready, key=self._order)

    def startable(self, now: Micros, working: Collection[Action], at_once: int) -> list[str]:
        """Return the keys of what may begin now, undos first, then the longest due: in each lane as many as leave at most
        `at_once` in work, and one for each subject. What is in work is `working`, as it was when it began."""
        self._advance(now)
        busy = {subject_of(one) for one in working}
        taken = Counter(lane_of(one) for one in working)
        found: list[tuple[bool, str]] = []
        for lane in sorted(self._ready, key=lambda each: each[0] != _UNDO):
            free = at_once - taken[lane]
            for subject, keys in self._ready[lane].items():
                if free <= 0:
                    break
                if subject not in busy:
                    busy.add(subject)
                    found.append((lane[0] != _UNDO, next(iter(keys))))
                    free -= 1
        return [key for _, key in sorted(found, key=lambda each: (each[0], self._order(each[1])))]

    def next_due(self) -> Micros | None:
        """Return when the next row is due that is not yet; None if there is none."""
        while self._heap:
            due, _, key = self._heap[0]
            if self._is_current(due, key):
                return due
            heapq.heappop(self._heap)
        return None

    def __len__(self) -> int:
        return len(self._heap)

    def _order(self, key: str) -> tuple[Micros, int]:
        row = self._rows[key]
        return row.due or 0, row.number

    def _is_current(self, due: Micros, key: str) -> bool:
        row = self._rows.get(key)
        return row is not None and row.due == due

    def _set(self, key: str, row: _Row) -> None:
        self._leave(key)
        self._rows[key] = row
        if row.due is None:
            return
        heapq.heappush(self._heap, (row.due, row.number, key))
        if len(self._heap) > 2 * len(self._rows) + _MOST_STALE:
            self._heap = [
                (row.due, row.number, key) for key, row in self._rows.items() if row.due is not None
            ]
            heapq.heapify(self._heap)

    def _advance(self, now: Micros) -> None:
        """Note what is due by now."""
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._is_current(due, key):
                row = self._rows[key]
                self._ready.setdefault(row.lane, {}).setdefault(row.subject, {})[key] = None

    def _leave(self, key: str) -> None:
        """Take a row out of those that are due; it may not be among them."""
        if (row := self._rows.get(key)) is None or (lane := self._ready.get(row.lane)) is None:
            return
        keys = lane.get(row.subject, {})
        keys.pop(key, None)
        if not keys:
            lane.pop(row.subject, None)
        if not lane:
            del self._ready[row.lane]
