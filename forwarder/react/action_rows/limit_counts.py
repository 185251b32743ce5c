"""What the limits count: recent actions, recent prompts, and how often each limit held actions back."""

from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple, TypeVar

import msgspec

from forwarder.core.action import Action, ActionState, EffectKind, Outcome, Reason
from forwarder.core.time import SECOND, Micros

K = TypeVar("K")

_MINUTE: Micros = 60 * SECOND
_HOUR = 60  # minutes
_DAY = 24 * _HOUR

_OUT = {ActionState.CALLING, ActionState.PROMPTING}

Scope = tuple[str, ...]
"""The key of one count: the name of the limit, `shadow` or `enforce`, and the org; for `per_user` and `per_rule` also the
id of the user or of the rule."""


def scopes_of(action: Action, *, shadow: bool) -> list[tuple[str, Scope, str]]:
    """Return (limit, scope, item) for each limit that counts `action`: the limit's name, the key of the count, and the
    key of the counted item.

    `per_user` and `per_rule` count alerts, so the item is the alert. The limit of a kind counts actions, so the item is
    the action. No limit counts an action of the kind `quiet`.
    """
    if action.kind is EffectKind.QUIET:
        return []
    mode = "shadow" if shadow else "enforce"
    scopes: list[tuple[str, Scope, str]] = []
    if action.target.kind == "user":
        scopes.append(("per_user", ("per_user", mode, action.org, action.target.id), action.alert))
    scopes.append(("per_rule", ("per_rule", mode, action.org, action.rule), action.alert))
    scopes.append((action.kind.value, (action.kind.value, mode, action.org), action.key))
    return scopes


class RecentActions:
    """Counts the recent items of each scope. A scope is the key of one count; an item is an alert or an action. The
    counts stay small, because an action that a limit holds back is not counted.

    Forgets actions that are more than `horizon` microseconds older than the action that was added last.
    """

    def __init__(self, horizon: Micros) -> None:
        self._horizon = horizon
        # By scope and by item: the keys of the item's actions, each with the time when the action acted.
        self._found: dict[Scope, dict[str, dict[str, Micros]]] = {}
        self._order: deque[tuple[Micros, Scope, str, str]] = deque()

    def add(self, action: Action, at: Micros, *, shadow: bool) -> None:
        """Count an action that acts at the time `at`. If the action was counted before, the later of the two times
        applies."""
        for _, scope, item in scopes_of(action, shadow=shadow):
            actions = self._found.setdefault(scope, {}).setdefault(item, {})
            if actions.get(action.key, at - 1) < at:
                actions[action.key] = at
                self._order.append((at, scope, item, action.key))
        while self._order and self._order[0][0] <= at - self._horizon:
            added, scope, item, key = self._order.popleft()
            if self._found.get(scope, {}).get(item, {}).get(key) == added:  # it has not acted again since
                self._drop(scope, item, key)

    def widen(self, horizon: Micros) -> None:
        """From now on, keep each action for `horizon` microseconds."""
        self._horizon = horizon

    def remove(self, action: Action) -> None:
        """Stop counting an action, because its call was certainly not sent."""
        for shadow in (False, True):
            for _, scope, item in scopes_of(action, shadow=shadow):
                self._drop(scope, item, action.key)

    def count(self, scope: Scope, since: Micros, *, besides: str) -> int:
        """Return the number of items (alerts or actions) in the scope `scope` with an action after `since`. The item
        `besides` is not counted."""
        found = self._found.get(scope, {})
        return sum(item != besides and max(at.values()) > since for item, at in found.items())

    def __len__(self) -> int:
        return len(self._order)

    def _drop(self, scope: Scope, item: str, key: str) -> None:
        items = self._found.get(scope, {})
        actions = items.get(item, {})
        actions.pop(key, None)
        if not actions:
            items.pop(item, None)
        if not items:
            self._found.pop(scope, None)


def acted_at(action: Action) -> tuple[Micros, bool] | None:
    """Return when an action acted, and whether it acted only in shadow mode; None if it has not acted.

    An action acts when its call is sent. In shadow mode, where no call is sent, an action acts when it is recorded,
    unless a limit held it back.
    """
    if action.called_at is not None:
        return action.called_at, False
    if action.outcome is Outcome.SHADOW and action.reason is not Reason.LIMIT:
        return action.seen_at or action.planned_at, True
    return None


