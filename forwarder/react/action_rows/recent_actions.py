"""Counts recent actions for the limits."""

from collections import deque

from forwarder.core.action import Action, EffectKind, Outcome, Reason
from forwarder.core.time import Micros

Scope = tuple[str, ...]
"""The key of a separate count: the limit's name, `shadow` or `enforce`, the org, and the user or the rule if the
limit has one."""


def scopes_of(action: Action, *, shadow: bool) -> list[tuple[str, Scope, str]]:
    """Return the limits that count an action, each as its name, its scope, and the item to count. The item is
    the alert for `per_user` and `per_rule`, and the action for the limit of its kind. Quiet actions count for
    no limit."""
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
    """Counts, for each scope, the recent alerts or actions. The limits keep their number small.

    Drops actions that are more than `horizon` older than the action added last.
    """

    def __init__(self, horizon: Micros) -> None:
        self._horizon = horizon
        # By scope, then by item: the actions of the item, each with the time when it acted.
        self._found: dict[Scope, dict[str, dict[str, Micros]]] = {}
        self._order: deque[tuple[Micros, Scope, str, str]] = deque()

    def add(self, action: Action, at: Micros, *, shadow: bool) -> None:
        """Count an action that acts at `at`. If it acted before, only the later time counts."""
        for _, scope, item in scopes_of(action, shadow=shadow):
            actions = self._found.setdefault(scope, {}).setdefault(item, {})
            if actions.get(action.key, at - 1) < at:
                actions[action.key] = at
                self._order.append((at, scope, item, action.key))
        while self._order and self._order[0][0] <= at - self._horizon:
            added, scope, item, key = self._order.popleft()
            if self._found.get(scope, {}).get(item, {}).get(key) == added:  # it did not act again since
                self._drop(scope, item, key)

    def widen(self, horizon: Micros) -> None:
        """Keep actions for `horizon` from now on."""
        self._horizon = horizon

    def remove(self, action: Action) -> None:
        """Stop counting an action: it did not act after all."""
        for shadow in (False, True):
            for _, scope, item in scopes_of(action, shadow=shadow):
                self._drop(scope, item, action.key)

    def count(self, scope: Scope, since: Micros, *, besides: str) -> int:
        """Return how many items of `scope` acted after `since`, without the item `besides`."""
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
    """Return when the action of a row acted, and whether only in shadow; None if it did not act."""
    if action.called_at is not None:
        return action.called_at, False
    if action.outcome is Outcome.SHADOW and action.reason is not Reason.LIMIT:
        return action.seen_at or action.planned_at, True
    return None
