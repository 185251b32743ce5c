"""Converts the events of a batch to the form that a sink sends, and combines the results of the batch."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from msgspec.structs import replace

from forwarder.core.event import Event, StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason
from forwarder.event_loop_steps import Cooperative
from forwarder.sinks.conversion_child import Failure, attempt
from forwarder.sinks.conversion_process import ConversionProcess
from forwarder.sinks.response_verdicts import kept
from forwarder.threads import in_daemon_thread

_T = TypeVar("_T")

_LARGE = 32 * 1024
"""An event with so many bytes or more is converted in a thread. The conversion of a megabyte of objects takes half a second,
and on the event loop, no POST would be answered in this time. Okta's own events have some kilobytes."""


class Conversion(Generic[_T]):
    """Converts the events of each batch with one function, and sends them.

    Only one batch is converted at a time, even if several batches are in flight. So a POST never waits for more than one
    step of one conversion, and each batch is complete, and can be sent, as early as possible.
    """

    def __init__(self, convert: Callable[[Event], _T], *, in_child: bool = False) -> None:
        """Args: `convert` converts one event. `in_child` means that large batches are converted in a child process; then
        `convert` must be picklable."""
        self._convert = convert
        self._process = ConversionProcess(convert) if in_child else None
        self._turn = asyncio.Lock()

    async def send(
        self, batch: Sequence[StoredEvent], send: Callable[[list[int], list[_T]], Awaitable[BatchResult]]
    ) -> BatchResult:
        """Convert each event of `batch`, send the converted events by `send`, and return the result for the whole batch.

        An event that cannot be converted is rejected. `send` gets the `seq` numbers and the converted forms of the other
        events. It is not called if no event could be converted.
        """
        seqs: list[int] = []
        converted: list[_T] = []
        rejected: list[Rejection] = []
        async with self._turn:
            results = await self._results([stored.event for stored in batch])
        for stored, result in zip(batch, results, strict=True):
            if isinstance(result, Failure):
                rejected.append(Rejection(stored.seq, RejectReason.UNMAPPABLE, kept(result.detail)))
            else:
                seqs.append(stored.seq)
                converted.append(result)
        sent = await send(seqs, converted) if seqs else BatchResult()
        return replace(sent, rejected=[*rejected, *sent.rejected]) if rejected else sent

    def close(self) -> None:
        """End the child process, if there is one."""
        if self._process:
            self._process.close()

    async def _results(self, events: Sequence[Event]) -> list[_T | Failure]:
        results = await self._process.convert(events) if self._process else None
        if results is not None:
            return results
        results = []
        cooperative = Cooperative()
        for event in events:
            if len(event.body) < _LARGE:
                results.append(attempt(self._convert, event))
            else:
                results.append(await in_daemon_thread(partial(attempt, self._convert, event), "convert"))
            await cooperative.yield_if_due()
        return results


async def send_beside(
    events: BatchResult,
    alerts: Sequence[StoredEvent],
    send: Callable[[Sequence[StoredEvent]], Awaitable[BatchResult]],
) -> BatchResult:
    """Send `alerts` by `send`, and return one result for the whole batch.

    `events` is the result of the other events of the batch, which were sent before. If the sink failed as a whole for these,
    `alerts` are not sent now, and their outcome is retry. Otherwise, if the batch has other events, a failure of `alerts`
    does not count as a failure of the sink as a whole, because the sink has just accepted or rejected other events.
    """
    if events.whole or events.pause:
        return replace(events, retry=[*events.retry, *(stored.seq for stored in alerts)])
    result = await send(alerts)
    both = replace(
        events if events.retry else result,
        delivered=[*events.delivered, *result.delivered],
        retry=[*events.retry, *result.retry],
        rejected=[*events.rejected, *result.rejected],
    )
    return both if not events.made_progress and not events.retry else replace(both, whole=False, pause=False)
