"""Whatever a sink does with a batch, an outcome comes back."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
import structlog

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.deliver.batching import Pending
from forwarder.deliver.flight import fly
from tests.unit.deliver.helpers import events


class Sink:
    """Answers by a coroutine function."""

    def __init__(self, answer: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._answer = answer

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        outcome: BatchResult = await self._answer()
        return outcome

    async def close(self) -> None:
        """Nothing to let go of."""


BATCH = [Pending(StoredEvent(n, event)) for n, event in enumerate(events(3), start=1)]


async def _garbage() -> Any:
    return "200 OK"


async def _nothing() -> Any:
    return None


async def _raise() -> Any:
    raise RuntimeError("oops")


async def _cancel() -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize("answer", [_garbage, _nothing, _raise, _cancel])
async def test_what_a_sink_must_not_do_is_a_retry(answer: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    with structlog.testing.capture_logs():
        landed = await fly("siem", Sink(answer), BATCH, 1.0)
    assert landed.parts.retry == BATCH
    assert (landed.outcome.reason, landed.outcome.whole) == (RetryReason.UNKNOWN, True)


async def test_no_answer_in_time_is_a_retry_and_the_send_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def hang() -> Any:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    landed = await fly("siem", Sink(hang), BATCH, 0.01)
    assert (landed.parts.retry, landed.outcome.reason) == (BATCH, RetryReason.TIMEOUT)
    assert cancelled.is_set()


async def test_a_flight_that_is_called_off_raises() -> None:
    async def hang() -> Any:
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(fly("siem", Sink(hang), BATCH, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
