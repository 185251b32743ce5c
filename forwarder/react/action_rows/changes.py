"""Changes the rows of actions: first in the store, together with events about them, then in memory. A change has
no effect before it is committed."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from forwarder.core.action import Action, ActionState, ActionStore, Outcome, Reason
from forwarder.core.action_event import to_event
from forwarder.core.backoff import Backoff
from forwarder.core.errors import StoreError, StoreFormatError
from forwarder.core.event import Source
from forwarder.core.ports import Batch, Clock
from forwarder.core.time import SECOND, Micros
from forwarder.react.action_rows.in_memory import ActionsInMemory
from forwarder.react.metrics import ReactionMetrics
from forwarder.react.ports import Answer


class Rows:
    """Stores changes of rows.

    Attributes:
        memory: the rows in memory.
        clock: the time.
        changed: set after each change.
    """

    def __init__(
        self,
        store: ActionStore,
        memory: ActionsInMemory,
        metrics: ReactionMetrics,
        clock: Clock,
        note: Callable[[Action], None],
    ) -> None:
        """Args: `note` is called with every row right before it is stored in `store`."""
        self.memory = memory
        self.clock = clock
        self.changed = asyncio.Event()
        self._store = store
        self._metrics = metrics
        self._note = note

    async def commit(
        self, rows: Sequence[Action], news: Sequence[Action] = (), cursor: tuple[str, str] | None = None
    ) -> None:
        """Store `rows`, an event about each of `news`, and `cursor`. Return only when they are stored; retry
        without end."""
        now = self.clock.now()
        for row in rows:
            self._note(row)
        batch = Batch([to_event(row, now) for row in news], source=Source.ACTION, cursor=cursor)
        attempt = 0
        while True:
            try:
                left_out = await self._store.commit_actions(batch, rows)
                # The try that failed may have been committed all the same: then the store has a row, memory has not.
                stored = await self._load(now) if attempt and left_out else []
                break
            except StoreError as error:
                attempt += 1
                self._metrics.store_failed(error)
                await self.clock.sleep(Backoff().delay(attempt))
        for row in rows:
            if row.key not in left_out:
                self.memory.put(row)
        for row in stored:
            if row.key in left_out and self.memory.get(row.key) is None:
                self.memory.put(row)
        for row in news:
            self._metrics.changed(row, now)
        self.changed.set()

    async def _load(self, now: Micros) -> list[Action]:
        try:
            return await self._store.load_actions(now)
        except StoreFormatError as error:  # a damaged row, which must not hold up this commit
            self._metrics.store_failed(error)
            return []

    async def finish(
        self,
        action: Action,
        outcome: Outcome,
        reason: Reason | None,
        detail: str,
        more: Sequence[Action] = (),
    ) -> Action:
        """End `action`, which leaves nothing to undo, and store the rows `more` in the same commit. Return the
        ended row."""
        ended = msgspec.structs.replace(
            action,
            state=ActionState.ENDED,
            outcome=outcome,
            reason=reason,
            detail=detail,
            waits_for=None,
            due=None,
        )
        await self.commit([ended, *more], [ended])
        return ended

    def later(self, action: Action, answer: Answer, backoff: Backoff) -> Action:
        """Return `action` after one more failure: due again after the backoff, or when `answer` allows it, if
        that is later."""
        attempts = action.attempts + 1
        due = self.clock.now() + int(backoff.delay(min(attempts, 20)) * SECOND)
        return msgspec.structs.replace(
            answered(action, answer),
            attempts=attempts,
            detail=answer.text,
            due=max(due, answer.again_at or 0),
        )


def answered(action: Action, answer: Answer) -> Action:
    """Return `action` with the ids of `answer`, by which Okta's support finds a call."""
    return msgspec.structs.replace(
        action, request_id=answer.request_id or action.request_id, error_id=answer.error_id or action.error_id
    )


def lasts(action: Action) -> Micros:
    """Return for how long a timed action lasts."""
    return int(float(action.settings.get("for", 0)) * SECOND)
