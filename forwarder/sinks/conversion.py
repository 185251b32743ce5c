"""Converts the events of a batch to the form that a sink sends, and combines the results."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from forwarder.cooperative import Cooperative
from forwarder.core.errors import UnmappableError
from forwarder.core.event import Event, StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason
from forwarder.sinks.outcomes import kept

_T = TypeVar("_T")


async def send_converted(
    batch: Sequence[StoredEvent],
    convert: Callable[[Event], _T],
    send: Callable[[list[int], list[_T]], Awaitable[BatchResult]],
) -> BatchResult:
    """Convert each event of `batch`, send the converted events, and return the result for the whole batch.

    An event for which `convert` raises an exception is rejected, whatever the exception is. So a bug in the conversion
    makes a dead letter of this event, which can be replayed, and does not stop the sink. `send` gets the `seq` numbers
    and the converted events; it is not called if no event could be converted.
    """
    cooperative = Cooperative()
    seqs: list[int] = []
    converted: list[_T] = []
    rejected: list[Rejection] = []
    for stored in batch:
        try:
            converted.append(convert(stored.event))
            seqs.append(stored.seq)
        except Exception as error:  # noqa: BLE001  # see above
            detail = str(error)
            if not isinstance(error, UnmappableError):
                detail = f"the event cannot be converted: {type(error).__name__}: {error}"
            rejected.append(Rejection(stored.seq, RejectReason.UNMAPPABLE, kept(detail)))
        await cooperative.yield_if_due()
    result = await send(seqs, converted) if seqs else BatchResult()
    return replace(result, rejected=[*rejected, *result.rejected]) if rejected else result


async def send_beside(
    events: BatchResult,
    alerts: Sequence[StoredEvent],
    send: Callable[[Sequence[StoredEvent]], Awaitable[BatchResult]],
) -> BatchResult:
    """Send `alerts`, and return one result for them and for the other events of the batch, whose result is `events`.

    If the sink failed as a whole for the other events, `alerts` are not sent now, and their outcome is retry. If it did
    not, and the batch has other events, a failure of `alerts` does not count as a failure of the sink as a whole.
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
