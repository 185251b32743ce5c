"""An engine of reactions with a fake org, a fake store and fake guards. A test sets what they return, and moves the clock."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from forwarder.core.action import (
    KINDS,
    Action,
    ActionRequest,
    ActionState,
    ActionTarget,
    Claim,
    EffectKind,
    Reason,
    Waits,
    key_of,
)
from forwarder.core.event import Event
from forwarder.core.ports import Batch
from forwarder.core.time import Micros
from forwarder.metrics import Metrics
from forwarder.react.action_rows.changes import Rows
from forwarder.react.action_rows.in_memory import ActionsInMemory
from forwarder.react.actions import okta as actions
from forwarder.react.engine import ActionEngine
from forwarder.react.guards.judgement import Decision, Judgement
from forwarder.react.metrics import ReactionMetrics
from forwarder.react.ports import Answer
from forwarder.react.prompts.results import PromptProgress
from forwarder.react.runtime_problems import ReactionFinding
from tests.fakes.clock import ManualClock, settle


class FakeStore:
    """`core.action.ActionStore` in memory.

    Attributes:
        rows: the committed rows.
        log: each commit and each call, in order.
        logged: whether the System Log has every event.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Action] = {}
        self.events: list[Event] = []
        self.cursors: dict[str, str] = {}
        self.log: list[tuple[str, str, str]] = []
        self.logged = True

    async def load_actions(self, since: Micros) -> list[Action]:
        return [one for one in self.rows.values() if one.is_open or one.planned_at >= since]

    async def commit_actions(self, batch: Batch, actions: Sequence[Action]) -> frozenset[str]:
        await asyncio.sleep(0)
        left_out = set()
        for action in actions:
            if action.state is ActionState.PLANNED and action.key in self.rows:
                left_out.add(action.key)
                continue
            self.rows[action.key] = action
            self.log.append(("row", action.key, action.state.value))
        self.events += batch.events
        if batch.cursor:
            self.cursors[batch.cursor[0]] = batch.cursor[1]
        return frozenset(left_out)

    async def cursor(self, name: str) -> str | None:
        return self.cursors.get(name)

    async def claims(self, org: str, uuids: Sequence[str]) -> Mapping[str, Claim]:
        return {uuid: Claim(logged=True if self.logged else None) for uuid in uuids}

    async def users_at(self, org: str, address: str, since: Micros) -> int:
        return 0


class FakeOkta:
    """An org with users and one group `Step-up`.

    Attributes:
        faults: the faults of the next changing calls. `before` and `after`: a 503 without and with the effect; `lost`: the
            effect, but no response; `429` or `403`: this status.
        look_faults: the statuses of the next look-ups.
        id_faults: the statuses of the next look-ups of a group by its id.
        bodies: the bodies of the next look-ups, by the end of the path.
        slow: the seconds that a look-up takes.
        note: the text of the answer to a change of the group.
    """

    def __init__(self, store: FakeStore, clock: ManualClock) -> None:
        self._store = store
        self._clock = clock
        self.status: dict[str, str] = {}
        self.changed: dict[str, str] = {}
        self.members: set[str] = set()
        self.risk: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.effects: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.look_faults: list[int] = []
        self.bodies: dict[str, list[Any]] = {}
        self.id_faults: list[int] = []
        self.gone: set[str] = set()
        self.group_roles: list[dict[str, str]] | None = []
        self.slow = 0.0
        self.note = ""
        self.looks = 0

    def org(self, name: str) -> "FakeOkta | None":
        return self if name == "acme" else None

    async def ready(self, method: str, path: str) -> None:
        """Return at once."""

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        del query
        await asyncio.sleep(0)
        if method == "GET":
            self.looks += 1
            await self._clock.sleep(self.slow)
            if self.look_faults:
                return Answer(self.look_faults.pop(0), text="the look-up failed")
            return self._read(path)
        if self.faults and self.faults[0] == "unsent":
            self.faults.pop(0)
            return Answer(0, text="no connection", sent=False)
        self.calls.append((method, path))
        self._store.log.append(("call", method, path))
        fault = self.faults.pop(0) if self.faults else ""
        if fault.isdigit():
            again = self._clock.now() + 30_000_000 if fault == "429" else None
            return Answer(int(fault), text=f"refused with {fault}", retry_at=again, error_id="oae1")
        if fault != "before":
            answer = self._change(method, path, body)
            if answer.ok:
                self.effects.append((method, path))
        await asyncio.sleep(0)
        if fault in {"before", "after"}:
            return Answer(503, text="503")
        return Answer(0, text="no answer") if fault == "lost" else answer

    def _read(self, path: str) -> Answer:
        parts = path.split("?", maxsplit=1)[0].split("/")
        if self.bodies.get(parts[-1]):
            return Answer(200, self.bodies[parts[-1]].pop(0))
        if parts[3] == "logs":
            return Answer(200, [])
        if parts[3] == "groups" and parts[-1] == "roles":
            return Answer(503, text="503") if self.group_roles is None else Answer(200, self.group_roles)
        if parts[3] == "groups":
            group = {"id": "00g1", "type": "OKTA_GROUP", "profile": {"name": "Step-up"}}
            if len(parts) == 4:
                return Answer(200, [group])
            return Answer(self.id_faults.pop(0), text="no") if self.id_faults else Answer(200, group)
        user = parts[4]
        if user in self.gone:
            return Answer(404, code="E0000007", text="not found")
        if path.endswith("/groups"):
            return Answer(200, [{"id": "00g1"}] if user in self.members else [])
        if path.endswith("/risk"):
            return Answer(200, {"riskLevel": self.risk.get(user, "NONE")})
        state = {"status": self.status.get(user, "ACTIVE"), "statusChanged": self.changed.get(user)}
        return Answer(200, {"id": user, **state})

    def _change(self, method: str, path: str, body: Any) -> Answer:
        parts = path.split("?", maxsplit=1)[0].split("/")
        if parts[3] == "groups":
            (self.members.add if method == "PUT" else self.members.discard)(parts[6])
            return Answer(204, text=self.note)
        user, last = parts[4], parts[-1]
        wanted = {"suspend": ("ACTIVE", "SUSPENDED"), "unsuspend": ("SUSPENDED", "ACTIVE")}
        if last in wanted:
            if self.status.get(user, "ACTIVE") != wanted[last][0]:
                return Answer(400, code="E0000001", text="wrong status")
            self.set_status(user, wanted[last][1])
        if last == "risk":
            self.risk[user] = body["riskLevel"]
        return Answer(200)

    def set_status(self, user: str, status: str) -> None:
        """Change the status of a user, as an admin could."""
        self.status[user], self.changed[user] = status, str(self._clock.now())


