"""The engine: the row is stored before the call, no effect is made twice, and every effect is undone, whatever fails."""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import msgspec
import pytest

from forwarder.core.action import Action, ActionState, Approval, End, Outcome, Reason, Waits
from forwarder.core.time import SECOND
from forwarder.react.guards.judgement import Decision, Judgement
from forwarder.react.prompts.results import PromptProgress, Reply
from tests.unit.react.scene import Scene


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    await made.start()
    yield made
    await made.crash()


async def test_a_row_is_stored_before_its_call_is_sent(scene: Scene) -> None:
    await scene.add(suspend := scene.action("suspend"))
    log = [entry for entry in scene.store.log if entry[0] == "call" or entry[2] != "planned"]
    assert [entry[0] for entry in log] == ["row", "call", "row"]
    assert log[0][2] == "calling"
    row = scene.row(suspend)
    assert (row.state, row.outcome) == (ActionState.LIVE, Outcome.DONE)
    assert row.before["status"] == "ACTIVE"
    assert row.after["status"] == "SUSPENDED"
    assert row.request is not None
    assert row.request.path == "/api/v1/users/00u1/lifecycle/suspend"


@pytest.mark.long
async def test_an_effect_is_undone_when_its_time_is_over(scene: Scene) -> None:
    await scene.add(suspend := scene.action("suspend"), group := scene.action("add_to_group"))
    assert scene.okta.members == {"00u1"}
    await scene.pass_time(3599)
    assert scene.okta.status["00u1"] == "SUSPENDED"
    await scene.pass_time(2)
    assert (scene.okta.status["00u1"], scene.okta.members) == ("ACTIVE", set())
    assert {scene.row(one).end for one in (suspend, group)} == {End.UNDONE}


@pytest.mark.long
async def test_an_undo_with_a_remaining_effect_has_a_note_in_the_row(scene: Scene) -> None:
    await scene.add(group := scene.action("add_to_group"))
    scene.okta.note = "a larger entry is still there"
    await scene.pass_time(3601)
    assert (scene.row(group).end, scene.row(group).detail) == (End.UNDONE, "a larger entry is still there")


@pytest.mark.long
async def test_a_later_change_by_others_is_not_undone(scene: Scene) -> None:
    await scene.add(suspend := scene.action("suspend"))
    await scene.pass_time(10)
    scene.okta.set_status("00u1", "ACTIVE")
    scene.okta.set_status("00u1", "SUSPENDED")  # an admin's own suspension
    await scene.pass_time(4000)
    assert scene.okta.status["00u1"] == "SUSPENDED"
    assert scene.row(suspend).end is End.NOT_OURS


@pytest.mark.long
async def test_an_effect_on_a_deleted_user_needs_no_undo(scene: Scene) -> None:
    await scene.add(suspend := scene.action("suspend"))
    scene.okta.gone.add("00u1")
    await scene.pass_time(4000)
    assert scene.row(suspend).end is End.NOT_OURS


@pytest.mark.long
@pytest.mark.parametrize("fault", ["after", "lost"])
async def test_a_call_that_succeeded_with_an_error_has_one_effect_that_is_undone(scene: Scene, fault: str) -> None:
    scene.okta.faults = [fault]
    await scene.add(group := scene.action("add_to_group"), risk := scene.action("user_risk"))
    await scene.pass_time(120)
    assert scene.row(group).state is ActionState.LIVE
    assert scene.row(risk).outcome is Outcome.DONE
    assert len([effect for effect in scene.okta.effects if "groups" in effect[1]]) == 1
    await scene.pass_time(4000)
    assert scene.okta.members == set()


async def test_a_call_that_was_not_sent_does_not_count(scene: Scene) -> None:
    scene.okta.faults = ["unsent"]
    await scene.add(revoke := scene.action("revoke_sessions"))
    row = scene.row(revoke)
    assert (row.called_at, row.waits_for) == (None, Waits.RETRY)
    await scene.pass_time(5)
    assert scene.row(revoke).outcome is Outcome.DONE


