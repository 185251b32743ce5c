import asyncio

from forwarder.event_loop_steps import Cooperative


async def test_long_work_lets_others_run_in_between() -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        cooperative = Cooperative(hold_seconds=0)
        for _ in range(3):
            order.append(name)
            await cooperative.yield_if_due()

    await asyncio.gather(work("a"), work("b"))
    assert order == ["a", "b"] * 3


async def test_short_work_is_not_interrupted() -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        cooperative = Cooperative(hold_seconds=3600)
        for _ in range(3):
            order.append(name)
            await cooperative.yield_if_due()

    await asyncio.gather(work("a"), work("b"))
    assert order == ["a"] * 3 + ["b"] * 3
