"""Carries out one action: lets the guards decide, stores the state CALLING, sends the call, and stores the result.

If the result of a call is unknown, the call is repeated, because a repetition has no second effect. Only a prompt is
never repeated, because the user would be asked twice. Before each repetition, the guards decide again whether the
action may be carried out. If they stop the repetition, the target is looked up, because the earlier call may have had
an effect that must be undone.
"""

from collections.abc import Callable, Sequence

import msgspec

from forwarder.core.action import Action, ActionRequest, ActionState, EffectKind, Outcome, Reason, Waits
from forwarder.core.backoff import Backoff
from forwarder.core.time import SECOND
from forwarder.react.action_rows.changes import Rows, answered, lasts
from forwarder.react.actions.okta import Act
from forwarder.react.engine_parts import Parts
from forwarder.react.guards.judgement import Judgement
from forwarder.react.ports import Answer, Seen
from forwarder.react.prompts.results import PromptProgress, lost

_BACKOFF = Backoff(base=1.0, cap=60.0)
_NO_ANSWER = Answer(0, text="the forwarder stopped before it got a response")


class Calls:
    """Lets the guards decide about actions, carries out the permitted actions, and stores the results."""

    def __init__(self, parts: Callable[[], Parts], rows: Rows) -> None:
        self._parts = parts
        self._rows = rows

    async def judge(self, action: Action) -> None:
        """Let the guards decide whether a planned or waiting action may be carried out. Depending on the decision, send
        the action's call, let the action wait, or end the action."""
        act = None if action.kind is EffectKind.PROMPT else self._parts().acts[action.name]
        found = await self._parts().judge(action, self._rows.clock.now())
        # Nothing is awaited from here to the commit of the call, so the counts of the guards are still right at the commit.
        if action.called_at is not None and found.verdict != "go" and act is not None:
            await self._settle(action, act, found)
        elif found.verdict == "go" and act is None:
            await self._prompt(action)
        elif found.verdict == "go" and act is not None:
            await self._call(action, act, found)
        elif found.verdict == "wait":
            await self._wait(action, found)
        else:
            await self._end(action, act, found)

    async def resume(self, action: Action) -> None:
        """Continue an action that was in the state CALLING when the forwarder stopped. The action's call may have been
        carried out, so look up the target first. A prompt ends as `unknown`."""
        if action.kind is EffectKind.PROMPT:
            await self.progress(action, lost())
            return
        act = self._parts().acts[action.name]
        if (seen := await act.look(action)).is_so:
            await self._done(action, act, Answer(200))
        else:
            await self._retry(action, _NO_ANSWER if seen.answer.ok else seen.answer)

    async def progress(self, action: Action, progress: PromptProgress) -> None:
        """Store the progress of a prompt: answered, failed, waiting for an answer, or not sent yet."""
        now = self._rows.clock.now()
        noted = msgspec.structs.replace(
            action,
            handle=progress.handle,
            answer=progress.answer or "",
            seen_at=now if progress.answer else action.seen_at,
            request_id=progress.request_id or action.request_id,
            error_id=progress.error_id or action.error_id,
        )
        if progress.answer:
            outcome = Outcome.UNKNOWN if progress.answer == "unknown" else Outcome.DONE
            follow = self._parts().answered(noted, progress.answer, now)
            await self._rows.finish(noted, outcome, None, progress.detail, follow)
        elif progress.failed:
            await self._rows.finish(noted, Outcome.FAILED, None, progress.detail)
        else:
            pause = Answer(0, text=progress.detail, retry_at=progress.due)
            again = self._rows.later(noted, pause, _BACKOFF)
            if progress.handle:
                due = progress.due or again.due
                asked = msgspec.structs.replace(again, state=ActionState.PROMPTING, attempts=0, due=due)
                await self._rows.commit([asked], [asked] if action.state is ActionState.CALLING else [])
            else:  # the prompt was certainly not sent
                waits = msgspec.structs.replace(again, state=ActionState.WAITING, waits_for=Waits.RETRY, called_at=None)
                await self._rows.commit([waits])

    async def _prompt(self, action: Action) -> None:
        """Look up how to ask the user, let the guards decide again, and send the prompt if they permit it."""
        request = await self._parts().prompts.prepare(action)
        if isinstance(request, PromptProgress):
            await self.progress(action, request)
            return
        found = await self._parts().judge(action, self._rows.clock.now())
        if found.verdict == "wait":
            await self._wait(action, found)
        elif found.verdict != "go":
            await self._end(action, None, found)
        else:
            calling = self._calling(action, request, found)
            await self._rows.commit([calling])
            await self.progress(calling, await self._parts().prompts.send(calling))

    def _calling(self, action: Action, request: ActionRequest, found: Judgement) -> Action:
        now = self._rows.clock.now()
        return msgspec.structs.replace(
            action,
            state=ActionState.CALLING,
            waits_for=None,
            reason=None,
            detail="",
            due=now,
            request=request,
            before=action.before if action.called_at is not None else found.before,
            called_at=now,
        )

    async def _call(self, action: Action, act: Act, found: Judgement) -> None:
        request = act.request(action, Seen(Answer(200), found.before))
        calling = self._calling(action, request, found)
        await self._rows.commit([calling])
        answer = await act.call(calling, request)
        if answer.ok:
            await self._done(calling, act, answer)
        elif answer.is_retryable:
            is_unsent = action.called_at is None and not answer.sent
            await self._retry(msgspec.structs.replace(calling, called_at=None) if is_unsent else calling, answer)
        elif action.called_at is not None and (await act.look(calling)).is_there:
            await self._done(calling, act, answer)  # an earlier call was carried out
        else:
            reason = None if answer.is_configured else Reason.CONFIG
            await self._rows.finish(answered(calling, answer), Outcome.FAILED, reason, answer.text)

    async def _wait(self, action: Action, found: Judgement) -> None:
        """Store that an action waits: for a human, for events in the System Log, or for the next try of a failed
        look-up."""
        waits = msgspec.structs.replace(
            action,
            state=ActionState.WAITING,
            waits_for=found.waits_for,
            reason=found.reason,
            detail=found.detail,
            due=max(found.until or 0, self._rows.clock.now() + SECOND),
            approval=found.approval or action.approval,
        )
        is_new = (waits.waits_for, waits.reason) != (action.waits_for, action.reason)
        more: Sequence[Action] = ()
        if is_new and found.waits_for is Waits.APPROVAL:
            more = self._parts().announced(waits, self._rows.clock.now())
        await self._rows.commit([waits, *more], [waits] if is_new else [])

    async def _end(self, action: Action, act: Act | None, found: Judgement) -> None:
        """End an action that is not carried out. There are four causes: the action is in shadow mode, it would change
        nothing, a guard refuses it, or it is too late for another try."""
        seen = msgspec.structs.replace(action, before=found.before)
        if found.verdict == "shadow":
            detail, request = found.detail, None
            if act is not None:
                request = act.request(action, Seen(Answer(200), found.before))
            elif isinstance(prepared := await self._parts().prompts.prepare(action), PromptProgress):
                detail = prepared.detail  # the user cannot be asked
            else:
                request = prepared
            shadow = msgspec.structs.replace(seen, request=request)
            await self._rows.finish(shadow, Outcome.SHADOW, found.reason, detail)
        elif found.verdict == "no_op":
            await self._rows.finish(seen, Outcome.NO_OP, found.reason, found.detail, self._moved(action, found))
        elif found.reason is Reason.LATE and action.attempts:
            text = f"{found.detail}; the last try failed: {action.detail}"
            await self._rows.finish(seen, Outcome.FAILED, found.reason, text)
        else:
            await self._rows.finish(seen, Outcome.REFUSED, found.reason, found.detail)

    def _moved(self, action: Action, found: Judgement) -> list[Action]:
        """Return the earlier action whose live effect `action` prolongs, with the later end. Return an empty list if
        `action` prolongs no effect."""
        live = self._rows.memory.get(found.moves) if found.moves else None
        until = self._rows.clock.now() + lasts(action)
        if live is None or live.state is not ActionState.LIVE or until <= (live.undo_due or 0):
            return []
        return [msgspec.structs.replace(live, undo_due=until, due=until)]

    async def _done(self, calling: Action, act: Act, answer: Answer) -> None:
        """Store that the action is done, and the current state of the target."""
        seen = await act.look(calling)
        now = self._rows.clock.now()
        until = now + lasts(calling) if calling.kind is EffectKind.TIMED else None
        detail = seen.text
        if not seen.answer.ok:
            detail = f"done, but the state of the target could not be read afterwards: {seen.answer.text}"
        done = msgspec.structs.replace(
            answered(calling, answer),
            state=ActionState.ENDED if until is None else ActionState.LIVE,
            outcome=act.outcome,
            reason=None,
            waits_for=None,
            detail=detail,
            after=seen.state if seen.answer.ok else None,
            seen_at=now if seen.answer.ok else None,
            undo_due=until,
            due=until,
            attempts=0,
        )
        await self._rows.commit([done], [done])

    async def _retry(self, calling: Action, answer: Answer) -> None:
        again = self._rows.later(calling, answer, _BACKOFF)
        await self._rows.commit([msgspec.structs.replace(again, state=ActionState.WAITING, waits_for=Waits.RETRY)])

    async def _settle(self, action: Action, act: Act, found: Judgement) -> None:
        """Look up whether the earlier call of an action was carried out, after a guard has forbidden to repeat the
        call. For a timed action, retry the look-up until it succeeds, because an effect of the earlier call must be
        undone later."""
        seen = await act.look(action)
        is_final = not (seen.answer.ok or seen.answer.is_retryable)
        is_gone = seen.answer.status == 404 or (is_final and action.kind is not EffectKind.TIMED)
        if seen.is_so or (seen.is_there and found.verdict != "wait"):
            await self._done(action, act, Answer(200))
        elif is_gone or (seen.answer.ok and found.verdict != "wait"):
            text = f"{found.detail}; the earlier call failed: {action.detail}"
            await self._rows.finish(action, Outcome.FAILED, found.reason, text)
        else:
            await self._retry(action, Answer(0, text=found.detail) if seen.answer.ok else seen.answer)
