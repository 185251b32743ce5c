"""One batch on its way: sent once, with a timeout. Whatever the sink does, an outcome comes back."""

import asyncio
from collections.abc import Sequence

import msgspec

from forwarder import logs
from forwarder.core.outcome import BatchResult, RetryReason
from forwarder.core.ports import Sink
from forwarder.deliver.batching import Pending
from forwarder.deliver.parts import Parts, take_apart

_logger = logs.get("deliver")


class Landed(msgspec.Struct, frozen=True):
    """What became of a batch: the sink's outcome, and the events sorted by it."""

    outcome: BatchResult
    parts: Parts


async def fly(name: str, sink: Sink, batch: Sequence[Pending], timeout: float) -> Landed:
    """Send `batch` once.

    Args:
        name: the sink's name, for the log.
        sink: where to.
        batch: the events.
        timeout: seconds until the try is given up; nothing is known about its events then, so they are a retry.
    """
    try:
        async with asyncio.timeout(timeout):
            outcome = await sink.send([pending.stored for pending in batch])
        landed = Landed(outcome, take_apart(batch, outcome))
    except TimeoutError:
        return _lost(batch, RetryReason.TIMEOUT, f"no answer within {timeout:g} s")
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        return _lost(batch, RetryReason.UNKNOWN, "the sink gave up the try by itself")
    except Exception as error:
        _logger.exception(
            "the sink raised; its events are sent again. This is a fault of the forwarder: please report it",
            action="sink_exception",
            sink=name,
        )
        return _lost(batch, RetryReason.UNKNOWN, f"{type(error).__name__}: {error}")
    if landed.parts.faults:
        _logger.error(
            "the sink's outcome does not fit its batch; what is in doubt is sent again. This is a fault of the "
            "forwarder: please report it",
            action="sink_outcome_faulty",
            sink=name,
            events=landed.parts.faults,
        )
    return landed


def _lost(batch: Sequence[Pending], reason: RetryReason, detail: str) -> Landed:
    outcome = BatchResult(retry=[pending.seq for pending in batch], reason=reason, detail=detail, whole=True)
    return Landed(outcome, take_apart(batch, outcome))
