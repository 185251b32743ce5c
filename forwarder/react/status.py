"""Makes the part of the status that shows reactions. The lists in it may be shortened, but the counts are complete."""

import heapq
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from forwarder.core.action import Action, Waits
from forwarder.core.time import SECOND, Micros, iso
from forwarder.react.action_rows.in_memory import ActionsInMemory
from forwarder.react.action_rows.limit_counts import LimitHit
from forwarder.react.guards.pauses import Pause, Pauses

OVERDUE: Micros = 60 * SECOND
"""An effect counts as overdue if it is still live this long after its planned end."""

_MOST = 20
"""The largest number of actions in a list."""

_CHOICE = 1000
"""The entries of a list are chosen from this many actions, those that have waited the longest: an attack may leave many
thousands of actions waiting."""

_LONGEST = 300
"""The largest number of characters of a text. Some texts come from events, and may be long. `forwarder reactions show`
shows the whole texts."""


def summary(mode: str, memory: ActionsInMemory, pauses: Pauses, now: Micros) -> dict[str, Any]:
    """Return the part of the status that shows reactions: the mode, the waiting actions, the live effects, the pauses,
    and the limits that held actions back in the last day."""
    asking = memory.waiting(Waits.APPROVAL, _CHOICE)
    others = [*memory.waiting(Waits.CONFIRMATION, _CHOICE), *memory.waiting(Waits.RETRY, _CHOICE)]
    live, paused = memory.lasting(), pauses.on(now)
    return {
        "mode": mode,
        "waiting_approvals": memory.count_waiting(Waits.APPROVAL),
        "approvals": [_asking(one) for one in heapq.nsmallest(_MOST, asking, key=_urgency)],
        "waiting_confirmation": memory.count_waiting(Waits.CONFIRMATION),
        "waiting_retry": memory.count_waiting(Waits.RETRY),
        "waiting": [_waiting(one) for one in _first(others, lambda one: one.due)],
        "live_effects": len(live),
        "overdue_undos": sum(is_overdue(one, now) for one in live),
        "live": [_live(one, now) for one in _first(live, lambda one: one.undo_due)],
        "paused": len(paused),
        "pauses": [_pause(one) for one in paused[:_MOST]],
        "limits": [_limit(one) for one in memory.limit_hits.found(now)],
    }


def is_overdue(action: Action, now: Micros) -> bool:
    """Whether more than `OVERDUE` has passed since the planned end of a live effect."""
    return action.undo_due is not None and action.undo_due < now - OVERDUE


def _first(actions: Iterable[Action], until: Callable[[Action], Micros | None]) -> list[Action]:
    """Return the `_MOST` actions for which `until` returns the earliest times."""
    return heapq.nsmallest(_MOST, actions, key=lambda one: until(one) or 0)


def _urgency(action: Action) -> tuple[bool, Micros]:
    """Return a sort key for actions that wait for approval. Actions that always need a human come before actions that
    exceed a limit, because very many actions may exceed a limit. Each of the two groups is ordered by the time at which
    the time to approve ends."""
    approval = action.approval
    return (bool(approval.limit), approval.until) if approval else (False, 0)


def _about(action: Action) -> dict[str, Any]:
    target = {name: _short(text) for name, text in msgspec.to_builtins(action.target).items()}
    return {
        "id": action.id,
        "org": action.org,
        "action": action.name,
        "target": target,
        "rule": action.rule,
        "title": _short(action.title),
        "planned_at": _time(action.planned_at),
    }


def _asking(action: Action) -> dict[str, Any]:
    approval = action.approval
    limit, until = (approval.limit, approval.until) if approval else ("", None)
    return _about(action) | {"limit": limit or None, "until": _time(until)}


def _waiting(action: Action) -> dict[str, Any]:
    waits_for = action.waits_for.value if action.waits_for else None
    return _about(action) | {"waits_for": waits_for, "next_try": _time(action.due), "detail": _short(action.detail)}


def _live(action: Action, now: Micros) -> dict[str, Any]:
    """Return the JSON object that shows the live effect of `action` in the status. If tries to undo the effect have
    failed, `detail` says why; else `detail` is empty."""
    detail = _short(action.detail) if action.attempts else ""
    return _about(action) | {"until": _time(action.undo_due), "overdue": is_overdue(action, now), "detail": detail}


def _pause(pause: Pause) -> dict[str, Any]:
    return pause.as_json() | {"text": _short(pause.text), "why": _short(pause.why)}


def _limit(hit: LimitHit) -> dict[str, Any]:
    return {"limit": hit.limit, "last": _time(hit.last), "last_hour": hit.hour, "last_day": hit.day}


def _time(at: Micros | None) -> str | None:
    return None if at is None else iso(at, "milliseconds")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
