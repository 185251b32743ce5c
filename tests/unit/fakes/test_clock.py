"""The manual clock keeps the promises that the other tests rest on."""

import asyncio

from tests.fakes.clock import ManualClock, settle


async def test_time_stands_still_until_a_test_moves_it() -> None:
    clock = ManualClock(now=1_000)
    await settle()
    assert (clock.now(), clock.monotonic()) == (1_000, 0.0)
    await clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (2_501_000, 2.5)


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = ManualClock()
    woken: list[tuple[str, float]] = []

    async def nap(name: str, *naps: float) -> None:
        for seconds in naps:
            await clock.sleep(seconds)
            woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(nap("late", 3.0))
        group.create_task(nap("twice", 1.0, 1.0))
        await clock.asleep(2)
        assert clock.waits == [1.0, 3.0]
        await clock.advance(2.0)
        assert woken == [("twice", 1.0), ("twice", 2.0)]
        await clock.advance(1.0)
    assert woken[-1] == ("late", 3.0)


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(5))
    await clock.asleep()
    task.cancel()
    await settle()
    assert clock.waits == []
    await clock.advance(10)
