"""Undoes the effect of a timed action. Tries until the effect is undone, or others have changed it."""

from collections.abc import Callable

import msgspec

from forwarder import logs
from forwarder.core.action import Action, ActionState, End
from forwarder.core.backoff import Backoff
from forwarder.logs import RateLimitedLogger
from forwarder.react.action_rows.changes import Rows, answered
from forwarder.react.engine_ports import Parts
from forwarder.react.ports import Answer

_BACKOFF = Backoff(base=1.0, cap=30.0)
"""The pause stays below a minute: an effect should be undone within a minute after Okta answers again."""

_logger = logs.get("react")


class Undo:
    """Undoes the effects of actions."""

    def __init__(self, parts: Callable[[], Parts], rows: Rows) -> None:
        self._parts = parts
        self._rows = rows
        self._limited = RateLimitedLogger(_logger, rows.clock, interval=600.0)

    async def undo(self, action: Action) -> None:
        """Try once to undo a LIVE or UNDOING action, and store the result."""
        act = self._parts().acts[action.name]
        seen = await act.look(action)
        if seen.answer.status == 404:
            await self._end(action, End.NOT_OURS, f"nothing is left to undo: {seen.answer.text}")
        elif not seen.answer.ok:
            await self._again(action, seen.answer)
        elif not seen.is_there and action.state is ActionState.UNDOING:
            await self._end(action, End.UNDONE, "")  # an earlier call did it
        elif not act.is_ours(action, seen):
            text = "others have changed the target since, so it is left as it is"
            await self._end(action, End.NOT_OURS, f"{text}; {seen.text}" if seen.text else text)
        else:
            undoing = msgspec.structs.replace(action, state=ActionState.UNDOING, due=self._rows.clock.now())
            await self._rows.commit([undoing])
            answer = await act.call(undoing, act.undo_request(undoing, seen))
            if answer.ok:
                await self._end(answered(undoing, answer), End.UNDONE, answer.text)
            else:
                await self._again(undoing, answer)

    async def _again(self, action: Action, answer: Answer) -> None:
        self._limited.warning(
            "an action cannot be undone yet; the undo is tried again until it succeeds",
            action="undo_failed",
            id=action.id,
            error=answer.text,
        )
        await self._rows.commit([self._rows.later(action, answer, _BACKOFF)])

    async def _end(self, action: Action, end: End, detail: str) -> None:
        ended = msgspec.structs.replace(
            action,
            state=ActionState.ENDED,
            end=end,
            detail=detail,
            undone_at=self._rows.clock.now(),
            undone_by=action.undone_by or "time",
            due=None,
        )
        await self._rows.commit([ended], [ended])
