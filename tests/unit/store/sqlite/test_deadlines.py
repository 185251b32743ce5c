"""One timer for all waits: each ends at its time, none ends early, and a done future is left alone."""

import asyncio
from typing import Any

import pytest

from forwarder.store.sqlite.store import Deadlines


def deadlines() -> tuple[Deadlines, list[tuple[asyncio.Future[Any], float]]]:
    expired: list[tuple[asyncio.Future[Any], float]] = []

    def note(future: asyncio.Future[Any], seconds: float) -> None:
        expired.append((future, seconds))
        future.cancel()

    return Deadlines(note), expired


def futures(count: int) -> list[asyncio.Future[Any]]:
    return [asyncio.get_running_loop().create_future() for _ in range(count)]


@pytest.mark.long
async def test_each_future_expires_at_its_own_time_in_any_order() -> None:
    watched, expired = deadlines()
    late, soon, at_once = futures(3)
    for future, seconds in ((late, 0.12), (soon, 0.02), (at_once, 0.0)):
        watched.watch(future, seconds)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.wait([at_once], timeout=5)
    assert expired == [(at_once, 0.0)]
    await asyncio.wait([late], timeout=5)
    assert loop.time() - started >= 0.11
    assert expired == [(at_once, 0.0), (soon, 0.02), (late, 0.12)]


async def test_a_done_or_cancelled_future_does_not_expire() -> None:
    watched, expired = deadlines()
    done, cancelled, last = futures(3)
    for future in (done, cancelled, last):
        watched.watch(future, 0.01)
    done.set_result(None)
    cancelled.cancel()
    await asyncio.wait([last], timeout=5)
    assert expired == [(last, 0.01)]


async def test_a_forgotten_future_does_not_expire() -> None:
    watched, expired = deadlines()
    forgotten, last = futures(2)
    for future in (forgotten, last):
        watched.watch(future, 0.01)
    watched.forget(forgotten)
    await asyncio.wait([last], timeout=5)
    assert expired == [(last, 0.01)]


@pytest.mark.long
async def test_watching_resumes_after_a_pause() -> None:
    watched, expired = deadlines()
    for _ in range(2):
        (future,) = futures(1)
        watched.watch(future, 0.06)
        await asyncio.wait([future], timeout=5)
        assert expired.pop() == (future, 0.06)
