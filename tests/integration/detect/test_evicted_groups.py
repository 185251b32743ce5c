"""The count of groups that the rules had to forget."""

import asyncio
from pathlib import Path

from forwarder.core.action import ActionStore
from forwarder.core.event import Event
from forwarder.core.ports import Batch
from forwarder.core.time import SECOND, Micros
from forwarder.detect.runner import RuleRunner
from forwarder.metrics import Metrics
from forwarder.react.prompts.muted import Muted
from forwarder.rules.settings import RulesSettings
from tests.fakes.clock import NOON, ManualClock
from tests.integration.store.helpers import opened
from tests.unit.rules.days import ALONE, made
from tests.waiting import until


class HeldPrompts(Muted):
    """Prompts that are loaded only when `may_load` is set, so that new rules cannot read earlier events before."""

    def __init__(self) -> None:
        super().__init__()
        self.may_load = asyncio.Event()
        self.may_load.set()

    async def load(self, store: ActionStore, since: Micros) -> None:
        await self.may_load.wait()
        await super().load(store, since)


def by(*actors: str, first: int = 0) -> list[Event]:
    return [made(first + n, NOON, "alone", actor, "192.0.2.1") for n, actor in enumerate(actors)]


async def test_a_reload_counts_no_forgotten_group_again(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(ALONE)
    tree = {"files": [str(tmp_path / "rules.yml")], "max_keys": 2}
    metrics, prompts = Metrics(), HeldPrompts()
    async with opened(tmp_path / "store.db") as store:
        runner = RuleRunner(store, metrics, ManualClock(NOON + 60 * SECOND), prompts)

        async def evaluate(events: list[Event]) -> float | None:
            await store.append(Batch(events), timeout=5)
            await until(lambda: runner.position == store.view.newest)
            return metrics.registry.get_sample_value("forwarder_rule_state_evicted_total")

        try:
            first = RulesSettings.model_validate(tree)
            await runner.apply(first, await runner.build(first))
            await until(lambda: runner.position is not None)
            assert await evaluate(by(*(f"u{n}" for n in range(10)))) == 8
            prompts.may_load.clear()
            second = RulesSettings.model_validate(tree | {"again": "2h"})
            await runner.apply(second, await runner.build(second))
            assert await evaluate(by("u9", first=10)) == 8
        finally:
            await runner.stop()
