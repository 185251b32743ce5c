"""Sends one batch, checks the sink's result, and limits the number of dead letters.

Even if a sink has a bug, the worker gets a result in which each event has exactly one outcome. An event that the sink's
result leaves out or names twice is sent again, because an event must not be lost, and a second copy is harmless.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from forwarder import logs
from forwarder.core.outcome import BatchResult, Rejection, RejectReason, RetryReason
from forwarder.core.ports import Sink
from forwarder.core.redaction import redact_start
from forwarder.deliver.batching import Pending

_logger = logs.get("deliver")

_DETAIL_LIMIT = 1_000
"""The maximum number of characters of an exception's text that a result keeps."""


async def send_batch(name: str, sink: Sink, batch: Sequence[Pending], timeout: float) -> BatchResult:
    """Send `batch` to `sink` once, and return the checked result. `name` is the sink's name, for log lines.

    If the sink raises an exception, this function raises nothing, and the result says that each event must be sent
    again. If the sink has not answered after `timeout` seconds, the call of `sink.send` is cancelled. The outcome of
    the call is then unknown, so each event must be sent again too.
    """
    try:
        async with asyncio.timeout(timeout):
            answer = await sink.send([pending.stored for pending in batch])
        result, errors = checked(batch, answer)
    except TimeoutError:
        return _retry_all(batch, RetryReason.TIMEOUT, f"no answer within {timeout:g} s")
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        return _retry_all(batch, RetryReason.UNKNOWN, "the sink cancelled its own call")
    except Exception as error:
        _logger.exception(
            "the code of the sink raised an exception; the forwarder sends the events of the batch again. This "
            "is a bug: please report it",
            action="sink_exception",
            sink=name,
        )
        return _retry_all(batch, RetryReason.UNKNOWN, redact_start(f"{type(error).__name__}: {error}", _DETAIL_LIMIT))
    if errors:
        _logger.error(
            "the sink's result does not match the batch of events; the forwarder sends the events without a clear "
            "outcome again. This is a bug: please report it",
            action="sink_result_invalid",
            sink=name,
            events=errors,
        )
    return result


def checked(batch: Sequence[Pending], result: BatchResult) -> tuple[BatchResult, int]:
    """Return `result`, corrected so that each event of `batch` has exactly one outcome, and the number of errors in
    `result`.

    The errors are the events of the batch that `result` leaves out or names more than once, and the events that
    `result` names although they are not in the batch. The events of the corrected result are in the order of the batch.

    `result.unattributed` is the number of events in `result.delivered` that the sink rejected without saying which
    events. If this number includes all delivered events, or if the batch consists of replays, then the first
    `unattributed` delivered events become ordinary rejections. So a rejected replay stays a dead letter. In all other
    cases, the delivered events stay in `delivered`, and the store counts `unattributed` dead letters.
    """
    named = Counter([*result.delivered, *result.retry, *(rejection.seq for rejection in result.rejected)])
    seqs = [pending.seq for pending in batch]
    in_doubt = {seq for seq in seqs if named.pop(seq, 0) != 1}
    to_retry = in_doubt.union(result.retry)
    rejections = {rejection.seq: rejection for rejection in result.rejected if rejection.seq not in in_doubt}
    rejected = [rejections[seq] for seq in seqs if seq in rejections]
    delivered = [seq for seq in seqs if seq not in to_retry and seq not in rejections]
    unattributed = min(result.unattributed, len(delivered))
    if unattributed and (unattributed == len(delivered) or batch[0].replay):
        detail = result.detail or "the sink rejected the event without saying why"
        rejected += [Rejection(seq, RejectReason.PARTIAL_SUCCESS, detail) for seq in delivered[:unattributed]]
        delivered, unattributed = delivered[unattributed:], 0
    retry = [seq for seq in seqs if seq in to_retry]
    reason = (result.reason or RetryReason.UNKNOWN) if retry else None
    outcomes = {"delivered": delivered, "retry": retry, "rejected": rejected, "unattributed": unattributed}
    return replace(result, reason=reason, **outcomes), len(in_doubt) + len(named)


def _retry_all(batch: Sequence[Pending], reason: RetryReason, detail: str) -> BatchResult:
    return BatchResult(retry=[pending.seq for pending in batch], reason=reason, detail=detail, whole=True)


class DeadLetterLimit:
    """Limits the number of events in a row that a sink may reject, so that a sink that rejects every event does not
    turn the whole store into dead letters.

    `reached` becomes True when the sink has rejected more than `limit` events in a row, and False when the sink accepts
    an event. While `reached` is True, the worker sends one event at a time. A `limit` of 0 means that the number is not
    limited.
    """

    def __init__(self, limit: int) -> None:
        self.reached = False
        self._limit = limit
        self._streak = 0

    def apply(self, result: BatchResult, *, replay: bool) -> tuple[BatchResult, list[int]]:
        """Remove the rejections over the limit from `result`, which must be a result of `checked`.

        Return the new result, and the `seq` numbers of the events whose rejections were removed. The caller must send
        the events with the removed rejections again. A delivered event resets the number of rejections to 0.

        Two kinds of rejections do not count:

        - rejections of replays (`replay` is whether the batch consists of replays);
        - rejections of alerts and of reports about actions, if the separate data stream for them is missing or refuses
          them.
        """
        if not self._limit:
            return result, []
        rejected = set() if replay else {rejection.seq for rejection in result.rejected if _counts(rejection)}
        over_limit: list[int] = []
        for seq in sorted([*rejected, *result.delivered]):
            if seq not in rejected:
                self._streak, self.reached = 0, False
            elif self._streak < self._limit:
                self._streak += 1
            else:
                self.reached = True
                over_limit.append(seq)
        removed = set(over_limit)
        kept = [rejection for rejection in result.rejected if rejection.seq not in removed]
        return replace(result, rejected=kept), over_limit


def _counts(rejection: Rejection) -> bool:
    return rejection.reason not in {RejectReason.ALERT_STREAM, RejectReason.ACTION_STREAM}
