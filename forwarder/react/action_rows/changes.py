"""Commits changed rows of actions to the store, then puts them in memory.

A row is the stored record of one action. Each commit also stores the events about the changes. The engine and the
guards read only the rows in memory.
"""

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
    """Commits changed rows (the stored records of actions) to the store, then puts the rows in memory.

    Attributes:
        changed: an event that is set after each commit, to wake the engine.
    """

    def __init__(
        self,
        store: ActionStore,
        memory: ActionsInMemory,
        metrics: ReactionMetrics,
        clock: Clock,
        note: Callable[[Action], None],
    ) -> None:
        """Store rows in `store`. Call `note` with each row right before the row is stored."""
        self.memory = memory
        self.clock = clock
        self.changed = asyncio.Event()
        self._store = store
        self._metrics = metrics
        self._note = note

    async def commit(
        self, rows: Sequence[Action], news: Sequence[Action] = (), cursor: tuple[str, str] | None = None
    ) -> None:
        """Store three things in one transaction: `rows`, an event about each row in `news`, and `cursor`. Retry until
        the store has accepted them. Then put `rows` in memory."""
        now = self.clock.now()
        for row in rows:
            self._note(row)
        batch = Batch([to_event(row, now) for row in news], source=Source.ACTION, cursor=cursor)
        attempt = 0
        while True:
            try:
                left_out = await self._store.commit_actions(batch, rows)
                # A try that raised an error may have been committed nevertheless. Then memory lacks rows of the store.
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
        except StoreFormatError as error:  # a row is damaged, but this commit must not fail because of that
            self._metrics.store_failed(error)
            return []

    async def finish(
        self, action: Action, outcome: Outcome, reason: Reason | None, detail: str, more: Sequence[Action] = ()
    ) -> Action:
        """End an action that leaves nothing to undo. Store the ended action and the rows `more` in one commit. Return
        the ended action."""
        ended = msgspec.structs.replace(
            action, state=ActionState.ENDED, outcome=outcome, reason=reason, detail=detail, waits_for=None, due=None
        )
        await self.commit([ended, *more], [ended])
        return ended

    def later(self, action: Action, answer: Answer, backoff: Backoff) -> Action:
        """Return a copy of `action` with one more failed try. It is due after the backoff or at `answer.retry_at`,
        whichever is later."""
        attempts = action.attempts + 1
        due = self.clock.now() + int(backoff.delay(min(attempts, 20)) * SECOND)
        return msgspec.structs.replace(
            answered(action, answer), attempts=attempts, detail=answer.text, due=max(due, answer.retry_at or 0)
        )


def answered(action: Action, answer: Answer) -> Action:
    """Return a copy of `action` with the request id and the error id of `answer`. Okta's support can find a call by
    these ids."""
    return msgspec.structs.replace(
        action, request_id=answer.request_id or action.request_id, error_id=answer.error_id or action.error_id
    )


def lasts(action: Action) -> Micros:
    """Return how long the effect of a timed action lasts, in microseconds."""
    return int(float(action.settings.get("for", 0)) * SECOND)
