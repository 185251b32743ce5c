"""Rows are committed before they are used, even if the store reports an error."""

import asyncio
from collections.abc import Sequence

import pytest

from forwarder.core.action import Action
from forwarder.core.errors import StoreError
from forwarder.core.ports import Batch
from forwarder.metrics import Metrics
from forwarder.react.action_rows.changes import Rows
from forwarder.react.action_rows.in_memory import ActionsInMemory
from forwarder.react.metrics import ReactionMetrics
from tests.fakes.actions import action
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore


class FailsOnce(MemoryStore):
    """Fails the first commit of actions: before the commit, or right after it."""

    committed: bool
    failed = False

    async def commit_actions(self, batch: Batch, actions: Sequence[Action]) -> frozenset[str]:
        if self.failed:
            return await super().commit_actions(batch, actions)
        self.failed = True
        if self.committed:
            await super().commit_actions(batch, actions)
        raise StoreError("the files were moved")


@pytest.mark.parametrize("committed", [False, True])
async def test_an_action_whose_commit_was_not_confirmed_is_carried_out_without_a_restart(*, committed: bool) -> None:
    clock, memory = ManualClock(), ActionsInMemory()
    store = FailsOnce(clock)
    store.committed = committed
    rows = Rows(store, memory, ReactionMetrics(Metrics(), clock), clock, lambda _: None)
    planned = action()
    commit = asyncio.create_task(rows.commit([planned]))
    await clock.asleep()
    await clock.advance(60)
    await commit
    assert memory.due(clock.now()) == [planned]


async def test_an_ended_action_is_not_planned_again() -> None:
    clock, memory = ManualClock(), ActionsInMemory()
    store = MemoryStore(clock)
    rows = Rows(store, memory, ReactionMetrics(Metrics(), clock), clock, lambda _: None)
    await store.commit_actions(Batch(), [action()])
    await rows.commit([action()])
    assert memory.open() == []
