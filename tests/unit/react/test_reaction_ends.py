"""The engine with the real guards: whatever happens, each action ends, or waits for a time ahead."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from forwarder.core.action import Action, Kind, Outcome, Reason, State, Waits
from forwarder.core.time import SECOND, Micros
from forwarder.react.late import LONGEST
from forwarder.react.outside import Notify
from forwarder.react.webhook import Webhooks
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
    """An action that was planned almost as long ago as a quiet one may be tried."""
    planned = scene.clock.now() - LONGEST + 2 * MINUTE
    return change(scene.action(name, **settings), planned_at=planned, published=planned)


async def test_a_quiet_action_that_asks_is_refused_when_no_human_approved_it_in_time(
    scene: GuardedScene,
) -> None:
    await scene.add(risk := scene.action("user_risk", level="high", approve={"within": 900.0}))
    await scene.pass_time(899)
    assert scene.row(risk).waits_for is Waits.APPROVAL
    commits, looks = len(scene.store.log), scene.okta.looks
    await scene.pass_time(10)
    row = scene.row(risk)
    assert (row.outcome, row.reason) == (Outcome.REFUSED, Reason.APPROVAL)
    assert (len(scene.store.log), scene.okta.looks) == (commits + 1, looks)


@pytest.mark.parametrize("fault", ["before", "unsent"])
async def test_a_quiet_action_fails_a_day_after_it_was_planned(scene: GuardedScene, fault: str) -> None:
    scene.okta.faults = [fault] * 100
    await scene.add(risk := old(scene, "user_risk", level="high"))
    await scene.pass_time(60)
    assert scene.row(risk).waits_for is Waits.RETRY
    await scene.pass_time(180)
    row = scene.row(risk)
    assert (row.state, row.outcome, row.reason) == (State.ENDED, Outcome.FAILED, Reason.LATE)
    assert "24h" in row.detail


async def test_a_quiet_action_whose_event_is_never_confirmed_ends_after_a_day(scene: GuardedScene) -> None:
    scene.guard(confirm=frozenset({Kind.QUIET}))
    scene.store.logged = False
    await scene.add(risk := old(scene, "user_risk", level="high"))
    assert scene.row(risk).waits_for is Waits.CONFIRMATION
    await scene.pass_time(240)
    row = scene.row(risk)
    assert (row.outcome, row.reason) == (Outcome.REFUSED, Reason.UNCONFIRMED)


async def test_what_goes_to_a_webhook_that_is_not_configured_any_more_fails_at_once(
    scene: GuardedScene,
) -> None:
    scene.acts = {**scene.acts, "notify": Notify(Webhooks({}, scene.clock))}
    await scene.add(notify := scene.action("notify", to="soc"))
    row = scene.row(notify)
    assert (row.outcome, row.reason) == (Outcome.FAILED, Reason.CONFIG)
    assert "reactions.webhooks has no soc any more" in row.detail


@pytest.mark.parametrize("name", ["suspend", "expire_password", "add_to_group"])
async def test_a_call_without_an_answer_to_a_user_who_is_gone_since_fails(
    scene: GuardedScene, name: str
) -> None:
    scene.okta.faults = ["before"]
    await scene.add(call := scene.action(name, approve=False))
    scene.okta.gone.add("00u1")
    await scene.pass_time(120)
    row = scene.row(call)
    assert (row.state, row.outcome, row.reason) == (State.ENDED, Outcome.FAILED, Reason.TARGET)


async def test_what_cannot_be_undone_fails_when_okta_refuses_to_show_whether_it_was_done(
    scene: GuardedScene,
) -> None:
    scene.okta.faults = ["before"]
    await scene.add(call := scene.action("expire_password", approve=False))
    scene.okta.look_faults = [403] * 10
    await scene.pass_time(120)
    assert scene.row(call).outcome is Outcome.FAILED


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
    assert scene.row(revoke).state is State.WAITING
    scene.guard(modes={"another": "enforce"})
    await scene.pass_time(60)
    assert (scene.row(revoke).outcome, scene.row(revoke).reason) == (Outcome.REFUSED, Reason.OFF)


async def test_a_group_by_its_id_is_looked_up_again_while_okta_is_in_trouble(scene: GuardedScene) -> None:
    scene.okta.id_faults = [503]
    await scene.add(add := scene.action("add_to_group", group="00g1"))
    assert scene.row(add).waits_for is Waits.RETRY
    await scene.pass_time(60)
    assert scene.row(add).state is State.LIVE
