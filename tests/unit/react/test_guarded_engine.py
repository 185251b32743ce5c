"""The engine and the real guards together: what one does is what the other counts."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from forwarder.core.action import Outcome, Reason, State, Waits
from forwarder.react.guard_values import GuardSettings, Limit
from forwarder.react.guards import Guards
from forwarder.react.pauses import Pauses
from forwarder.reactions import _Looks
from tests.unit.react.scene import Scene


class Guarded(Scene):
    """A scene whose guards are the real ones."""

    def guard(self, **settings: Any) -> None:
        values = GuardSettings(mode="enforce", confirm=frozenset(), **settings)
        looks = _Looks(self.acts)
        self.judge = Guards(  # type: ignore[assignment]
            values, self.okta, looks, self.store, self.book, pauses=Pauses, clock=self.clock
        )


@pytest.fixture
async def scene() -> AsyncIterator[Guarded]:
    made = Guarded()
    await made.start()
    yield made
    await made.crash()


async def test_calls_that_never_left_in_an_outage_leave_the_limit_to_the_next_alert(scene: Guarded) -> None:
    scene.guard(limits={"timed": Limit(10, 3600)})
    scene.okta.faults = ["unsent"] * 10_000
    first = [scene.action("suspend", f"00u{number}", f"a{number}", approve=False) for number in range(10)]
    await scene.add(*first)
    for _ in range(15):
        await scene.pass_time(60)
    assert {(scene.row(row).outcome, scene.row(row).reason) for row in first} == {
        (Outcome.REFUSED, Reason.LATE)
    }
    assert scene.okta.calls == []
    scene.okta.faults = []
    await scene.add(
        *(later := [scene.action("suspend", f"00ux{n}", f"b{n}", approve=False) for n in range(11)])
    )
    for _ in range(5):
        await scene.rest()
    assert [scene.row(row).state for row in later] == [State.LIVE] * 10 + [State.WAITING]
    assert (scene.row(later[10]).reason, scene.row(later[10]).waits_for) == (Reason.LIMIT, Waits.APPROVAL)
