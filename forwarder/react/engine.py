"""Processes each action when it is due: carries out the next step, and stores the new state.

For each target, only one action is processed at a time. The next step depends on the state of the action:

| state | next step |
|---|---|
| PLANNED, WAITING | The guards decide. If no guard stops the action, CALLING is stored, then the call is sent. |
| CALLING | This state is found only after a restart. The call may have been carried out, so the target is looked up. If the effect is not there, the action waits to be tried again. A prompt ends as `unknown`. |
| PROMPTING | Okta is polled for the user's answer. |
| LIVE | The target is looked up, UNDOING is stored, then the call that undoes the effect is sent. |
| UNDOING | The steps of LIVE are repeated until the effect is known to be undone; there is no time limit. |
| ENDED | none |
"""

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

import msgspec

from forwarder import logs
from forwarder.core.action import Action, ActionState, EffectKind, End
from forwarder.core.backoff import Backoff
from forwarder.core.time import SECOND, Micros
from forwarder.logs import RateLimitedLogger
from forwarder.react.action_rows.changes import Rows, answered
from forwarder.react.calls import Calls
from forwarder.react.engine_parts import Parts
from forwarder.react.ports import Answer
from forwarder.react.schedule import subject_of
from forwarder.tasks import end_tasks

_AT_ONCE = 8
"""The largest number of actions of one org, webhook or receiver that are processed at the same time. Undos and polls of
prompts are counted separately."""

_IDLE = 5.0
"""The longest pause, in seconds, before the engine looks for due rows again. If the system's clock was set, rows may be
due earlier than the engine expects."""

_PAUSE: Micros = 60 * SECOND  # before an action that raised an unexpected exception is processed again

_UNDO_BACKOFF = Backoff(base=1.0, cap=30.0)
"""The pauses between the tries to undo an effect. They stay below a minute, so that an effect is undone within a minute
after Okta answers again."""

_logger = logs.get("react")


class ActionEngine:
    """Processes the actions whose stored records are in `rows`. Only the engine and `ReactionRunner` change these
    records."""

    def __init__(self, parts: Callable[[], Parts], rows: Rows, report: Callable[[], None]) -> None:
        """Process the actions in `rows`. `parts` must return the parts of the engine for the current configuration.
        Call `report` each time before looking for due actions."""
        self._parts = parts
        self._rows = rows
        self._report = report
        self._calls = Calls(parts, rows)
        self._undo = _Undo(parts, rows)
        self._working: dict[str, Action] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def run(self) -> None:
        """Process each action when it is due. Runs until the task is cancelled."""
        try:
            while True:
                now = self._rows.clock.now()
                self._report()
                for action in self._rows.memory.startable(now, self._working.values(), _AT_ONCE):
                    self._working[action.key] = action
                    task = asyncio.create_task(self._keep(action), name=f"action {action.id}")
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                await self._wait(now)
        finally:
            await end_tasks(self._tasks)
            self._working.clear()  # a task that is cancelled before its first step ends without its `finally`

    async def withdraw(self, covers: Callable[[Action], bool] = lambda _: True) -> None:
        """Withdraw each prompt that waits for an answer and for which `covers` returns True. The stored state of a
        prompt does not change: the user may have answered already, and the next poll shows whether this is so."""
        out = {ActionState.CALLING, ActionState.PROMPTING}
        for found in [one for one in self._rows.memory.open() if one.kind is EffectKind.PROMPT and one.state in out]:
            async with self.lock(found):
                action = self._rows.memory.get(found.key)  # may have been answered during the wait for the lock
                if action is not None and action.state is ActionState.PROMPTING and covers(action):
                    await self._parts().prompts.cancel(action)

    async def _wait(self, now: Micros) -> None:
        """Wait until the next action is due or an action has changed, but at most _IDLE seconds."""
        first = self._rows.memory.next_due() or now + int(_IDLE * SECOND)
        changed = asyncio.ensure_future(self._rows.changed.wait())
        pause = asyncio.ensure_future(self._rows.clock.sleep(min(_IDLE, max(0.001, (first - now) / SECOND))))
        try:
            await asyncio.wait([changed, pause], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            pause.cancel()
        self._rows.changed.clear()

    async def _keep(self, action: Action) -> None:
        """Process one step of an action. If the step raises an exception, log the exception and postpone the action, so
        that the other actions continue."""
        key = action.key
        try:
            async with self.lock(action):
                found = self._rows.memory.get(key)  # may have changed during the wait for the lock
                if found is None or found.due is None:
                    return
                if found.due <= self._rows.clock.now():
                    await self._work(found)
                else:  # the clock was set back
                    self._rows.memory.postpone(key, found.due)
        except Exception:
            _logger.exception(
                "an action could not be processed; the forwarder retries it. This is a bug: please report it",
                action="reaction_failed",
                id=action.id,
            )
            self._rows.memory.postpone(key, self._rows.clock.now() + _PAUSE)
        finally:
            del self._working[key]
            self._rows.changed.set()

    def lock(self, action: Action) -> asyncio.Lock:
        """Return the lock that the caller must hold while it processes or changes an action."""
        return self._locks.setdefault(subject_of(action), asyncio.Lock())

    async def _work(self, action: Action) -> None:
        if action.state is ActionState.CALLING:
            await self._calls.resume(action)
        elif action.state is ActionState.PROMPTING:
            await self._calls.progress(action, await self._parts().prompts.poll(action))
        elif action.state in {ActionState.LIVE, ActionState.UNDOING}:
            await self._undo.undo(action)
        else:
            await self._calls.judge(action)


class _Undo:
    """Undoes the effects of timed actions. Each undo is tried until the effect is gone, or until someone else has
    changed the target."""

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
            await self._end(action, End.UNDONE, "")  # an earlier call has undone the effect
        elif not act.is_ours(action, seen):
            text = "someone else has changed the target since, so this action does not change it back"
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
            "an action cannot be undone yet; the forwarder retries the undo until it succeeds",
            action="undo_failed",
            id=action.id,
            error=answer.text,
        )
        await self._rows.commit([self._rows.later(action, answer, _UNDO_BACKOFF)])

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
