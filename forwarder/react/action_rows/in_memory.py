"""Keeps in memory the rows (stored records) of open actions, and what the guards need to know about ended actions.

`fill` loads the rows from the store when the forwarder starts. After each commit, `put` replaces the changed rows. No
method awaits, so a result stays valid until the caller's next `await`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import ip_address
from itertools import islice
from typing import TypeVar

from forwarder.core.action import Action, ActionState, ActionTarget, EffectKind, Waits
from forwarder.core.time import SECOND, Micros
from forwarder.react.action_rows.limit_counts import LimitHits, OpenPrompts, RecentActions, acted_at, scopes_of
from forwarder.react.schedule import Schedule
from forwarder.react.settings.guards import Limit

DAY: Micros = 24 * 3600 * SECOND

HOLD: Micros = DAY
"""How long the guards refuse actions on a target after an operator has undone an effect on it."""

_MOST_REQUESTS = 20_000
"""The largest number of ids of our own calls that are remembered, and of users whose last reported risk is
remembered."""

REPORTS = frozenset({"risk_event", "user_risk"})
"""Actions that report a risk of a user. After such a report, Okta itself sends events about that user's risk."""

_KEY = 64  # characters of a key; an id is the beginning of a key

_EFFECTIVE = {ActionState.CALLING, ActionState.LIVE, ActionState.UNDOING}

K = TypeVar("K")
V = TypeVar("V")

Place = tuple[str, str, str, str, str]


def place_of(action: Action) -> Place:
    """Return the key of an action's effect: the action's org, name, target and group. Two actions with equal keys have
    the same effect."""
    target = action.target
    return action.org, action.name, target.kind, _canonical(target), str(action.settings.get("group", ""))


