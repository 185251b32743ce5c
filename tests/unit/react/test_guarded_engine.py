"""The engine and the real guards together: the guards count what the engine does."""

from collections.abc import AsyncIterator

import pytest

from forwarder.core.action import ActionState, Outcome, Reason, Waits
from forwarder.react.settings.guards import Limit
from tests.unit.react.guarded_scene import GuardedScene


@pytest.fixture
async def scene() -> AsyncIterator[GuardedScene]:
    made = GuardedScene()
    await made.start()
    yield made
    await made.crash()


@pytest.mark.long
async def test_unsent_calls_in_an_outage_do_not_use_up_the_limit(scene: GuardedScene) -> None:
    scene.guard(confirm=frozenset(), limits={"timed": Limit(10, 3600)})
    scene.okta.faults = ["unsent"] * 10_000
    first = [scene.action("suspend", f"00u{number}", f"a{number}", approve=False) for number in range(10)]
    await scene.add(*first)
    for _ in range(15):
        await scene.pass_time(60)
    assert {(scene.row(row).outcome, scene.row(row).reason) for row in first} == {(Outcome.FAILED, Reason.LATE)}
    assert scene.okta.calls == []
    scene.okta.faults = []
    await scene.add(*(later := [scene.action("suspend", f"00ux{n}", f"b{n}", approve=False) for n in range(11)]))
    for _ in range(5):
        await scene.rest()
    assert [scene.row(row).state for row in later] == [ActionState.LIVE] * 10 + [ActionState.WAITING]
    assert (scene.row(later[10]).reason, scene.row(later[10]).waits_for) == (Reason.LIMIT, Waits.APPROVAL)


async def test_no_user_is_added_to_a_group_with_an_admin_role(scene: GuardedScene) -> None:
    scene.guard(confirm=frozenset())
    scene.okta.group_roles = [{"type": "SUPER_ADMIN"}]
    await scene.add(group := scene.action("add_to_group"))
    row = scene.row(group)
    assert (row.outcome, row.reason, scene.okta.calls) == (Outcome.REFUSED, Reason.TARGET, [])
    assert row.detail == (
        "members of the group 'Step-up' have an admin role; remove the role from the group, or name another group"
    )


async def test_the_roles_of_a_group_are_looked_up_again_while_okta_does_not_answer(scene: GuardedScene) -> None:
    scene.guard(confirm=frozenset())
    scene.okta.group_roles = None
    await scene.add(group := scene.action("add_to_group"))
    assert (scene.row(group).waits_for, scene.okta.calls) == (Waits.RETRY, [])
    scene.okta.group_roles = []
    await scene.pass_time(60)
    assert scene.row(group).state is ActionState.LIVE
