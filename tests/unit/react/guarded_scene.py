"""The scene of the engine, with the real guards."""

from typing import Any

import msgspec

from forwarder.core.action import Action, Waits
from forwarder.core.time import Micros
from forwarder.react.guards.guards import Guards
from forwarder.react.guards.judgement import Judgement
from forwarder.react.guards.pauses import Pauses
from forwarder.react.ports import Seen
from forwarder.react.settings.guards import GuardSettings
from tests.unit.react.guard_scene import by_rule
from tests.unit.react.scene import FakeGuards, Scene


class _RealGuards(FakeGuards):
    """The real guards. They use the memory of the scene, which each start replaces, and look at the targets of the scene."""

    def __init__(self, scene: "GuardedScene") -> None:
        super().__init__({})
        self._scene = scene
        self._made: tuple[object, object, Guards] | None = None

    async def judge(self, action: Action, now: Micros) -> Judgement:
        scene = self._scene
        if self._made is None or self._made[:2] != (scene.memory, scene.settings):
            store, memory, clock = scene.store, scene.memory, scene.clock
            guards = Guards(scene.settings, scene.okta, self.look, store, memory, pauses=Pauses, now=clock.now)
            self._made = (memory, scene.settings, guards)
        return await self._made[2].judge(action, now)

    async def look(self, action: Action) -> Seen:
        return await self._scene.acts[action.name].look(action)


class GuardedScene(Scene):
    """A scene with real guards. `guard` changes their settings, as a reload does."""

    def __init__(self) -> None:
        super().__init__()
        self.guards = _RealGuards(self)
        self.guard()

    def guard(self, **settings: Any) -> None:
        self.settings = GuardSettings(**{"mode": "enforce", "mode_of": by_rule({"r1": "enforce"}), **settings})

    async def decide(self, *, given: bool) -> None:
        """Approve or refuse the actions that wait for a human."""
        now = self.clock.now()
        for row in [one for one in self.memory.open() if one.waits_for is Waits.APPROVAL]:
            assert row.approval is not None
            approval = msgspec.structs.replace(row.approval, given=given, by="ada", at=now)
            await self.add(msgspec.structs.replace(row, approval=approval, due=now))