class ActionsInMemory:
    """The open actions, and the ended actions that the guards still need: for the limits, or because an operator undid
    the action.

    Attributes:
        limit_hits: how many actions each limit held back.
    """

    def __init__(self, horizon: Micros = DAY) -> None:
        """Keep each ended action for `horizon` microseconds, but for at least a day.

        `horizon` is the period of the longest limit. At least a day is needed, because the guard `hold` and the default
        limit of prompts look back a day.
        """
        self.horizon = max(horizon, DAY)
        self._clear()

    def _clear(self) -> None:
        self._open: dict[str, Action] = {}
        self._schedule = Schedule()
        self._places: dict[Place, dict[str, Action]] = {}
        self._claims: dict[str, tuple[Action, bool]] = {}  # the action, and whether it is in shadow
        self._waiting: dict[Waits, dict[str, None]] = {each: {} for each in Waits}
        self._lasting: dict[str, None] = {}
        self._held: dict[tuple[str, str, str], Action] = {}
        self._requests: dict[str, None] = {}
        self._reports: dict[tuple[str, str], Action] = {}  # by org and user: the last report of a risk
        self._recent = RecentActions(self.horizon)
        self._prompts = OpenPrompts(self.horizon)
        self.limit_hits = LimitHits()

    def fill(self, actions: Iterable[Action], horizon: Micros = DAY) -> None:
        """Replace everything in memory with `actions`, which `ActionStore.load_actions` returned for the last `horizon`
        microseconds."""
        self.horizon = max(horizon, DAY)
        self._clear()
        for action in actions:
            self.put(action)

    def widen(self, actions: Iterable[Action], horizon: Micros) -> None:
        """Keep ended actions for `horizon` microseconds from now on; do nothing if they are already kept at least that
        long.

        `actions` are the actions that `ActionStore.load_actions` returned for `horizon`. Open actions in `actions` are
        ignored: memory has each open action already, perhaps in a newer state.
        """
        if horizon <= self.horizon:
            return
        self.horizon = horizon
        self._recent.widen(horizon)
        self._prompts.horizon = horizon
        for action in actions:
            if not action.is_open:
                self._remember(action)

    # Rows

    def put(self, action: Action) -> None:
        """Replace an action in memory by `action`, its committed new state. An action in the state PLANNED never
        replaces the same action in another state; the store has the same rule."""
        old = self._open.get(action.key)
        if old is not None and action.state is ActionState.PLANNED and old.state is not ActionState.PLANNED:
            return
        self._count_trip(old, action)
        acted = acted_at(action) is not None
        self._release(action.key, keep=acted)
        if old is not None and acted_at(old) is not None and not acted:
            self._recent.remove(old)  # the action's call was certainly not sent
        self._index(action)
        if action.is_open:
            self._open[action.key] = action
            self._schedule.put(action)
        else:
            self._open.pop(action.key, None)
            self._schedule.drop(action.key)
        self._place(action)
        self._remember(action)

    def get(self, key: str) -> Action | None:
        """Return the open action whose key is `key` or begins with `key`: an action's id is the beginning of its key.
        Return None if no open action matches, or if several match."""
        if (found := self._open.get(key)) is not None:
            return found
        if not key or len(key) >= _KEY:
            return None
        matching = [one for one in self._open.values() if one.key.startswith(key)]
        return matching[0] if len(matching) == 1 else None

    def open(self) -> list[Action]:
        """Return the open actions, in the order in which they were first put into memory."""
        return list(self._open.values())

    def due(self, now: Micros) -> list[Action]:
        """Return the actions that are due at `now`, the earliest due time first. An action stays due until `put` or
        `postpone` changes its due time."""
        return [self._open[key] for key in self._schedule.due(now)]

    def startable(self, now: Micros, working: Collection[Action], at_once: int) -> list[Action]:
        """Return the due actions that may start now, as `Schedule.startable` chooses them. `working` are the actions
        that are being processed; in each lane, at most `at_once` actions are processed at the same time."""
        return [self._open[key] for key in self._schedule.startable(now, working, at_once)]

    def postpone(self, key: str, until: Micros) -> None:
        """Make the action with the key `key` due at `until`, without changing the action itself. The next `put` of the
        action sets its due time again."""
        self._schedule.postpone(key, until)

    def count_waiting(self, what: Waits) -> int:
        """Return the number of actions that wait for `what`."""
        return len(self._waiting[what])

    def waiting(self, what: Waits, most: int) -> list[Action]:
        """Return the actions that wait for `what`: at most `most` actions, the one that has waited longest first."""
        return [self._open[key] for key in islice(self._waiting[what], most)]

    def lasting(self) -> list[Action]:
        """Return the actions whose effect must still be undone, the oldest effect first. There are never many of them,
        because of the limits."""
        return [self._open[key] for key in self._lasting]

    def _index(self, action: Action) -> None:
        """Update two lists: the waiting actions, and the actions with an effect to undo. Without the lists, all open
        actions would have to be searched, and an attack may leave many thousands of actions open."""
        for what, keys in self._waiting.items():
            if action.state is ActionState.WAITING and action.waits_for is what:
                keys.setdefault(action.key)
            else:
                keys.pop(action.key, None)
        if action.is_open and action.undo_due is not None:
            self._lasting.setdefault(action.key)
        else:
            self._lasting.pop(action.key, None)

    def next_due(self) -> Micros | None:
        """Return the time at which the next action becomes due; None if no action will become due."""
        return self._schedule.next_due()

    # Effects

    def live(self, action: Action) -> Action | None:
        """Return another action with the same effect as `action`. Prefer an action in the state LIVE to one whose call
        or undo is under way. Return None if there is no other action with this effect."""
        others = [one for key, one in self._places.get(place_of(action), {}).items() if key != action.key]
        return min(others, key=lambda one: one.state is not ActionState.LIVE) if others else None

    def effects(self) -> list[Action]:
        """Return the actions in the state LIVE."""
        return [one for one in self._open.values() if one.state is ActionState.LIVE]

    def held(self, org: str, target: ActionTarget, now: Micros) -> Action | None:
        """Return the action on `target` that an operator undid in the last 24 hours, or is undoing now. Return None if
        there is no such action."""
        held = self._held.get((org, target.kind, _canonical(target)))
        return held if held is not None and (held.is_open or _undone(held) > now - HOLD) else None

    def prompts(self, action: Action) -> Iterator[Action]:
        """Return the prompts that count towards the limits of the prompt `action`: all prompts of its org that wait for
        an answer or are about to be sent, and the earlier prompts to its user within the horizon. The returned prompts
        are without their alert and their request."""
        return self._prompts.beside(action)

    # Limits

    def over(self, action: Action, limits: Mapping[str, Limit], now: Micros, *, shadow: bool) -> str:
        """Return the name of the first limit that `action` would exceed; empty if `action` would exceed no limit."""
        for name, scope, item in scopes_of(action, shadow=shadow):
            limit = limits.get(name)
            if limit and self._recent.count(scope, now - limit.micros, besides=item) >= limit.count:
                return name
        return ""

    def claim(self, action: Action, now: Micros, *, shadow: bool = False) -> None:
        """Count `action` towards the limits, and reserve its effect, so that the guards stop other actions with this
        effect. The claim ends at the next `put` or `release` of the action."""
        self._claims[action.key] = action, shadow
        self._recent.add(action, now, shadow=shadow)
        if not shadow:
            self._occupy(action)
            if action.kind is EffectKind.PROMPT:
                self._prompts.claim(action)

    def release(self, key: str) -> None:
        """End the claim that `claim` made for the action with the key `key`, if there is a claim."""
        self._release(key, keep=False)

    # Own calls

    def made(self, request_id: str) -> bool:
        """Whether `request_id` is Okta's id of a call that the forwarder made for an action."""
        return request_id in self._requests

    def reported(self, action: Action) -> Action | None:
        """Return the last action that reported a risk of the user of `action`. Return None if no action reported a risk
        of this user, or if the last one is `action` itself."""
        report = self._reports.get((action.org, action.target.id))
        return report if report is not None and report.key != action.key else None

    def _release(self, key: str, *, keep: bool) -> None:
        if key not in self._claims:
            return
        claimed, _ = self._claims.pop(key)
        row = self._open.get(key, claimed)
        if not keep and acted_at(row) is None:
            self._recent.remove(claimed)
        self._vacate(claimed)
        self._place(row)
        if row.kind is EffectKind.PROMPT:
            self._prompts.put(row)

    def _place(self, action: Action) -> None:
        """Record whether a timed action has an effect now, or may have one."""
        may_be_done = action.state is ActionState.WAITING and action.called_at is not None
        if action.kind is EffectKind.TIMED and (action.state in _EFFECTIVE or may_be_done):
            self._occupy(action)
        else:
            self._vacate(action)

    def _occupy(self, action: Action) -> None:
        if action.kind is EffectKind.TIMED:
            self._places.setdefault(place_of(action), {})[action.key] = action

    def _vacate(self, action: Action) -> None:
        if action.kind is not EffectKind.TIMED:
            return
        found = self._places.get(place := place_of(action), {})
        found.pop(action.key, None)
        if not found:
            self._places.pop(place, None)

    def _count_trip(self, old: Action | None, new: Action) -> None:
        """If a limit holds the action `new` back, count the action for this limit, but only once: when it begins to
        wait for a human, or when it is loaded from the store."""
        is_known = old is not None and old.approval is not None
        if new.approval is not None and new.approval.limit and not is_known:
            self.limit_hits.add(new.approval.limit, new.planned_at)

    def _remember(self, action: Action) -> None:
        """Record what the guards need to know about an action even after its end."""
        if (acted := acted_at(action)) is not None:
            at, shadow = acted
            self._recent.add(action, at, shadow=shadow)
        if action.undone_by.startswith("hand"):
            self._hold(action)
        if action.kind is EffectKind.PROMPT:
            self._prompts.put(action)
        if action.request_id:
            _keep(self._requests, action.request_id, None)
        if action.name in REPORTS and action.called_at is not None:
            user = action.org, action.target.id
            if (self._reports.get(user, action).called_at or 0) <= action.called_at:
                _keep(self._reports, user, action)

    def _hold(self, action: Action) -> None:
        where = action.org, action.target.kind, _canonical(action.target)
        held = self._held.get(where)
        if held is None or held.key == action.key or action.is_open or _undone(action) >= _undone(held):
            self._held[where] = action
        old = [key for key, one in self._held.items() if not one.is_open and _undone(one) <= _undone(action) - HOLD]
        for key in old:
            del self._held[key]


def _keep(kept: dict[K, V], key: K, value: V) -> None:
    """Set a key of a bounded dict. If the dict has too many keys, drop the key that was set longest ago."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > _MOST_REQUESTS:
        del kept[next(iter(kept))]


def horizon_of(limits: Iterable[Limit]) -> Micros:
    """Return how long ended actions are kept, in microseconds: the period of the longest limit, but at least a day."""
    return max([DAY, *(limit.micros for limit in limits)])


def _undone(action: Action) -> Micros:
    return action.undone_at or action.seen_at or action.called_at or action.planned_at


def _canonical(target: ActionTarget) -> str:
    """Return the canonical spelling of a target's id, because one IPv6 address can be written in several ways."""
    if target.kind != "ip":
        return target.id
    try:
        return str(ip_address(target.id))
    except ValueError:
        return target.id
