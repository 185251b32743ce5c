"""What the status shows of reactions."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from forwarder.core.action import Action, State, Waits
from forwarder.core.time import Micros, iso
from forwarder.react.book import Book
from forwarder.react.pauses import Pause, Pauses

_MOST = 50
"""Actions that are listed; the counts are of all."""


def summary(mode: str, book: Book, pauses: Pauses, now: Micros) -> dict[str, Any]:
    """Return the mode, what waits for a human, which effects are live and when they end, and what is paused."""
    actions = book.open()
    waiting = [one for one in actions if one.state is State.WAITING and one.waits_for is Waits.APPROVAL]
    live = [one for one in actions if one.undo_due is not None]
    return {
        "mode": mode,
        "waiting_approvals": len(waiting),
        "approvals": _first(waiting, lambda one: one.approval.until if one.approval else None),
        "live_effects": len(live),
        "live": _first(live, lambda one: one.undo_due),
        "pauses": [_pause(one) for one in pauses.on(now)],
    }


def _first(actions: Sequence[Action], until: Callable[[Action], Micros | None]) -> list[dict[str, Any]]:
    """Return the actions that end first."""
    listed = sorted(actions, key=lambda one: until(one) or 0)[:_MOST]
    return [
        {
            "id": one.id,
            "org": one.org,
            "action": one.name,
            "target": msgspec.to_builtins(one.target),
            "rule": one.rule,
            "until": iso(end, "milliseconds") if (end := until(one)) is not None else None,
        }
        for one in listed
    ]


def _pause(pause: Pause) -> dict[str, Any]:
    until = None if pause.until is None else iso(pause.until, "milliseconds")
    since = iso(pause.at, "milliseconds")
    return {"scope": pause.scope, "why": pause.why, "by": pause.by, "since": since, "until": until}
