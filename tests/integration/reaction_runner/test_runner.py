"""The runner of reactions on a real store: plans, pauses, and the requests of operators."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from forwarder.core.action import Action, ActionState, Approval, End, Outcome, Waits
from forwarder.core.errors import ReactionError
from forwarder.core.event import Event, Source, StoredEvent
from forwarder.core.ports import Batch
from forwarder.core.time import SECOND, Micros
from forwarder.metrics import Metrics
from forwarder.react.action_rows.in_memory import DAY
from forwarder.react.guards.pauses import CURSOR, Pauses
from forwarder.react.operator_requests import ApproveRequest, PauseRequest, ResumeRequest, UndoRequest
from forwarder.react.settings.guards import Limit
from forwarder.reaction_runner.runner import ReactionRunner
from forwarder.store.sqlite.store import SqliteStore
from tests.fakes.alert import alert_event
from tests.fakes.clock import ManualClock
from tests.integration.store.helpers import event, opened
from tests.unit.react.scene import Scene


class BusyStore:
    """The real store. It calls `meanwhile` once, after a read of alerts and before it returns the result."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.meanwhile: Callable[[], Awaitable[Any]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def alerts_after(self, after: int, *, limit: int) -> list[StoredEvent]:
        found = await self._store.alerts_after(after, limit=limit)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return found


