"""The prompts that are out, and earlier prompts that count for the limits of prompts."""

from collections.abc import Iterator
from itertools import chain
from typing import TypeVar

import msgspec

from forwarder.core.action import Action, ActionState
from forwarder.core.time import Micros
from forwarder.react.action_rows.recent_actions import acted_at

K = TypeVar("K")

_OUT = {ActionState.CALLING, ActionState.PROMPTING}


class OpenPrompts:
    """Prompts that users got, or would have got in shadow. The limits keep their number small; prompts that are
    more than `horizon` older than the one put last are dropped."""

    def __init__(self, horizon: Micros) -> None:
        self.horizon = horizon
        self._out: dict[str, dict[str, Action]] = {}  # by org
        self._over: dict[tuple[str, str], dict[str, Action]] = {}  # by org and user
        self._order: dict[str, Action] = {}  # the prompts that are over, in the order in which they were put

    def put(self, action: Action) -> None:
        """Note a prompt's current row, without its alert."""
        self._drop(action)
        small = msgspec.structs.replace(action, subject=b"", request=None, before=None, after=None)
        if action.state in _OUT:
            self._out.setdefault(action.org, {})[action.key] = small
        elif not action.is_open and (acted := acted_at(action)) is not None:
            self._over.setdefault(_user(action), {})[action.key] = self._order[action.key] = small
            self._forget(acted[0] - self.horizon)

    def claim(self, action: Action) -> None:
        """Count a prompt that is about to be sent as out."""
        self.put(msgspec.structs.replace(action, state=ActionState.CALLING))

    def beside(self, action: Action) -> Iterator[Action]:
        """Return the prompts that are out in the org of `action`, and those of its user that are over."""
        out, over = self._out.get(action.org, {}), self._over.get(_user(action), {})
        return chain(out.values(), over.values())

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
        _remove(self._over, _user(action), action.key)


def _user(action: Action) -> tuple[str, str]:
    return action.org, action.target.id


def _remove(rows: dict[K, dict[str, Action]], where: K, key: str) -> None:
    if (found := rows.get(where)) is not None:
        found.pop(key, None)
        if not found:
            del rows[where]
