"""Convert the events of a batch to what a sink sends."""

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
    """Convert each event, and send those that could be converted.

    The others, for which `convert` raises UnmappableError, are rejected. A bug of the mapping thus costs one
    event, which can be replayed, and never stops the sink. `send` takes the seqs of the events too, and is not
    called if there is nothing to send.
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