class Planned(Scene):
    """Plans a revocation for each alert, and returns `protected` as the newly protected actions."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.protected: list[Action] = []

    def plan(self, alert: Event, at: Micros) -> Sequence[Action]:
        return [replace(self.action("revoke_sessions", alert=alert.uuid), planned_at=at)]

    async def newly_protected(self) -> Sequence[Action]:
        return self.protected


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[BusyStore]:
    async with opened(tmp_path / "store.db", clock) as real:
        yield BusyStore(real)


@pytest.fixture
def parts(clock: ManualClock) -> Planned:
    return Planned(clock)


@pytest.fixture
async def runner(store: BusyStore, clock: ManualClock) -> AsyncIterator[ReactionRunner]:
    made = ReactionRunner(store, Metrics(), clock, lambda _: None)
    yield made
    await made.stop()


def alert(uuid: str) -> Event:
    return event(uuid, source=Source.ALERT)


async def until(store: BusyStore, found: Callable[[list[Action]], Any]) -> list[Action]:
    async with asyncio.timeout(10):
        rows: list[Action] = await store.load_actions(0)
        while not found(rows):
            await asyncio.sleep(0.01)
            rows = await store.load_actions(0)
    return rows


async def test_an_alert_that_is_stored_while_the_planner_reads_is_planned_without_a_later_event(
    runner: ReactionRunner, store: BusyStore, parts: Planned
) -> None:
    found = alert_event()
    store.meanwhile = lambda: store.commit_rules(Batch([found]), [])
    await runner.apply(parts)
    (row,) = await until(store, lambda rows: rows)
    assert row.alert == found.uuid


async def test_two_pauses_at_once_are_both_in_force_and_stored(
    runner: ReactionRunner, store: BusyStore, parts: Planned, clock: ManualClock
) -> None:
    await runner.apply(parts)
    requests = [PauseRequest(scope, "why", "ann") for scope in ("suspend", "block_ip", "notify")]
    await asyncio.gather(*map(runner.pause, requests))
    stored = Pauses.load(await store.cursor(CURSOR), clock.now())
    for pauses in (runner.pauses, stored):
        assert {pause.scope for pause in pauses.on(clock.now())} == {"suspend", "block_ip", "notify"}
    assert await runner.resume(ResumeRequest("suspend", "ann"))
    assert not await runner.resume(ResumeRequest("suspend", "ann"))


async def test_a_pause_while_the_forwarder_starts_is_refused_and_erases_no_other(
    runner: ReactionRunner, store: BusyStore, parts: Planned, clock: ManualClock
) -> None:
    before = Pauses().pause("", "an incident", clock.now(), by="ann")
    await store.commit_actions(Batch(cursor=(CURSOR, before.dump())), [])
    for asked in (runner.pause(PauseRequest("notify", "why", "bob")), runner.resume(ResumeRequest("notify", "bob"))):
        with pytest.raises(ReactionError, match="is starting; try again"):
            await asked
    await runner.apply(parts)
    assert [pause.why for pause in runner.pauses.on(clock.now())] == ["an incident"]


async def test_who_undid_an_effect_and_why_is_kept(runner: ReactionRunner, store: BusyStore, parts: Planned) -> None:
    parts.okta.set_status("00u1", "SUSPENDED")
    live = replace(
        parts.action("suspend"),
        state=ActionState.LIVE,
        undo_due=parts.clock.now() + 3600 * SECOND,
        due=parts.clock.now() + 3600 * SECOND,
        after={"status": "SUSPENDED", "statusChanged": parts.okta.changed["00u1"]},
    )
    await store.commit_actions(Batch(), [live])
    await runner.apply(parts)
    await runner.undo(UndoRequest(live.id, "ann", "a false alarm"))
    (row,) = await until(store, lambda rows: [one for one in rows if one.end])
    assert (row.end, row.undone_by, row.undone_why) == (End.UNDONE, "hand:ann", "a false alarm")


async def test_a_second_undo_does_not_replace_the_person_who_asked_first(
    runner: ReactionRunner, store: BusyStore, parts: Planned
) -> None:
    parts.okta.set_status("00u1", "SUSPENDED")
    later = parts.clock.now() + 3600 * SECOND
    live = replace(parts.action("suspend"), state=ActionState.LIVE, undo_due=later, due=later)
    await store.commit_actions(Batch(), [live])
    await runner.apply(parts)
    asked = [UndoRequest(live.id, "ann", "a false alarm"), UndoRequest(live.id, "bob", "me too")]
    await asyncio.gather(*map(runner.undo, asked))
    (row,) = await until(store, lambda rows: [one for one in rows if one.end])
    assert (row.end, row.undone_by, row.undone_why) == (End.UNDONE, "hand:ann", "a false alarm")


async def test_an_approval_counts_even_if_its_sender_does_not_wait_for_the_response(
    runner: ReactionRunner, store: BusyStore, parts: Planned
) -> None:
    later = parts.clock.now() + 900 * SECOND
    waits = replace(
        parts.action("suspend"),
        state=ActionState.WAITING,
        waits_for=Waits.APPROVAL,
        due=later,
        approval=Approval(later),
    )
    await store.commit_actions(Batch(), [waits])
    await runner.apply(parts)
    asked = asyncio.create_task(runner.approve(ApproveRequest(waits.id, "ann", True)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    (row,) = await until(store, lambda rows: [one for one in rows if one.state is ActionState.LIVE])
    assert row.approval is not None
    assert row.approval.given


async def test_a_mistyped_id_matches_no_action(runner: ReactionRunner, store: BusyStore, parts: Planned) -> None:
    await store.commit_actions(Batch(), [live := replace(parts.action("suspend"), due=None)])
    await runner.apply(parts)
    for asked in (ApproveRequest(live.id[:7], "ann", True), UndoRequest(live.id[:1], "ann", "x")):
        ask = runner.approve(asked) if isinstance(asked, ApproveRequest) else runner.undo(asked)
        with pytest.raises(ReactionError, match="write at least 8 characters"):
            await ask
    assert runner.shown(live.id[:7]) is None
    assert runner.shown(live.id[:8]) is not None


async def test_the_answer_to_a_refusal_shows_the_action_as_ended(
    runner: ReactionRunner, store: BusyStore, parts: Planned
) -> None:
    later = parts.clock.now() + 900 * SECOND
    waits = replace(
        parts.action("suspend"),
        state=ActionState.WAITING,
        waits_for=Waits.APPROVAL,
        due=later,
        approval=Approval(later),
    )
    await store.commit_actions(Batch(), [waits])
    await runner.apply(parts)
    assert (await runner.decide(waits.id, "ann", given=False))["state"] == "ended"


@pytest.mark.long
async def test_an_effect_that_ended_meanwhile_does_not_stop_the_undo_of_other_effects(
    runner: ReactionRunner, store: BusyStore, parts: Planned
) -> None:
    later = parts.clock.now() + 3600 * SECOND
    live = [
        replace(parts.action("add_to_group", user), state=ActionState.LIVE, undo_due=later, due=later, undone_by=by)
        for user, by in (("00u1", ""), ("00u2", "hand:ann"), ("00u3", ""))
    ]
    parts.okta.members = {"00u1", "00u2", "00u3"}
    await store.commit_actions(Batch(), live[1:])
    parts.protected = live
    await runner.apply(parts)
    rows = await until(store, lambda rows: [one for one in rows if one.end])
    undone = {one.target.id: (one.undone_by, one.undone_why) for one in rows}
    assert undone["00u3"] == (
        "protected",
        "the target of the action is now protected by `reactions.protect`, or is an address of the forwarder itself",
    )
    assert undone["00u2"] == ("hand:ann", "")


async def test_a_longer_limit_that_a_reload_sets_counts_what_was_before(
    runner: ReactionRunner, store: BusyStore, parts: Planned, clock: ManualClock
) -> None:
    def acted(name: str, days: int) -> Action:
        at = clock.now() - days * DAY
        row = parts.action(name, alert=f"{name} {days}")
        return replace(row, state=ActionState.ENDED, outcome=Outcome.DONE, planned_at=at, called_at=at, due=None)

    rows = [acted("suspend", 3), acted("suspend", 5), acted("prompt", 3), acted("suspend", 9)]
    await store.commit_actions(Batch(()), rows)
    limits = {"timed": Limit(2, 7 * 86400)}
    row = parts.action("suspend", alert="new")
    await runner.apply(parts)
    assert runner.memory.over(row, limits, clock.now(), shadow=False) == ""
    longer = Planned(clock)
    longer.horizon = 7 * DAY
    await runner.apply(longer)
    assert runner.memory.over(row, limits, clock.now(), shadow=False) == "timed"
    assert [one.alert for one in runner.memory.prompts(parts.action("prompt"))] == ["prompt 3"]
    await runner.apply(parts)
    assert runner.memory.horizon == 7 * DAY


async def test_a_change_during_a_reload_is_not_overwritten_by_older_rows(
    runner: ReactionRunner, store: BusyStore, parts: Planned
) -> None:
    await runner.apply(parts)
    await runner._rows.commit([row := replace(parts.action("suspend"), state=ActionState.LIVE, due=None)])
    real = store._store.load_actions

    async def load(since: Micros) -> list[Action]:
        found = await real(since)
        await runner._rows.commit([replace(row, state=ActionState.UNDOING)])
        return found

    store.load_actions = load  # type: ignore[attr-defined]
    longer = Planned(parts.clock)
    longer.horizon = 7 * DAY
    await runner.apply(longer)
    assert [one.state for one in runner.memory.open()] == [ActionState.UNDOING]