async def test_a_call_over_the_rate_limit_is_repeated_after_the_reset(scene: Scene) -> None:
    scene.okta.faults = ["429"]
    await scene.add(revoke := scene.action("revoke_sessions"))
    assert scene.row(revoke).waits_for is Waits.RETRY
    await scene.pass_time(29)
    assert len(scene.okta.calls) == 1
    await scene.pass_time(2)
    assert len(scene.okta.calls) == 2
    assert scene.row(revoke).outcome is Outcome.DONE


@pytest.mark.long
async def test_a_refusal_is_final(scene: Scene) -> None:
    scene.okta.faults = ["403"]
    await scene.add(revoke := scene.action("revoke_sessions"))
    await scene.pass_time(3600)
    assert len(scene.okta.calls) == 1
    row = scene.row(revoke)
    assert (row.outcome, row.error_id, row.detail) == (Outcome.FAILED, "oae1", "refused with 403")


@pytest.mark.long
async def test_an_undo_is_retried_until_okta_answers(scene: Scene) -> None:
    await scene.add(suspend := scene.action("suspend"))
    scene.okta.faults = ["before"] * 20
    await scene.pass_time(3600 + 900)
    assert scene.row(suspend).end is End.UNDONE
    assert scene.okta.status["00u1"] == "ACTIVE"


_ODD_BODIES = [None, "maintenance", {}, [7], {"id": "00u1"}, {"status": 7}]


@pytest.mark.long
@pytest.mark.parametrize("body", _ODD_BODIES)
async def test_an_undo_is_retried_until_a_response_shows_the_target(scene: Scene, body: Any) -> None:
    await scene.add(suspend := scene.action("suspend"), group := scene.action("add_to_group"))
    scene.okta.bodies = {"00u1": [body], "groups": [body]}
    await scene.pass_time(3700)
    assert (scene.okta.status["00u1"], scene.okta.members) == ("ACTIVE", set())
    assert {scene.row(one).end for one in (suspend, group)} == {End.UNDONE}


async def test_a_user_without_a_risk_level_gets_one(scene: Scene) -> None:
    scene.okta.bodies = {"risk": [{"_links": {}}]}
    await scene.add(scene.action("user_risk"))
    assert scene.okta.risk == {"00u1": "HIGH"}


@pytest.mark.parametrize("body", [None, "maintenance", {}, [7]])
async def test_no_user_is_added_to_a_group_whose_roles_cannot_be_read(scene: Scene, body: Any) -> None:
    scene.okta.bodies = {"roles": [body] * 100}
    await scene.add(group := scene.action("add_to_group"))
    assert (scene.row(group).state, scene.okta.members) == (ActionState.WAITING, set())


@pytest.mark.parametrize("body", [None, {}, [7], [{"id": "00g1", "profile": "Step-up"}]])
async def test_a_list_of_groups_that_cannot_be_read_is_looked_up_again(scene: Scene, body: Any) -> None:
    scene.okta.bodies = {"groups": [body]}
    await scene.add(scene.action("add_to_group"))
    await scene.pass_time(60)
    assert scene.okta.members == {"00u1"}


@pytest.mark.long
async def test_if_a_guard_stops_a_repetition_the_earlier_effect_is_found(scene: Scene) -> None:
    scene.okta.faults = ["after"]
    scene.guards.say["suspend"] = lambda action: (
        Judgement(Decision.REFUSE, Reason.LATE, "too late") if action.called_at else None
    )
    await scene.add(suspend := scene.action("suspend"))
    await scene.pass_time(60)
    assert scene.row(suspend).state is ActionState.LIVE
    await scene.pass_time(4000)
    assert scene.okta.status["00u1"] == "ACTIVE"


