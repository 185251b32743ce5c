"""A server that hangs delays only the actions that need this server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from forwarder.core.action import Action, ActionRequest, ActionState, ActionTarget, EffectKind, Outcome, key_of
from forwarder.react.actions import okta as actions
from forwarder.react.ports import Answer, Seen
from forwarder.react.prompts.results import PromptProgress
from tests.unit.react.scene import Scene

change = msgspec.structs.replace


class Hanging(actions.OktaAct):
    """An act whose calls to the servers in `hangs` never return."""

    def __init__(self, *hangs: str) -> None:
        self.hangs = hangs
        self.called: list[str] = []

    def request(self, action: Action, seen: Seen) -> ActionRequest:
        return ActionRequest(action.settings["to"], "POST")

    async def call(self, action: Action, request: ActionRequest) -> Answer:
        self.called.append(request.to)
        if request.to in self.hangs:
            await asyncio.Event().wait()
        return Answer(200)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    made.acts = {**made.acts, "notify": Hanging("soc"), "risk_event": Hanging("risk")}
    made.guards._acts = made.acts
    await made.start()
    yield made
    await made.crash()


def sends(scene: Scene, name: str, to: str, alert: str, target: ActionTarget, **more: Any) -> Action:
    return change(
        scene.action("revoke_sessions", target.id, alert),
        key=key_of("acme", alert, name, target),
        name=name,
        kind=EffectKind.QUIET,
        target=target,
        settings={"to": to},
        **more,
    )


async def until_ended(scene: Scene, *rows: Action) -> None:
    """Run until all actions that do not hang have ended; at most eight run at the same time."""
    for _ in range(100):
        if not any(scene.row(row).is_open for row in rows):
            return
        await scene.rest()


def notify(scene: Scene, to: str, number: int) -> Action:
    return sends(scene, "notify", to, f"n{number}", ActionTarget("alert", f"n{number}"))


@pytest.mark.long
async def test_a_webhook_that_hangs_delays_neither_another_webhook_nor_an_org_nor_an_undo(scene: Scene) -> None:
    await scene.add(undone := scene.action("suspend", "00ulive"))
    await scene.rows.commit([notify(scene, "soc", number) for number in range(3000)])
    await scene.rest()
    await scene.add(other := notify(scene, "other", 9000), revoke := scene.action("revoke_sessions", "00u2", "a2"))
    assert scene.row(other).outcome is Outcome.DONE
    assert scene.row(revoke).outcome is Outcome.DONE
    await scene.pass_time(3601)
    assert scene.okta.status["00ulive"] == "ACTIVE"
    assert scene.row(undone).state is ActionState.ENDED
    assert scene.acts["notify"].called.count("soc") == 8  # type: ignore[attr-defined]
    assert len(scene.engine._tasks) <= 8


@pytest.mark.long
async def test_a_receiver_that_hangs_holds_back_nothing_else_about_its_users(scene: Scene) -> None:
    users = [f"00u{number}" for number in range(24)]
    await scene.rows.commit([sends(scene, "risk_event", "risk", "a1", ActionTarget("user", user)) for user in users])
    await scene.rest()
    revokes = [scene.action("revoke_sessions", user, "a2") for user in users]
    await scene.add(*revokes)
    await until_ended(scene, *revokes)
    assert {scene.row(revoke).outcome for revoke in revokes} == {Outcome.DONE}
    event = sends(scene, "risk_event", "risk", "a1", ActionTarget("user", users[0]))
    assert not scene.engine.lock(revokes[0]).locked()
    assert scene.engine.lock(event).locked()


async def test_a_call_that_hangs_for_one_user_delays_no_other_user(scene: Scene) -> None:
    hangs = asyncio.Event()
    real = scene.okta.call

    async def call(method: str, path: str, **more: Any) -> Answer:
        if "00uslow" in path:
            await hangs.wait()
        return await real(method, path, **more)

    scene.okta.call = call  # type: ignore[method-assign]
    slow = [scene.action("revoke_sessions", "00uslow", f"a{number}") for number in range(12)]
    await scene.add(*slow, other := scene.action("revoke_sessions", "00u2", "b"))
    assert scene.row(other).outcome is Outcome.DONE
    hangs.set()
    await until_ended(scene, *slow)
    assert {scene.row(one).outcome for one in slow} == {Outcome.DONE}


@pytest.mark.long
async def test_polls_of_prompts_delay_no_undo_and_no_call_of_their_org(scene: Scene) -> None:
    async def hang(action: Action) -> PromptProgress:
        await asyncio.Event().wait()
        raise AssertionError

    await scene.add(undone := scene.action("suspend", "00ulive"))
    scene.prompts.poll = hang  # type: ignore[method-assign]
    out = {"state": ActionState.PROMPTING, "called_at": scene.clock.now(), "handle": "h"}
    await scene.add(*(change(scene.action("prompt", f"00u{n}", f"p{n}"), **out) for n in range(50)))
    await scene.add(revoke := scene.action("revoke_sessions", "00uother", "a2"))
    assert scene.row(revoke).outcome is Outcome.DONE
    await scene.pass_time(3601)
    assert scene.row(undone).state is ActionState.ENDED


@pytest.mark.long
async def test_an_action_that_fails_unexpectedly_is_postponed_and_takes_no_slot(scene: Scene) -> None:
    failures = 0

    async def fail(action: Action) -> Seen:
        nonlocal failures
        failures += 1
        raise ValueError("a bug")

    scene.acts["revoke_sessions"].look = fail  # type: ignore[method-assign]
    await scene.add(*(scene.action("revoke_sessions", f"00u{n}", f"a{n}") for n in range(9)))
    await scene.add(suspend := scene.action("suspend", "00uother", "b"))
    assert scene.row(suspend).state is ActionState.LIVE
    assert failures == 9
    await scene.pass_time(59)
    assert failures == 9
    await scene.pass_time(2)
    assert failures == 18
