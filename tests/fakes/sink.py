"""Sinks in memory: one that keeps the contract of every sink, and one whose answers a test gives by hand."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from forwarder.core.event import StoredEvent
from forwarder.core.outcome import BatchResult, Rejection, RejectReason, RetryReason
from tests.fakes.peer import RETRY_AFTER, SPOILED, Fault

_WHOLE = {
    Fault.THROTTLED: BatchResult(reason=RetryReason.THROTTLED, wait=RETRY_AFTER, whole=True),
    Fault.SERVER_ERROR: BatchResult(reason=RetryReason.SERVER, whole=True),
    Fault.REFUSED: BatchResult(reason=RetryReason.CONNECTION, whole=True),
    Fault.REDIRECT: BatchResult(reason=RetryReason.REDIRECT, whole=True, pause=True),
    Fault.UNAUTHORIZED: BatchResult(reason=RetryReason.UNAUTHORIZED, whole=True, pause=True),
    Fault.FORBIDDEN: BatchResult(reason=RetryReason.FORBIDDEN, whole=True, pause=True),
    Fault.NOT_FOUND: BatchResult(reason=RetryReason.NOT_FOUND, whole=True, pause=True),
    Fault.TOO_LARGE: BatchResult(reason=RetryReason.TOO_LARGE, split=True),
}


class MemorySink:
    """`core.ports.Sink` and its own peer: it keeps what it is sent, once for each uuid, as Elasticsearch does.

    Attributes:
        cannot: nothing; it stages every fault.
        tries: how many events each call of `send` had, in order.
        closed: how often it was closed.
    """

    def __init__(self) -> None:
        self.cannot: Collection[Fault] = ()
        self.tries: list[int] = []
        self.closed = 0
        self._held: dict[str, None] = {}
        self._fault: Fault | None = None
        self._named: Collection[str] = ()

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        self.tries.append(len(batch))
        await asyncio.sleep(0)
        fault = self._fault
        if fault in SPOILED:
            spoiled = any(stored.event.uuid in self._named for stored in batch)
            fault = SPOILED[fault] if spoiled else None
        if fault is Fault.SILENT:
            await asyncio.get_running_loop().create_future()
        if fault in _WHOLE and not (fault is Fault.TOO_LARGE and len(batch) == 1):
            return _with_retry(_WHOLE[fault], [stored.seq for stored in batch])
        named = [stored.seq for stored in batch if stored.event.uuid in self._named]
        taken = [stored for stored in batch if stored.event.uuid not in self._named]
        self._held.update(dict.fromkeys(stored.event.uuid for stored in taken))
        delivered = [stored.seq for stored in taken]
        if not named:
            return BatchResult(delivered)
        if self._fault is Fault.REJECTED:
            return BatchResult(delivered, rejected=[Rejection(seq, RejectReason.MAPPING, "no") for seq in named])
        return BatchResult(delivered, named, reason=RetryReason.THROTTLED, detail="too many")

    async def close(self) -> None:
        self.closed += 1

    async def received(self) -> list[str]:
        return list(self._held)

    async def fail_with(self, fault: Fault, uuids: Collection[str] = ()) -> None:
        self._fault, self._named = fault, uuids

    async def recover(self) -> None:
        self._fault, self._named = None, ()


def _with_retry(failure: BatchResult, seqs: list[int]) -> BatchResult:
    return BatchResult(
        retry=seqs,
        reason=failure.reason,
        detail="as the test said",
        wait=failure.wait,
        pause=failure.pause,
        whole=failure.whole,
        split=failure.split,
    )


class Call:
    """One `send` that waits for the test's answer."""

    def __init__(self, batch: Sequence[StoredEvent]) -> None:
        self.batch = batch
        self.seqs = [stored.seq for stored in batch]
        self.answer: asyncio.Future[BatchResult] = asyncio.get_running_loop().create_future()

    def deliver(self) -> None:
        """Answer that everything was taken."""
        self.answer.set_result(BatchResult(delivered=self.seqs))

    def reply(self, outcome: BatchResult) -> None:
        """Answer with `outcome`."""
        self.answer.set_result(outcome)

    def fail(self, reason: RetryReason = RetryReason.SERVER, *, pause: bool = False, wait: float | None = None) -> None:
        """Answer that the sink as a whole failed."""
        self.reply(BatchResult(retry=self.seqs, reason=reason, detail="it failed", whole=True, pause=pause, wait=wait))

    def reject(self, reason: RejectReason = RejectReason.MAPPING) -> None:
        """Answer that none of the events will ever be taken."""
        self.reply(BatchResult(rejected=[Rejection(seq, reason, "it does not fit") for seq in self.seqs]))


class ScriptedSink:
    """`core.ports.Sink` whose every call waits until the test answers it.

    Attributes:
        calls: the calls made so far.
        closed: how often it was closed.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.closed = 0
        self._taken = 0
        self._arrived = asyncio.Event()

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        call = Call(batch)
        self.calls.append(call)
        self._arrived.set()
        return await call.answer

    async def close(self) -> None:
        self.closed += 1

    async def called(self) -> Call:
        """The next call that the test has not seen yet; waits for it."""
        while len(self.calls) == self._taken:
            self._arrived.clear()
            await self._arrived.wait()
        self._taken += 1
        return self.calls[self._taken - 1]

    @property
    def unseen(self) -> int:
        """How many calls were made that `called` has not given yet."""
        return len(self.calls) - self._taken


class AnsweringSink:
    """`core.ports.Sink` that answers each batch by a function at once, and notes the batches."""

    def __init__(self, answer: Callable[[Sequence[StoredEvent]], BatchResult]) -> None:
        self.batches: list[list[int]] = []
        self._answer = answer

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        self.batches.append([stored.seq for stored in batch])
        await asyncio.sleep(0)
        return self._answer(batch)

    async def close(self) -> None:
        """Has nothing to close."""