async def test_if_a_guard_stops_a_repetition_without_effect_the_action_fails(scene: Scene) -> None:
    scene.okta.faults = ["before"]
    scene.guards.say["suspend"] = lambda action: (
        Judgement(Decision.REFUSE, Reason.LATE, "too late") if action.called_at else None
    )
    await scene.add(suspend := scene.action("suspend"))
    await scene.pass_time(60)
    row = scene.row(suspend)
    assert (row.outcome, row.reason) == (Outcome.FAILED, Reason.LATE)


@pytest.mark.long
async def test_an_effect_that_is_there_already_is_not_made_and_not_undone(scene: Scene) -> None:
    scene.okta.set_status("00u1", "SUSPENDED")
    await scene.add(suspend := scene.action("suspend"))
    await scene.pass_time(4000)
    assert scene.okta.calls == []
    assert scene.row(suspend).outcome is Outcome.NO_OP


async def test_shadow_records_the_request_and_calls_nothing(scene: Scene) -> None:
    scene.guards.say["add_to_group"] = lambda _: Judgement(Decision.SHADOW, Reason.SHADOW, "")
    await scene.add(group := scene.action("add_to_group"))
    row = scene.row(group)
    assert (row.outcome, scene.okta.calls) == (Outcome.SHADOW, [])
    assert row.request is not None
    assert (row.request.method, row.request.path) == ("PUT", "/api/v1/groups/00g1/users/00u1")


@pytest.mark.long
async def test_a_later_action_moves_the_end_of_a_live_effect(scene: Scene) -> None:
    await scene.add(first := scene.action("suspend"))
    await scene.pass_time(1800)
    scene.guards.say["suspend"] = lambda _: Judgement(Decision.NO_OP, Reason.LIVE, moves=first.key)
    await scene.add(second := scene.action("suspend", alert="a2"))
    assert scene.row(second).outcome is Outcome.NO_OP
    await scene.pass_time(3000)
    assert scene.okta.status["00u1"] == "SUSPENDED"
    await scene.pass_time(700)
    assert scene.okta.status["00u1"] == "ACTIVE"


async def test_an_action_that_waits_for_a_human_is_announced_once(scene: Scene) -> None:
    now = scene.clock.now()
    until = now + 900 * SECOND

    def asks(action: Action) -> Judgement | None:
        if action.approval and action.approval.given:
            return None
        wait = Judgement(Decision.WAIT, Reason.APPROVAL, "a human approves it", Waits.APPROVAL, until)
        return wait_with(wait, Approval(until))

    def wait_with(found: Judgement, approval: Approval) -> Judgement:
        return msgspec.structs.replace(found, approval=approval)

    scene.guards.say["suspend"] = asks
    await scene.add(suspend := scene.action("suspend"))
    await scene.pass_time(60)
    assert [one.key for one in scene.announcements] == [suspend.key]
    assert scene.okta.calls == []
    assert scene.row(suspend).approval == Approval(until)


async def test_a_prompt_is_polled_when_due_and_actions_follow_its_answer(scene: Scene) -> None:
    due = scene.clock.now() + 5 * SECOND
    scene.prompts.script = [PromptProgress(handle="h", due=due), PromptProgress(Reply.DENIED, detail="denied")]
    scene.after["denied"] = [scene.action("revoke_sessions")]
    await scene.add(prompt := scene.action("prompt", by="push"))
    assert scene.row(prompt).state is ActionState.PROMPTING
    await scene.pass_time(6)
    row = scene.row(prompt)
    assert (row.answer, row.outcome, row.handle) == ("denied", Outcome.DONE, "")
    assert scene.okta.calls == [("DELETE", "/api/v1/users/00u1/sessions?oauthTokens=true")]


@pytest.mark.long
async def test_a_prompt_is_never_sent_again_after_a_crash_during_its_send(scene: Scene) -> None:
    prompt = scene.action("prompt", by="push")
    await scene.crash()
    calling = {"state": ActionState.CALLING, "called_at": scene.clock.now()}
    scene.store.rows[prompt.key] = msgspec.structs.replace(prompt, **calling)
    await scene.start()
    await scene.pass_time(600)
    assert scene.prompts.sent == []
    assert (scene.row(prompt).answer, scene.row(prompt).outcome) == ("unknown", Outcome.UNKNOWN)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
