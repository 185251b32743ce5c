"""Reads the alerts of the store, plans their reactions, and runs the engine that carries them out.

The runner reads the store as a sink does, with its own position, so that an org that does not answer delays no sink. Plans
and the position are committed together, so that each alert is planned exactly once, even after a crash.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec

from forwarder import logs
from forwarder.core.action import Action, ActionState, Outcome, Reason, Waits
from forwarder.core.action_event import as_json
from forwarder.core.backoff import Backoff
from forwarder.core.errors import ReactionError, StoreError
from forwarder.core.ports import Clock
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.react.action_rows.changes import Rows
from forwarder.react.action_rows.in_memory import ActionsInMemory
from forwarder.react.engine import ActionEngine
from forwarder.react.engine_parts import Parts
from forwarder.react.guards.pauses import CURSOR as PAUSES
from forwarder.react.guards.pauses import Pause, Pauses
from forwarder.react.metrics import ReactionMetrics
from forwarder.react.operator_requests import ApproveRequest, PauseRequest, ResumeRequest, UndoRequest
from forwarder.react.runtime_problems import ReactionFinding
from forwarder.react.settings.section import ReactionsSettings
from forwarder.react.status import summary
from forwarder.store.interface import Store
from forwarder.tasks import end_tasks

CURSOR = "reactions"
"""The name under which the store keeps the position: the last alert that was planned."""

_ALERTS = 100  # in one read
_SHORTEST_ID = 8  # characters of an action's id that an operator must write
_PROTECT_INTERVAL = 60.0
"""Seconds between two checks for live effects whose target has become protected."""

_FIND_INTERVAL = 600.0
"""Seconds between two checks that the orgs fit the configuration."""

_logger = logs.get("react")

T = TypeVar("T")


class ReactionRunner:
    """Runs the reactions of one forwarder.

    Attributes:
        memory: the rows of open actions, and what the guards need to know about ended actions.
    """

    def __init__(self, store: Store, metrics: Metrics, clock: Clock, note: Callable[[Action], None]) -> None:
        """Create the runner. The runner calls `note` with the row of an action each time before it stores the row."""
        self._store = store
        self._clock = clock
        self._metrics = ReactionMetrics(metrics, clock)
        self.memory = ActionsInMemory()
        self.pauses = Pauses()
        self._parts: Parts | None = None
        self._rows = Rows(store, self.memory, self._metrics, clock, note)
        self._engine = ActionEngine(self._current, self._rows, self._report)
        self._tasks: list[asyncio.Task[None]] = []
        self._findings: Sequence[ReactionFinding] = ()
        self._applied = asyncio.Event()
        self._asked: set[asyncio.Task[Any]] = set()
        self._pausing = asyncio.Lock()

    async def apply(self, parts: Parts | None) -> None:
        """Use `parts` from now on; None means that there are no reactions. The clients of the orgs' APIs must be started
        before this method is called."""
        # Longer limits look further back, so they need older rows.
        if parts is not None and self._tasks and parts.horizon > self.memory.horizon:
            since = self._clock.now() - parts.horizon
            self.memory.widen(await self._reading(partial(self._store.load_actions, since)), parts.horizon)
        old, self._parts = self._parts, parts
        if parts is not None and not self._tasks:
            await self._begin(parts)
        if old is not None:
            await old.close()
        self._applied.set()
        self._rows.changed.set()

    async def stop(self) -> None:
        """Stop, and withdraw the prompts that wait for an answer."""
        await end_tasks([*self._tasks, *self._asked])
        if self._parts is not None:
            await self._engine.withdraw()
            await self._parts.close()

    def _current(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("the engine of reactions was used before it was built; this is a bug")
        return self._parts

    async def _begin(self, parts: Parts) -> None:
        """Load the rows of actions, the pauses and the runner's position from the store, and start the tasks.

        Raises:
            StoreError: the store cannot be read.
        """
        now = self._clock.now()
        self.memory.fill(await self._store.load_actions(now - parts.horizon), parts.horizon)
        self.pauses = Pauses.load(await self._store.cursor(PAUSES), now)
        written = await self._store.cursor(CURSOR)
        position = self._store.view.newest if written is None else int(written)
        if written is None:
            await self._rows.commit([], cursor=(CURSOR, str(position)))
        self._tasks = [
            asyncio.create_task(self._keep(self._engine.run), name="reactions"),
            asyncio.create_task(self._keep(lambda: self._plan(position)), name="reactions: plan"),
            asyncio.create_task(self._keep(self._protect), name="reactions: protect"),
            asyncio.create_task(self._keep(self._check), name="reactions: findings"),
        ]

    async def _keep(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                _logger.exception(
                    "the processing of reactions failed. This is a bug: please report it", action="reactions_failed"
                )
            await self._clock.sleep(Backoff().cap)

    def _report(self) -> None:
        self._metrics.state(self.memory, self.pauses, self._clock.now())

    # Plans

    async def _plan(self, position: int) -> None:
        """Plan the reactions to alerts after `position`; never returns."""
        written = await self._store.cursor(CURSOR)  # how far alerts were planned before an error
        position = max(position, int(written or 0))
        while True:
            # Read before the query: an alert that is stored while the query runs must end the wait below.
            commits = self._store.alert_commits
            alerts = await self._reading(partial(self._store.alerts_after, position, limit=_ALERTS))
            if not alerts:
                await self._store.wait_for_alerts(commits)
                continue
            parts = self._parts
            rows = [row for alert in alerts for row in parts.plan(alert.event, self._clock.now())] if parts else []
            new = [row for row in rows if self.memory.get(row.key) is None]
            ended = [row for row in new if not row.is_open]
            position = alerts[-1].seq
            await self._rows.commit(new, ended, (CURSOR, str(position)))

    async def _reading(self, read: Callable[[], Awaitable[T]]) -> T:
        attempt = 0
        while True:
            try:
                return await read()
            except StoreError as error:
                attempt += 1
                self._metrics.store_failed(error)
                await self._clock.sleep(Backoff().delay(attempt))

    async def _protect(self) -> None:
        """Every minute, undo live effects on targets that have become protected."""
        while True:
            for action in await self._current().newly_protected():
                if not action.undone_by:
                    with suppress(ReactionError):  # it ended meanwhile
                        await self._undo_now(
                            action,
                            "protected",
                            "the target of the action is now protected by `reactions.protect`, or is an address of the "
                            "forwarder itself",
                        )
            await self._clock.sleep(_PROTECT_INTERVAL)

    async def _check(self) -> None:
        """Look for problems of the configuration after each reload, and every _FIND_INTERVAL seconds, because groups
        may be renamed in Okta."""
        while True:
            self._applied.clear()
            found = await self._current().findings(self.memory.effects())
            for finding in found:
                if finding not in self._findings:
                    _logger.warning(
                        "reactions do not work as configured",
                        action="reactions_finding",
                        finding=finding.text,
                        hint=finding.hint,
                    )
            self._findings = found
            pause = asyncio.ensure_future(self._clock.sleep(_FIND_INTERVAL))
            applied = asyncio.ensure_future(self._applied.wait())
            try:
                await asyncio.wait([pause, applied], return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
                applied.cancel()

    # What operators ask for

    async def approve(self, request: ApproveRequest) -> Action:
        """Approve or refuse an action that waits for a human.

        Raises:
            ReactionError: the action does not wait for approval (any more).
        """
        return await self._whole(self._decide(request))

    async def _decide(self, request: ApproveRequest) -> Action:
        found = self._find(request.id)
        async with self._engine.lock(found):
            action, now = self._find(found.key), self._clock.now()
            asked = action.approval
            if action.state is not ActionState.WAITING or action.waits_for is not Waits.APPROVAL or asked is None:
                raise ReactionError(f"{action.id} does not wait for approval: it is {action.state.value}")
            if asked.given is not None:
                raise ReactionError(f"{action.id} was already decided by {asked.by}")
            if now >= asked.until:
                raise ReactionError(f"the time to approve {action.id} is up; the action is refused")
            given = msgspec.structs.replace(asked, by=request.by, at=now, given=request.given)
            decided = msgspec.structs.replace(action, approval=given, due=now)
            if request.given:
                await self._rows.commit([decided])
                return _shown(decided)
            text = f"refused by {request.by}"
            return _shown(await self._rows.finish(decided, Outcome.REFUSED, Reason.APPROVAL, text))

    def shown(self, id_: str) -> dict[str, Any] | None:
        """Return the open action with the id `id_`, ready for JSON; None if there is none."""
        action = self.memory.get(id_) if len(id_) >= _SHORTEST_ID else None
        return None if action is None else as_json(action)

    async def decide(self, id_: str, by: str, *, given: bool) -> dict[str, Any]:
        """Approve (if `given`) or refuse the action `id_`, as the person `by` decided; return the action."""
        return as_json(await self.approve(ApproveRequest(id_, by, given)))

    def gather(self, settings: ReactionsSettings) -> dict[str, Any] | None:
        """Return the reactions' part of the status; None if no reactions are configured, no action is open, and no
        pause is in force."""
        now = self._clock.now()
        if not (settings.on or self.memory.open() or self.pauses.on(now)):
            return None
        findings = [msgspec.structs.asdict(finding) for finding in self._findings]
        return summary(settings.mode, self.memory, self.pauses, now) | {"findings": findings}

    async def undo(self, request: UndoRequest) -> Action:
        """Undo a live action now. For the next 24 hours, the guards refuse all actions on the target of this action.

        Raises:
            ReactionError: the action has no live effect.
        """
        return await self._whole(self._undo_now(self._find(request.id), f"hand:{request.by}", request.why))

    async def pause(self, request: PauseRequest) -> bool:
        """Pause all reactions, the reactions to one rule, or one action. Prompts that wait for an answer are withdrawn if
        possible. An answer that still comes has no effect while the pause lasts."""
        asked = msgspec.structs.asdict(request)
        await self._whole(self._change_pauses(lambda now: self.pauses.pause(now=now, **asked)))
        _logger.warning(
            "reactions are paused",
            action="reactions_paused",
            scope=request.title or request.scope or "all",
            by=request.by,
            why=request.why,
            seconds=request.seconds,
        )
        # In the background, because Okta may be slow; the pause is in force.
        self._start(self._engine.withdraw(lambda prompt: self.pauses.find(prompt, self._clock.now()) is not None))
        return True

    async def resume(self, request: ResumeRequest) -> bool:
        """End one pause, or all pauses; return whether a pause was in force."""
        before = self.pauses.on(self._clock.now())
        after = await self._whole(self._change_pauses(lambda now: self.pauses.resume(request.scope, now)))
        ended = [pause for pause in before if pause not in after]
        for pause in ended:
            _logger.warning(
                "reactions are resumed",
                action="reactions_resumed",
                scope=pause.title or pause.scope or "all",
                by=request.by,
                why=pause.why,
            )
        return bool(ended)

    async def _change_pauses(self, change: Callable[[Micros], Pauses]) -> Sequence[Pause]:
        """Store the pauses that `change` returns, and use them from now on. Return the pauses that are in force.
        Concurrent changes run one after the other."""
        self._check_begun()
        async with self._pausing:
            now = self._clock.now()
            pauses = change(now)
            await self._rows.commit([], cursor=(PAUSES, pauses.dump()))
            self.pauses = pauses
            return pauses.on(now)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        return task

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, even if the caller is cancelled: otherwise memory and store could differ."""
        return await asyncio.shield(self._start(work))

    def _check_begun(self) -> None:
        """Raise ReactionError if `_begin` has not finished."""
        if not self._tasks:
            raise ReactionError("the forwarder is starting; try again in a moment")

    async def _undo_now(self, found: Action, by: str, why: str) -> Action:
        async with self._engine.lock(found):
            action, now = self._find(found.key), self._clock.now()
            if action.state not in {ActionState.LIVE, ActionState.UNDOING}:
                raise ReactionError(f"{action.id} has no live effect: it is {action.state.value}")
            if action.undone_by.startswith("hand:"):  # the person who asked first; the guard `hold` depends on it too
                by, why = action.undone_by, action.undone_why
            undone = msgspec.structs.replace(
                action, undone_by=by, undone_why=why, undo_due=min(now, action.undo_due or now), due=now
            )
            await self._rows.commit([undone])
            return _shown(undone)

    def _find(self, id_: str) -> Action:
        self._check_begun()
        if len(id_) < _SHORTEST_ID:  # a mistyped id must not match another action
            raise ReactionError(f"the id {id_} is too short; write at least {_SHORTEST_ID} characters of the id")
        if (action := self.memory.get(id_)) is None:
            raise ReactionError(
                f"there is no open action {id_}; see whether it has ended: forwarder reactions show {id_}"
            )
        return action


def _shown(action: Action) -> Action:
    """Return the action without the fields that an operator must not see."""
    return msgspec.structs.replace(action, handle="", subject=b"")
