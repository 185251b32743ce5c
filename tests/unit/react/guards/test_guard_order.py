"""The first guard that returns a judgement decides. The order is that of `Reason`."""

from collections.abc import Callable
from itertools import combinations

import pytest

from forwarder.core.action import Action, ActionState, Reason
from forwarder.core.time import SECOND
from forwarder.react.ports import Answer, Seen
from forwarder.react.settings.guards import Limit
from tests.fakes.actions import USER, action
from tests.unit.react.guard_scene import Scene, change

SETTINGS = {"group": "00gstepup"}


def off(scene: Scene, row: Action) -> Action:
    scene.reload(change(scene.settings, mode="off"))
    return row


def paused(scene: Scene, row: Action) -> Action:
    scene.pauses = scene.pauses.pause("", "a test", scene.now)
    return row


def late(scene: Scene, row: Action) -> Action:
    return change(row, published=scene.now - 3600 * SECOND)


def own(scene: Scene, row: Action) -> Action:  # all have one form
    return change(row, made_by=("0oaforwarder",))


def protected(scene: Scene, row: Action) -> Action:
    scene.okta.user_roles[USER.id] = ["SUPER_ADMIN"]
    return row


def address(scene: Scene, row: Action) -> Action:
    scene.store.users = 99
    return row


def state(scene: Scene, row: Action) -> Action:
    scene.looks.seen = Seen(Answer(200), "so", is_so=True)
    return row


def live(scene: Scene, row: Action) -> Action:
    other = action(row.name, 90, settings=row.settings, target=row.target)
    scene.memory.put(change(other, state=ActionState.CALLING, called_at=scene.now))
    return row


def hold(scene: Scene, row: Action) -> Action:
    undone = action(
        "suspend", 91, target=row.target, state=ActionState.ENDED, undone_at=scene.now, undone_by="hand:ada"
    )
    scene.memory.put(undone)
    return row


def unconfirmed(scene: Scene, row: Action) -> Action:
    scene.okta.log.clear()
    return row


def limit(scene: Scene, row: Action) -> Action:
    scene.reload(change(scene.settings, limits={"per_rule": Limit(0, 3600)}))
    return row


def approval(scene: Scene, row: Action) -> Action:
    return change(row, settings={**row.settings, "approve": True})


def shadow(scene: Scene, row: Action) -> Action:
    return change(row, mode="shadow")


SPEAKS: dict[Reason, Callable[[Scene, Action], Action]] = {
    Reason.OFF: off,
    Reason.PAUSED: paused,
    Reason.LATE: late,
    Reason.OWN: own,
    Reason.PROTECTED: protected,
    Reason.ADDRESS: address,
    Reason.STATE: state,
    Reason.LIVE: live,
    Reason.HOLD: hold,
    Reason.UNCONFIRMED: unconfirmed,
    Reason.LIMIT: limit,
    Reason.APPROVAL: approval,
    Reason.SHADOW: shadow,
}
NEVER_BOTH = {
    (Reason.PROTECTED, Reason.ADDRESS),  # a user or an address
    (Reason.STATE, Reason.LIVE),  # what is so by our own effect is `live`
}


def base(*reasons: Reason) -> Action:
    """Return an action that each guard can stop."""
    if Reason.ADDRESS in reasons:
        return action("block_ip", settings={"approve": False})
    return action("add_to_group", settings=SETTINGS)


def test_the_order_of_the_guards_is_that_of_the_reasons() -> None:
    assert list(SPEAKS) == list(Reason)[: len(SPEAKS)]


@pytest.mark.parametrize("reason", SPEAKS)
async def test_each_guard_stops_an_action_alone(reason: Reason) -> None:
    scene = Scene()
    assert (await scene.judge(SPEAKS[reason](scene, base(reason)))).reason is reason


@pytest.mark.parametrize(("first", "second"), [pair for pair in combinations(SPEAKS, 2) if pair not in NEVER_BOTH])
async def test_the_first_of_two_guards_decides(first: Reason, second: Reason) -> None:
    for order in ((first, second), (second, first)):
        scene = Scene()
        row = base(first, second)
        for reason in order:
            row = SPEAKS[reason](scene, row)
        assert (await scene.judge(row)).reason is first


async def test_the_first_of_the_remaining_guards_decides_until_none_is_left() -> None:
    for skipped in (Reason.ADDRESS, Reason.STATE), (Reason.PROTECTED, Reason.STATE):
        left = [reason for reason in SPEAKS if reason not in skipped]
        while left:
            scene = Scene()
            row = base(Reason.ADDRESS) if Reason.PROTECTED in skipped else base()
            for reason in left:
                row = SPEAKS[reason](scene, row)
            assert (await scene.judge(row)).reason is left.pop(0)
