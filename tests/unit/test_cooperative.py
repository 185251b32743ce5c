import asyncio

from forwarder.cooperative import Slices


async def test_long_work_lets_others_run_in_between() -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        slices = Slices(hold=0)
        for _ in range(3):
            order.append(name)
            await slices.breathe()

    await asyncio.gather(work("a"), work("b"))
    assert order == ["a", "b"] * 3


async def test_short_work_is_not_interrupted() -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        slices = Slices(hold=3600)
        for _ in range(3):
            order.append(name)
            await slices.breathe()

    await asyncio.gather(work("a"), work("b"))
    assert order == ["a"] * 3 + ["b"] * 3
