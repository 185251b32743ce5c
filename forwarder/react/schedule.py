"""Keeps when each row is due, and which of the due rows may begin, so that a server that hangs delays no other."""

import heapq
from collections import Counter
from collections.abc import Collection
from itertools import count
from typing import NamedTuple

from forwarder.core.action import OUTSIDE, Action, ActionState
from forwarder.core.time import Micros

_MOST_STALE = 1000
"""How many outdated times the heap may hold, beside one for each row, before they are dropped together. Putting a row
again makes its earlier time outdated."""

Lane = tuple[str, str]
"""The key of a group of actions that has slots of its own: what they do, and for which org, webhook or receiver."""

Subject = tuple[str, str]
"""The key of a group of actions of which only one at a time is worked on."""

_UNDO = "undo"


def lane_of(action: Action) -> Lane:
    """Return the lane whose slots an action uses. The undos of an org, and the polls of its prompts, have
    lanes of their own."""
    if action.name in OUTSIDE:
        return action.name, str(action.settings.get("to", ""))
    if action.state in {ActionState.LIVE, ActionState.UNDOING}:
        return _UNDO, action.org
    return "poll" if action.state is ActionState.PROMPTING else "call", action.org


def subject_of(action: Action) -> Subject:
    """Return the subject of an action. It is the action's target, because the effect of one action decides about
    the next one on that target. An action that is sent outside Okta does not change its target, so it has a
    subject of its own."""
    return ("", action.key) if action.name in OUTSIDE else (action.org, action.target.id)


class _Row(NamedTuple):
    """The schedule of a row.

    Attributes:
        number: the order among rows that are due at the same time: the row that was put first has the lowest.
    """

    number: int
    due: Micros | None
    lane: Lane
    subject: Subject


class Schedule:
    """The open rows by time, and the due rows by lane and subject."""

    def __init__(self) -> None:
        self._numbers = count()
        self._rows: dict[str, _Row] = {}
        self._heap: list[tuple[Micros, int, str]] = []
        self._ready: dict[Lane, dict[Subject, dict[str, None]]] = {}

    def put(self, action: Action) -> None:
        """Schedule an open row by its current state."""
        known = self._rows.get(action.key)
        number = next(self._numbers) if known is None else known.number
        self._set(action.key, _Row(number, action.due, lane_of(action), subject_of(action)))

    def postpone(self, key: str, until: Micros) -> None:
        """Make a row due at `until`. When the row is put again, its own time counts again."""
        if (row := self._rows.get(key)) is not None:
            self._set(key, row._replace(due=until))

    def drop(self, key: str) -> None:
        """Remove a row, if it is there."""
        self._leave(key)
        self._rows.pop(key, None)

    def due(self, now: Micros) -> list[str]:
        """Return the keys of all due rows, the longest due first. A row stays due until it is put again."""
        self._advance(now)
        ready = [key for lane in self._ready.values() for keys in lane.values() for key in keys]
        return sorted(ready, key=self._order)

    def startable(self, now: Micros, working: Collection[Action], at_once: int) -> list[str]:
        """Return the keys of the rows that may begin now: undos first, then the rows that have been due the
        longest. Each subject has at most one row, and each lane at most `at_once`, counting `working`: the rows
        that are being worked on, as they were when the work began."""
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
        """Return when the next row becomes due; None if none will."""
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
        """Move the rows that are due by `now` to the due ones."""
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._is_current(due, key):
                row = self._rows[key]
                self._ready.setdefault(row.lane, {}).setdefault(row.subject, {})[key] = None

    def _leave(self, key: str) -> None:
        """Remove a row from the due ones, if it is there."""
        if (row := self._rows.get(key)) is None or (lane := self._ready.get(row.lane)) is None:
            return
        keys = lane.get(row.subject, {})
        keys.pop(key, None)
        if not keys:
            lane.pop(row.subject, None)
        if not lane:
            del self._ready[row.lane]
