"""Keeps the due time of each action, and decides which of the due actions may start. A server that does not answer must
not delay the actions that call other servers."""

import heapq
from collections import Counter
from collections.abc import Collection
from itertools import count
from typing import NamedTuple

from forwarder.core.action import OUTSIDE, Action, ActionState
from forwarder.core.time import Micros

_MOST_STALE = 1000
"""The heap is rebuilt when it has more entries than twice the number of rows plus this number. Each `put` of a row leaves
an outdated entry in the heap, with the earlier due time of the row."""

Lane = tuple[str, str]
"""The key of a group of actions that share a limited number of slots: the kind of work, and the org, webhook or
receiver."""

Subject = tuple[str, str]
"""The key of a group of actions. Only one action of a group is processed at a time."""

_UNDO = "undo"


def lane_of(action: Action) -> Lane:
    """Return the lane of an action: the key of a group of actions that share a limited number of slots. Each webhook
    and each receiver of risk events has its own lane. Each org has three lanes: for undos, for polls of prompts, and
    for all other calls."""
    if action.name in OUTSIDE:
        return action.name, str(action.settings.get("to", ""))
    if action.state in {ActionState.LIVE, ActionState.UNDOING}:
        return _UNDO, action.org
    return "poll" if action.state is ActionState.PROMPTING else "call", action.org


def subject_of(action: Action) -> Subject:
    """Return the subject of an action. Only one action of each subject is processed at a time.

    The subject is the action's target, because the effect of one action can change what the guards decide about the
    next action on this target. A call of a webhook or of a receiver of risk events changes no target, so each action
    with such a call has its own subject.
    """
    return ("", action.key) if action.name in OUTSIDE else (action.org, action.target.id)


class _Row(NamedTuple):
    """The schedule of one action.

    Attributes:
        number: orders the actions that are due at the same time. The action that was added first has the lowest number.
    """

    number: int
    due: Micros | None
    lane: Lane
    subject: Subject


class Schedule:
    """The open actions in the order of their due times, and the due actions by lane and subject (see `lane_of` and
    `subject_of`)."""

    def __init__(self) -> None:
        self._numbers = count()
        self._rows: dict[str, _Row] = {}
        self._heap: list[tuple[Micros, int, str]] = []
        self._ready: dict[Lane, dict[Subject, dict[str, None]]] = {}

    def put(self, action: Action) -> None:
        """Schedule an open action by its current state and due time."""
        known = self._rows.get(action.key)
        number = next(self._numbers) if known is None else known.number
        self._set(action.key, _Row(number, action.due, lane_of(action), subject_of(action)))

    def postpone(self, key: str, until: Micros) -> None:
        """Make the action with the key `key` due at `until`. The next `put` of the action sets its due time again."""
        if (row := self._rows.get(key)) is not None:
            self._set(key, row._replace(due=until))

    def drop(self, key: str) -> None:
        """Remove the action with the key `key`, if the schedule has it."""
        self._leave(key)
        self._rows.pop(key, None)

    def due(self, now: Micros) -> list[str]:
        """Return the keys of all due actions, the earliest due time first. An action stays due until `put`, `postpone`
        or `drop` is called for it."""
        self._advance(now)
        ready = [key for lane in self._ready.values() for keys in lane.values() for key in keys]
        return sorted(ready, key=self._order)

    def startable(self, now: Micros, working: Collection[Action], at_once: int) -> list[str]:
        """Return the keys of the actions that may start now: first the undos, then the other actions. Both groups are
        ordered by due time.

        At most one action of each subject and at most `at_once` actions of each lane are processed at the same time.
        `working` are the actions that are being processed, in the state that they had when they were started; they
        count towards both maxima.
        """
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
        """Return the time at which the next action becomes due; None if no action will become due."""
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
            self._heap = [(row.due, row.number, key) for key, row in self._rows.items() if row.due is not None]
            heapq.heapify(self._heap)

    def _advance(self, now: Micros) -> None:
        """Add the actions whose due time has come to the due actions."""
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._is_current(due, key):
                row = self._rows[key]
                self._ready.setdefault(row.lane, {}).setdefault(row.subject, {})[key] = None

    def _leave(self, key: str) -> None:
        """Remove the action with the key `key` from the due actions, if it is one of them."""
        if (row := self._rows.get(key)) is None or (lane := self._ready.get(row.lane)) is None:
            return
        keys = lane.get(row.subject, {})
        keys.pop(key, None)
        if not keys:
            lane.pop(row.subject, None)
        if not lane:
            del self._ready[row.lane]