async def test_despite_faults_crashes_and_redeliveries_no_effect_is_made_twice_and_every_effect_ends(seed: int) -> None:
    random, scene = Random(seed), Scene()
    await scene.start()
    names = ["suspend", "add_to_group", "revoke_sessions", "user_risk"]
    made: list[Action] = []
    for number in range(12):
        scene.okta.faults += random.choices(["", "before", "after", "lost", "429"], k=3)
        scene.okta.look_faults += random.choices([503], k=random.randint(0, 1))
        action = scene.action(random.choice(names), f"00u{number}", f"a{number}")
        planned_again = random.sample(made, min(len(made), random.randint(0, 2)))  # as a redelivery does
        made.append(action)
        await scene.rows.commit([action, *planned_again])
        for _ in range(random.randint(0, 60)):
            await asyncio.sleep(0)
        if random.random() < 0.5:
            await scene.crash()
            await scene.start()
        await scene.pass_time(random.choice([0, 1, 40, 700]))
    scene.okta.faults, scene.okta.look_faults = [], []
    for _ in range(20):
        await scene.pass_time(900)
    rows = [scene.row(action) for action in made]
    assert {row.state for row in rows} == {ActionState.ENDED}
    assert (set(scene.okta.status.values()) - {"ACTIVE"}, scene.okta.members) == (set(), set())
    for action in made:
        effects = [path for _, path in scene.okta.effects if action.target.id in path.split("/")]
        if action.name == "suspend":
            assert [path.rpartition("/")[2] for path in effects] == ["suspend", "unsuspend"]
        planned = scene.store.log.index(("row", action.key, "planned"))
        first = next(
            (
                at
                for at, one in enumerate(scene.store.log)
                if one[0] == "call" and action.target.id in one[2].split("/")
            ),
            len(scene.store.log),
        )
        assert planned < scene.store.log.index(("row", action.key, "calling")) < first
    await scene.crash()


async def test_a_prompt_in_shadow_records_the_request_and_is_not_sent(scene: Scene) -> None:
    scene.guards.say["prompt"] = lambda _: Judgement(Decision.SHADOW, Reason.SHADOW, "")
    await scene.add(prompt := scene.action("prompt", by="push"))
    row = scene.row(prompt)
    assert (row.outcome, scene.prompts.sent) == (Outcome.SHADOW, [])
    assert row.request is not None
    assert (row.request.method, row.request.path) == ("POST", "/api/v1/users/00u1/factors/opf1/verify")
    scene.prompts.prepared = PromptProgress(Reply.UNREACHABLE, detail="no push factor")
    await scene.add(other := scene.action("prompt", alert="a2", by="push"))
    assert (scene.row(other).outcome, scene.row(other).detail) == (Outcome.SHADOW, "no push factor")


async def test_the_guards_judge_again_after_the_look_up_of_a_prompt(scene: Scene) -> None:
    said = [Judgement(Decision.GO), Judgement(Decision.REFUSE, Reason.PAUSED, "paused")]
    scene.guards.say["prompt"] = lambda _: said.pop(0)
    await scene.add(prompt := scene.action("prompt", by="push"))
    assert (scene.row(prompt).outcome, scene.row(prompt).reason) == (Outcome.REFUSED, Reason.PAUSED)
    assert scene.prompts.sent == []


async def test_unreachable_is_an_answer_that_actions_follow(scene: Scene) -> None:
    scene.prompts.prepared = PromptProgress(Reply.UNREACHABLE, detail="no push factor")
    scene.after["unreachable"] = [scene.action("revoke_sessions")]
    await scene.add(prompt := scene.action("prompt", by="push"))
    row = scene.row(prompt)
    assert (row.answer, row.outcome, row.called_at) == ("unreachable", Outcome.DONE, None)
    assert scene.prompts.sent == []
    assert len(scene.okta.calls) == 1