class FakeGuards:
    """Lets every action go whose effect is not there yet, unless `say` has a verdict for the name of the action."""

    def __init__(self, acts: Mapping[str, actions.Act]) -> None:
        self._acts = acts
        self.say: dict[str, Callable[[Action], Judgement | None]] = {}

    async def judge(self, action: Action, now: Micros) -> Judgement:
        act, say = self._acts.get(action.name), self.say.get(action.name)
        if act is None:
            return (say and say(action)) or Judgement(Decision.GO)
        seen = await act.look(action)
        if not seen.answer.ok:
            return Judgement(Decision.WAIT, Reason.STATE, seen.answer.text, Waits.RETRY, now + 1_000_000)
        if say and (said := say(action)):
            return msgspec.structs.replace(said, before=seen.state)
        if seen.is_so:
            return Judgement(Decision.NO_OP, before=seen.state)
        return Judgement(Decision.GO, before=seen.state)


class FakePrompts:
    """Returns the results in `script` from `send` and `poll`, in order."""

    def __init__(self) -> None:
        self.script: list[PromptProgress] = []
        self.prepared: PromptProgress | None = None
        self.sent: list[str] = []
        self.cancelled: list[str] = []

    async def prepare(self, action: Action) -> PromptProgress | ActionRequest:
        return self.prepared or ActionRequest(
            action.org, "POST", f"/api/v1/users/{action.target.id}/factors/opf1/verify"
        )

    async def send(self, action: Action) -> PromptProgress:
        self.sent.append(action.key)
        await asyncio.sleep(0)
        return self.script.pop(0)

    async def poll(self, action: Action) -> PromptProgress:
        return self.script.pop(0)

    async def cancel(self, action: Action) -> None:
        self.cancelled.append(action.key)


class Scene:
    """The engine with its fakes. `crash` drops the engine, as kill -9 would; `start` makes a new one from the committed rows."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = FakeStore()
        self.okta = FakeOkta(self.store, self.clock)
        self.acts: Mapping[str, actions.Act] = {
            "revoke_sessions": actions.RevokeSessions(self.okta),
            "universal_logout": actions.UniversalLogout(self.okta),
            "expire_password": actions.ExpirePassword(self.okta),
            "suspend": actions.Suspend(self.okta),
            "user_risk": actions.UserRisk(self.okta),
            "add_to_group": actions.AddToGroup(self.okta),
        }
        self.guards = FakeGuards(self.acts)
        self.prompts = FakePrompts()
        self.horizon = 86_400_000_000
        self.memory = ActionsInMemory()
        self.after: dict[str, list[Action]] = {}
        self.announcements: list[Action] = []
        self.metrics = Metrics()
        self._task: asyncio.Task[None] | None = None

    async def judge(self, action: Action, now: Micros) -> Judgement:
        return await self.guards.judge(action, now)

    def plan(self, alert: Event, at: Micros) -> Sequence[Action]:
        return []

    def answered(self, prompt: Action, answer: str, at: Micros) -> Sequence[Action]:
        return self.after.get(answer, [])

    def announced(self, action: Action, at: Micros) -> Sequence[Action]:
        self.announcements.append(action)
        return []

    async def newly_protected(self) -> Sequence[Action]:
        return []

    async def findings(self, effects: Sequence[Action]) -> Sequence[ReactionFinding]:
        return []

    async def close(self) -> None:
        """Close nothing."""

    async def start(self) -> None:
        self.memory = ActionsInMemory()
        self.memory.fill(await self.store.load_actions(0))
        metrics = ReactionMetrics(self.metrics, self.clock)
        self.rows = Rows(self.store, self.memory, metrics, self.clock, lambda _: None)
        self.engine = ActionEngine(lambda: self, self.rows, lambda: None)
        self._task = asyncio.create_task(self.engine.run())
        await self.rest()

    async def crash(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def add(self, *added: Action) -> None:
        await self.rows.commit(added)
        await self.rest()

    async def rest(self) -> None:
        """Run all tasks until each waits for the clock."""
        for _ in range(5):
            await settle()

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.rest()

    def row(self, action: Action) -> Action:
        return self.store.rows[action.key]

    def action(self, name: str, user: str = "00u1", alert: str = "a1", **settings: Any) -> Action:
        target = ActionTarget("user", user)
        now = self.clock.now()
        if KINDS[name] is EffectKind.TIMED:
            settings = {"for": 3600.0, **({"group": "Step-up"} if name == "add_to_group" else {}), **settings}
        return Action(
            key=key_of("acme", alert, name, target),
            org="acme",
            rule="r1",
            title="A rule",
            alert=alert,
            events=("e1",),
            published=now,
            kind=KINDS[name],
            name=name,
            target=target,
            mode="enforce",
            planned_at=now,
            settings=settings,
            due=now,
        )