class OpenPrompts:
    """The prompts that were sent or, in shadow mode, would have been sent. There are never many of them, because of the
    limits.

    Forgets ended prompts that are more than `horizon` microseconds older than the prompt that was put last.
    """

    def __init__(self, horizon: Micros) -> None:
        self.horizon = horizon
        self._out: dict[str, dict[str, Action]] = {}  # by org
        self._finished: dict[tuple[str, str], dict[str, Action]] = {}  # by org and user
        self._order: dict[str, Action] = {}  # ended prompts, in the order in which they were put

    def put(self, action: Action) -> None:
        """Keep the current state of a prompt, without its alert and its request."""
        self._drop(action)
        small = msgspec.structs.replace(action, subject=b"", request=None, before=None, after=None)
        if action.state in _OUT:
            self._out.setdefault(action.org, {})[action.key] = small
        elif not action.is_open and (acted := acted_at(action)) is not None:
            self._finished.setdefault(_user(action), {})[action.key] = self._order[action.key] = small
            self._forget(acted[0] - self.horizon)

    def claim(self, action: Action) -> None:
        """Count a prompt that is about to be sent as a prompt that waits for an answer."""
        self.put(msgspec.structs.replace(action, state=ActionState.CALLING))

    def beside(self, action: Action) -> Iterator[Action]:
        """Return the prompts in the org of `action` that wait for an answer, and the ended prompts to the user of
        `action`."""
        out, finished = self._out.get(action.org, {}), self._finished.get(_user(action), {})
        return chain(out.values(), finished.values())

    def __len__(self) -> int:
        return len(self._order) + sum(map(len, self._out.values()))

    def _forget(self, until: Micros) -> None:
        while self._order:
            first = next(iter(self._order.values()))
            if (acted := acted_at(first)) is not None and acted[0] > until:
                return
            self._drop(first)

    def _drop(self, action: Action) -> None:
        self._order.pop(action.key, None)
        _remove(self._out, action.org, action.key)
        _remove(self._finished, _user(action), action.key)


def _user(action: Action) -> tuple[str, str]:
    return action.org, action.target.id


def _remove(rows: dict[K, dict[str, Action]], where: K, key: str) -> None:
    if (found := rows.get(where)) is not None:
        found.pop(key, None)
        if not found:
            del rows[where]


class LimitHit(NamedTuple):
    """One limit that held actions back in the last day.

    Attributes:
        last: the planned time of the newest action that the limit held back.
        hour, day: the number of actions that the limit held back in the last hour and in the last day. Both periods
            consist of whole minutes.
    """

    limit: str
    last: Micros
    hour: int
    day: int


class LimitHits:
    """Counts, for each limit and minute, the actions that the limit held back. For each limit, keeps at most as many
    minutes as two days have."""

    def __init__(self) -> None:
        self._minutes: dict[str, dict[int, int]] = {}
        self._last: dict[str, Micros] = {}

    def add(self, limit: str, at: Micros) -> None:
        """Count an action that was planned at the time `at` and that `limit` holds back."""
        minutes = self._minutes.setdefault(limit, {})
        minute = at // _MINUTE
        minutes[minute] = minutes.get(minute, 0) + 1
        self._last[limit] = max(at, self._last.get(limit, at))
        if len(minutes) > 2 * _DAY:
            newest = max(minutes)
            self._minutes[limit] = {each: n for each, n in minutes.items() if each > newest - _DAY}

    def found(self, now: Micros) -> list[LimitHit]:
        """Return the limits that held actions back in the last day, the most recent first."""
        minute = now // _MINUTE
        hits = [
            LimitHit(limit, self._last[limit], _sum(minutes, minute - _HOUR), _sum(minutes, minute - _DAY))
            for limit, minutes in self._minutes.items()
        ]
        return sorted((hit for hit in hits if hit.day), key=lambda hit: -hit.last)


def _sum(minutes: dict[int, int], after: int) -> int:
    return sum(count for minute, count in minutes.items() if minute > after)
