"""The engine with the real guards: each action ends, or waits until a time in the future."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder.core.action import KINDS, Action, ActionRequest, ActionState, EffectKind, End, Outcome, Reason, Waits
from forwarder.core.time import SECOND, Micros
from forwarder.react.actions.okta import Act
from forwarder.react.actions.receivers import Notify
from forwarder.react.actions.webhook import Webhooks
from forwarder.react.guards.deadlines import LONGEST
from forwarder.react.ports import Answer, Seen
from forwarder.react.settings.guards import Limit
from tests.examples import examples
from tests.unit.react.guard_scene import by_rule
from tests.unit.react.guarded_scene import GuardedScene

change = msgspec.structs.replace

MINUTE: Micros = 60 * SECOND


@pytest.fixture
async def scene() -> AsyncIterator[GuardedScene]:
    made = GuardedScene()
    await made.start()
    yield made
    await made.crash()


def old(scene: GuardedScene, name: str, **settings: Any) -> Action:
    """Return an action that was planned almost a day ago, the longest time that a quiet action is tried."""
    planned = scene.clock.now() - LONGEST + 2 * MINUTE
    return change(scene.action(name, **settings), planned_at=planned, published=planned)


@pytest.mark.long
async def test_a_quiet_action_that_asks_is_refused_when_no_human_approved_it_in_time(scene: GuardedScene) -> None:
    await scene.add(risk := scene.action("user_risk", level="high", approve={"within": 900.0}))
    await scene.pass_time(899)
    assert scene.row(risk).waits_for is Waits.APPROVAL
    commits, looks = len(scene.store.log), scene.okta.looks
    await scene.pass_time(10)
    row = scene.row(risk)
    assert (row.outcome, row.reason) == (Outcome.REFUSED, Reason.APPROVAL)
    assert (len(scene.store.log), scene.okta.looks) == (commits + 1, looks)


@pytest.mark.long
@pytest.mark.parametrize("fault", ["before", "unsent"])
async def test_a_quiet_action_fails_a_day_after_it_was_planned(scene: GuardedScene, fault: str) -> None:
    scene.okta.faults = [fault] * 100
    await scene.add(risk := old(scene, "user_risk", level="high"))
    await scene.pass_time(60)
    assert scene.row(risk).waits_for is Waits.RETRY
    await scene.pass_time(180)
    row = scene.row(risk)
    assert (row.state, row.outcome, row.reason) == (ActionState.ENDED, Outcome.FAILED, Reason.LATE)
    assert "24h" in row.detail


@pytest.mark.long
async def test_a_quiet_action_whose_event_is_never_confirmed_ends_after_a_day(scene: GuardedScene) -> None:
    scene.guard(confirm=frozenset({EffectKind.QUIET}))
    scene.store.logged = False
    await scene.add(risk := old(scene, "user_risk", level="high"))
    assert scene.row(risk).waits_for is Waits.CONFIRMATION
    await scene.pass_time(240)
    row = scene.row(risk)
    assert (row.outcome, row.reason) == (Outcome.REFUSED, Reason.UNCONFIRMED)


async def test_a_notification_to_a_removed_webhook_fails_at_once(scene: GuardedScene) -> None:
    scene.acts = {**scene.acts, "notify": Notify(Webhooks({}, scene.clock))}
    await scene.add(notify := scene.action("notify", to="soc"))
    row = scene.row(notify)
    assert (row.outcome, row.reason) == (Outcome.FAILED, Reason.CONFIG)
    assert "reactions.webhooks has no soc any more" in row.detail


@pytest.mark.long
@pytest.mark.parametrize("name", ["suspend", "expire_password", "add_to_group"])
async def test_a_call_without_a_response_to_a_user_who_was_deleted_fails(scene: GuardedScene, name: str) -> None:
    scene.okta.faults = ["before"]
    await scene.add(call := scene.action(name, approve=False))
    scene.okta.gone.add("00u1")
    await scene.pass_time(120)
    row = scene.row(call)
    assert (row.state, row.outcome, row.reason) == (ActionState.ENDED, Outcome.FAILED, Reason.TARGET)


async def test_an_action_without_undo_fails_if_okta_refuses_the_look_up(scene: GuardedScene) -> None:
    scene.okta.faults = ["before"]
    await scene.add(call := scene.action("expire_password", approve=False))
    scene.okta.look_faults = [403] * 10
    await scene.pass_time(120)
    assert scene.row(call).outcome is Outcome.FAILED


@pytest.mark.long
async def test_an_action_that_becomes_late_while_the_guards_look_is_refused(scene: GuardedScene) -> None:
    scene.okta.slow = 601.0
    await scene.add(revoke := scene.action("expire_password", approve=False))
    await scene.pass_time(1300)
    row = scene.row(revoke)
    assert (row.outcome, row.reason) == (Outcome.REFUSED, Reason.LATE)
    assert scene.okta.calls == []


async def test_an_action_of_a_rule_that_is_not_loaded_any_more_is_refused(scene: GuardedScene) -> None:
    scene.okta.look_faults = [503]
    await scene.add(revoke := scene.action("expire_password", approve=False))
    assert scene.row(revoke).state is ActionState.WAITING
    scene.guard(mode_of=by_rule({"another": "enforce"}))
    await scene.pass_time(60)
    assert (scene.row(revoke).outcome, scene.row(revoke).reason) == (Outcome.REFUSED, Reason.OFF)


async def test_a_group_by_its_id_is_looked_up_again_while_okta_is_in_trouble(scene: GuardedScene) -> None:
    scene.okta.id_faults = [503]
    await scene.add(add := scene.action("add_to_group", group="00g1"))
    assert scene.row(add).waits_for is Waits.RETRY
    await scene.pass_time(60)
    assert scene.row(add).state is ActionState.LIVE


class _Half(Act):
    """An act whose call makes only half of the effect, as an interrupted call does."""

    def __init__(self) -> None:
        self.there = False

    async def look(self, action: Action) -> Seen:
        return Seen(Answer(200), {}, is_partly_so=self.there, text="half" if self.there else "")

    def request(self, action: Action, seen: Seen) -> ActionRequest:
        return ActionRequest(action.org, "PUT")

    def undo_request(self, action: Action, seen: Seen) -> ActionRequest:
        return ActionRequest(action.org, "DELETE")

    async def call(self, action: Action, request: ActionRequest) -> Answer:
        self.there = request.method == "PUT"
        return Answer(503, text="503") if self.there else Answer(204)

    def is_ours(self, action: Action, seen: Seen) -> bool:
        return seen.is_there


@pytest.mark.long
async def test_half_of_an_effect_is_undone_in_time_when_a_guard_stops_the_other_half(scene: GuardedScene) -> None:
    half = _Half()
    scene.acts = {**scene.acts, "suspend": half}
    await scene.add(suspend := scene.action("suspend", approve=False))
    assert half.there
    scene.guard(mode="off")
    await scene.pass_time(60)
    assert (scene.row(suspend).state, scene.row(suspend).detail) == (ActionState.LIVE, "half")
    await scene.pass_time(3600)
    assert (scene.row(suspend).end, half.there) == (End.UNDONE, False)


# The law

_NAMES = ("user_risk", "revoke_sessions", "expire_password", "suspend", "add_to_group")
_FAULTS = st.lists(st.sampled_from(["before", "after", "lost", "unsent", "429", "403", "404", "500", ""]), max_size=8)
_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("act"),
            st.sampled_from(_NAMES),
            st.sampled_from(["00u1", "00u2"]),
            st.sampled_from([None, False, True, {"within": 120.0}]),
        ),
        st.tuples(st.just("calls"), _FAULTS),
        st.tuples(st.just("looks"), st.lists(st.sampled_from([0, 403, 404, 429, 503]), max_size=6)),
        st.tuples(st.just("gone"), st.sampled_from(["00u1", "00u2"])),
        st.tuples(st.just("time"), st.sampled_from([1, 30, 700])),
        st.tuples(st.just("crash")),
        st.tuples(st.just("logged"), st.booleans()),
        st.tuples(st.just("decide"), st.booleans()),
    ),
    max_size=12,
)


@pytest.mark.long
@examples(40)
@given(steps=_STEPS)
async def test_each_action_ends_or_waits_for_a_time_ahead(steps: list[tuple[Any, ...]]) -> None:
    scene = GuardedScene()
    scene.guard(limits={"timed": Limit(2, 3600), "mending": Limit(3, 3600)})
    await scene.start()
    try:
        for number, step in enumerate(steps):
            await _take(scene, number, *step)
            await scene.rest()
            _holds(scene)
        scene.okta.faults, scene.okta.look_faults, scene.store.logged = [], [], True
        await scene.pass_time(1800)
        _holds(scene)
        assert [row for row in scene.store.rows.values() if row.is_open] == []
    finally:
        await scene.crash()


async def _take(scene: GuardedScene, number: int, step: str, *values: Any) -> None:
    if step == "act":
        name, user, approve = values
        more: dict[str, Any] = {"for": 300.0} if KINDS[name] is EffectKind.TIMED else {}
        if approve is not None:
            more["approve"] = approve
        await scene.add(scene.action(name, user, f"a{number}", **more))
    elif step == "calls":
        scene.okta.faults = list(values[0])
    elif step == "looks":
        scene.okta.look_faults = list(values[0])
    elif step == "gone":
        scene.okta.gone.add(values[0])
    elif step == "time":
        await scene.pass_time(values[0])
    elif step == "crash":
        await scene.crash()
        await scene.start()
    elif step == "logged":
        scene.store.logged = values[0]
    else:
        await scene.decide(given=values[0])


def _holds(scene: GuardedScene) -> None:
    now = scene.clock.now()
    for row in scene.store.rows.values():
        assert row.state is ActionState.ENDED or (row.due is not None and row.due > now), (
            row.name,
            row.state,
            row.detail,
        )
