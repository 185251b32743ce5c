"""Delivers the events of a time range to one sink again, as far as the store still holds their bodies.

Each event becomes a replay, as a dead letter does that is sent again. It leaves its place in the ledger (for example
`delivered`), counts as waiting, and ends in the place that the sink's answer gives it. So the ledger always adds up, the
position of the sink does not change, and new events are delivered meanwhile.

Replays are made in steps. Each step is one transaction, which also stores a checkpoint. So after a kill, the redelivery can
continue at the checkpoint, and makes no second replay of an event.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from forwarder.control_socket import ControlRequest
from forwarder.core.errors import StoreError
from forwarder.core.ports import Clock
from forwarder.core.time import Micros

_STEP = 100  # the most events in one transaction
_MOST_WAITING = 500
"""While this many replays wait for the sink, no more are made, because each replay is a copy of the event's body."""
_PAUSE = 0.5  # seconds between two checks of how many replays still wait


class Range(msgspec.Struct, frozen=True):
    """Selects the events that were received at `since` or later, and before `until`.

    Attributes:
        types: event types, of which an event must have one; a `*` stands for any text. Empty for all types.
        org: the name of the org; empty for all orgs.
    """

    since: Micros
    until: Micros
    types: tuple[str, ...] = ()
    org: str = ""


class RedeliverRequest(ControlRequest, frozen=True, tag="redeliver"):
    """Asks the running forwarder to deliver events to a sink again.

    Attributes:
        range: the events to deliver again; None to continue the interrupted redelivery.
        rate: the most events to deliver per second.
    """

    sink: str
    range: Range | None
    rate: float


class RedeliveryPlan(msgspec.Struct, frozen=True):
    """The number of events of a range that will be delivered again, and the numbers of those that are left out.

    Attributes:
        events: the number of events that will be delivered again.
        waiting: the number of events left out because they still wait for the sink, which will get them anyway.
        dead: the number of events left out because they are dead letters of the sink; `forwarder dead-letters` can
            replay them.
        discarded: the number of events left out because an operator has discarded their dead letters.
        filtered: the number of events left out because the sink's settings (`only`, `except`) exclude them.
        gone: the number of events left out because their bodies were dropped. Their types are not known any more, so
            this counts events of all types that were received in the range.
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
        taken: the number of events that became replays, including those from before an interruption.
        waiting: the number of replays that the sink has not finished.
        waits: a text that says why no more replays are made now; empty while more are made.
    """

    taken: int
    waiting: int
    waits: str = ""


class RedeliveryCheckpoint(msgspec.Struct, frozen=True):
    """The stored state of a redelivery, with which it can continue after an interruption.

    Attributes:
        after: the `seq` of the last event that was processed: it became a replay, or was left out.
        last: the highest `seq` in the range.
        taken: the number of events that became replays.
        done: whether all events of the range were processed.
    """

    range: Range
    after: int
    last: int
    taken: int = 0
    done: bool = False


class RedeliveryStore(Protocol):
    """The part of `store.interface.Store` that a redelivery needs; that class describes the methods."""

    async def cursor(self, name: str) -> str | None: ...

    async def redelivery_bounds(self, chosen: Range) -> tuple[int, int]: ...

    async def redelivery_step(
        self, chosen: Range, accepts: "Accepts", *, after: int, last: int, limit: int
    ) -> tuple[list[int], int]: ...

    async def redeliver(self, sink: str, seqs: list[int], checkpoint: RedeliveryCheckpoint) -> int: ...

    async def waiting_replays(self, sink: str) -> int: ...


Accepts = Callable[[str], bool] | None
"""A function that returns whether the sink gets events of a type; None if the sink gets all events."""


def checkpoint_name(sink: str) -> str:
    """Return the name of the cursor in which the store keeps the checkpoint of the redelivery to `sink`."""
    return f"redelivery:{sink}"


async def redeliver(
    store: RedeliveryStore,
    clock: Clock,
    request: RedeliverRequest,
    accepts: Accepts,
    report: Callable[[RedeliveryProgress], None],
) -> RedeliveryProgress:
    """Make replays of all events of `request.range`, and return when the sink has finished the replays.

    If the range is None, continue the interrupted redelivery. Calls `report` after each step, and while it waits.

    Raises:
        StoreError: the store cannot be used, or no redelivery was interrupted.
    """
    at = await _begin(store, request)
    while not at.done:
        waiting = await store.waiting_replays(request.sink)
        if waiting >= _MOST_WAITING:
            report(RedeliveryProgress(at.taken, waiting, f"{waiting:,} of them wait for {request.sink}"))
            await clock.sleep(_PAUSE)
            continue
        limit = max(1, min(_STEP, round(request.rate)))
        seqs, after = await store.redelivery_step(at.range, accepts, after=at.after, last=at.last, limit=limit)
        at = msgspec.structs.replace(at, after=after, done=after >= at.last)
        taken = await store.redeliver(request.sink, seqs, at)
        at = msgspec.structs.replace(at, taken=at.taken + taken)
        report(RedeliveryProgress(at.taken, waiting + taken))
        await clock.sleep(taken / request.rate)
    while waiting := await store.waiting_replays(request.sink):
        report(RedeliveryProgress(at.taken, waiting, f"{waiting:,} of them wait for {request.sink}"))
        await clock.sleep(_PAUSE)
    return RedeliveryProgress(at.taken, 0)


async def _begin(store: RedeliveryStore, request: RedeliverRequest) -> RedeliveryCheckpoint:
    if request.range is not None:
        first, last = await store.redelivery_bounds(request.range)
        return RedeliveryCheckpoint(request.range, first - 1, last, done=last < first)
    text = await store.cursor(checkpoint_name(request.sink))
    at = msgspec.json.decode(text, type=RedeliveryCheckpoint) if text else None
    if at is None or at.done:
        raise StoreError(f"no replay to {request.sink} was interrupted, so there is nothing to resume; give --since")
    return at
