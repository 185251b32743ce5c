"""All bodies together stay within their budget, and the largest gives way."""

import asyncio

import pytest

from forwarder.receive.body_budget import BodyBudget, HeldBody, OverloadedError, budget_for

FREE = 65_536


async def test_small_bodies_do_not_count() -> None:
    budget = BodyBudget(1)
    bodies = [budget.body() for _ in range(100)]
    for body in bodies:
        body.grow(FREE)
    assert budget.held == 0
    with pytest.raises(OverloadedError):
        bodies[0].grow(2)


async def test_a_body_is_counted_until_it_is_released() -> None:
    budget = BodyBudget(1_000_000)
    with budget.body() as body:
        for _ in range(10):
            body.grow(20_000)
        assert budget.held == 200_000 - FREE
    assert budget.held == 0


async def evicted(budget: BodyBudget, *sizes: int) -> list[int]:
    """Sizes of the bodies that gave way while bodies of `sizes` grew in turn."""
    gave_way = []

    async def receive(size: int) -> None:
        try:
            with budget.body() as body:
                body.grow(FREE + size)
                await asyncio.Event().wait()
        except (OverloadedError, asyncio.CancelledError):
            gave_way.append(size)

    tasks = [asyncio.create_task(receive(size)) for size in sizes]
    for _ in range(3):
        await asyncio.sleep(0)
    result = list(gave_way)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return result


async def test_the_largest_gives_way_and_the_oldest_of_equals() -> None:
    assert await evicted(BodyBudget(100), 40, 50, 30) == [50]
    assert await evicted(BodyBudget(100), 40, 40, 30) == [40]
    assert await evicted(BodyBudget(100), 40, 40, 50) == [50]
    assert await evicted(BodyBudget(100), 60, 50, 55, 40, 30) == [55, 60, 50]


async def test_a_complete_body_does_not_give_way() -> None:
    budget = BodyBudget(100)
    complete, other = budget.body(), budget.body()
    complete.grow(FREE + 80)
    complete.receiving = False
    with pytest.raises(OverloadedError):
        other.grow(FREE + 30)
    assert not complete.evicted


async def test_the_task_of_a_body_that_gives_way_is_cancelled() -> None:
    budget = BodyBudget(100)
    held: list[HeldBody] = []

    async def receive() -> None:
        with budget.body() as body:
            held.append(body)
            body.grow(FREE + 90)
            await asyncio.Event().wait()

    task = asyncio.create_task(receive())
    await asyncio.sleep(0)
    with budget.body() as body:
        body.grow(FREE + 20)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert budget.held == 20
    assert held[0].evicted
    assert budget.held == 0


def test_the_budget_takes_several_of_the_largest_bodies() -> None:
    assert budget_for(1024) == 32 * 1024 * 1024
    assert budget_for(100 * 1024 * 1024) == 400 * 1024 * 1024
