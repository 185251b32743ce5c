"""Redelivery: delivers the events of a time range to one sink again. An event is not delivered again if the store has
dropped its body.

Redelivery makes a replay of each event. A replay is a copy of the event that waits for the sink, like a dead letter
that an operator sends again. In the ledger (the counts of events by place), the event moves from its place (for example
`delivered`) to `waiting`. When the sink has answered, the event moves to the place for this answer. So the counts of
the ledger always add up. The position of the sink does not change, and the sink gets new events during the redelivery.

Replays are made in steps. Each step is one transaction, which also stores a checkpoint. So after a crash, the
redelivery can continue at the checkpoint, and no event gets a second replay.
"""

from collections.abc import Callable
from typing import ClassVar, Protocol

import msgspec

from forwarder.control_socket.messages import ControlRequest
from forwarder.core.errors import StoreError
from forwarder.core.ports import Clock
from forwarder.core.time import Micros

_STEP = 100  # the most replays made in one transaction
_MOST_WAITING = 500
"""The number of waiting replays at which no more replays are made: the store has a copy of the body for each replay."""
_PAUSE = 0.5  # seconds between two checks of how many replays still wait


class Range(msgspec.Struct, frozen=True):
    """A selection of events by their time of receipt: at `since` or later, and before `until`.

    Attributes:
        types: the types of the selected events; a `*` stands for any text. Empty for all types.
        org: the name of the org; empty for all orgs.
    """

    since: Micros
    until: Micros
    types: tuple[str, ...] = ()
    org: str = ""


class RedeliveryPlan(msgspec.Struct, frozen=True):
    """What a redelivery of a range would do: how many events it would deliver again, and how many it would leave out.

    Attributes:
        events: the number of events that would be delivered again.
        waiting: the number of events left out because they still wait for the sink, so the sink gets them anyway.
        dead: the number of events left out because they are dead letters of the sink; `forwarder dead-letters` can
            replay them.
        discarded: the number of events left out because an operator has discarded their dead letters.
        filtered: the number of events left out because the sink's settings (`only`, `except`) exclude them.
        gone: the number of events left out because their bodies were dropped. The types of these events are not known
            any more, so the number includes events of all types that were received in the range.
        oldest: when the oldest event with a body was received; None if the store holds no bodies.
    """

    events: int = 0
    waiting: int = 0
    dead: int = 0
    discarded: int = 0
    filtered: int = 0
    gone: int = 0
    oldest: Micros | None = None


class RedeliveryProgress(msgspec.Struct, frozen=True):
    """The progress of a redelivery.

    Attributes:
        taken: the number of replays (copies of events to send again) made so far, including replays made before an
            interruption.
        waiting: the number of replays that the sink has not finished.
        waits: a text that says why no replays are made at the moment; empty while replays are made.
    """

    taken: int
    waiting: int
    waits: str = ""


class RedeliverRequest(ControlRequest, frozen=True, tag="redeliver"):
    """A request to the running forwarder to deliver events to `sink` again.

    Attributes:
        range: the events to deliver again; None to continue the redelivery that was interrupted.
        rate: the most events to deliver per second.
    """

    returns: ClassVar[type] = RedeliveryProgress
    reports: ClassVar[type] = RedeliveryProgress

    sink: str
    range: Range | None
    rate: float


class RedeliveryCheckpoint(msgspec.Struct, frozen=True):
    """The state of a redelivery, as stored after each step. An interrupted redelivery continues from this state.

    Attributes:
        after: the `seq` of the last event that was processed (a replay was made of it, or it was left out).
        last: the highest `seq` in the range.
        taken: the number of replays made so far.
        done: whether all events of the range were processed.
    """

    range: Range
    after: int
    last: int
    taken: int = 0
    done: bool = False


class RedeliveryStore(Protocol):
    """The part of `store.interface.Store` that a redelivery needs. `store.interface.Store` describes the methods."""

    async def cursor(self, name: str) -> str | None: ...

    async def redelivery_bounds(self, chosen: Range) -> tuple[int, int]: ...

    async def redelivery_step(
        self, chosen: Range, accepts: "Accepts", *, after: int, last: int, limit: int
    ) -> tuple[list[int], int]: ...

    async def redeliver(self, sink: str, seqs: list[int], checkpoint: RedeliveryCheckpoint) -> int: ...

    async def waiting_replays(self, sink: str) -> int: ...


Accepts = Callable[[str], bool] | None
"""A function that gets an event type and returns whether the sink accepts it; None if the sink accepts all types."""


def checkpoint_name(sink: str) -> str:
    """Return the name of the cursor under which the store keeps the checkpoint of a redelivery to `sink`."""
    return f"redelivery:{sink}"


async def redeliver(
    store: RedeliveryStore,
    clock: Clock,
    request: RedeliverRequest,
    accepts: Accepts,
    report: Callable[[RedeliveryProgress], None],
) -> RedeliveryProgress:
    """Deliver the events in `request.range` to the sink again. Wait until the sink has finished them, and return the
    final progress.

    If `request.range` is None, continue the redelivery that was interrupted. Call `report` with the progress after each
    step, and repeatedly while waiting for the sink.

    Raises:
        StoreError: the store cannot be used; or `request.range` is None, and no redelivery was interrupted.
    """
    checkpoint = await _begin(store, request)
    while not checkpoint.done:
        waiting = await store.waiting_replays(request.sink)
        if waiting >= _MOST_WAITING:
            report(RedeliveryProgress(checkpoint.taken, waiting, f"{waiting:,} of them wait for {request.sink}"))
            await clock.sleep(_PAUSE)
            continue
        limit = max(1, min(_STEP, round(request.rate)))
        seqs, after = await store.redelivery_step(
            checkpoint.range, accepts, after=checkpoint.after, last=checkpoint.last, limit=limit
        )
        checkpoint = msgspec.structs.replace(checkpoint, after=after, done=after >= checkpoint.last)
        taken = await store.redeliver(request.sink, seqs, checkpoint)
        checkpoint = msgspec.structs.replace(checkpoint, taken=checkpoint.taken + taken)
        report(RedeliveryProgress(checkpoint.taken, waiting + taken))
        await clock.sleep(taken / request.rate)
    while waiting := await store.waiting_replays(request.sink):
        report(RedeliveryProgress(checkpoint.taken, waiting, f"{waiting:,} of them wait for {request.sink}"))
        await clock.sleep(_PAUSE)
    return RedeliveryProgress(checkpoint.taken, 0)


async def _begin(store: RedeliveryStore, request: RedeliverRequest) -> RedeliveryCheckpoint:
    if request.range is not None:
        first, last = await store.redelivery_bounds(request.range)
        return RedeliveryCheckpoint(request.range, first - 1, last, done=last < first)
    text = await store.cursor(checkpoint_name(request.sink))
    checkpoint = msgspec.json.decode(text, type=RedeliveryCheckpoint) if text else None
    if checkpoint is None or checkpoint.done:
        raise StoreError(f"no replay to {request.sink} was interrupted, so there is nothing to resume; give --since")
    return checkpoint
