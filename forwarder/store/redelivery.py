"""Delivers events of a time range to one sink again, from the bodies that the store still holds.

Each event becomes a replay, like a dead letter that is sent again: it leaves its place in the ledger (`delivered`, for
example), counts as waiting, and ends in the place that the sink's answer gives it. So the ledger always adds up, the
sink's position does not change, and new events are delivered meanwhile. The events are taken in steps, each in one
transaction with its checkpoint: after a kill, the redelivery can continue there, and takes no event twice.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from forwarder.control_socket import ControlRequest
from forwarder.core.errors import StoreError
from forwarder.core.ports import Clock
from forwarder.core.time import Micros

_STEP = 100  # events in one transaction
_MOST_WAITING = 500
"""While so many replays wait for the sink, no more are made: each has its own copy of the body."""
_PAUSE = 0.5  # seconds between two checks of how many replays still wait


class Range(msgspec.Struct, frozen=True):
    """The events that were received from `since` on and before `until`.

    Attributes:
        types: event types, with `*` for any part; one of them must match. Empty for all.
        org: the org's name; empty for all.
    """

    since: Micros
    until: Micros
    types: tuple[str, ...] = ()
    org: str = ""


class RedeliverRequest(ControlRequest, frozen=True, tag="redeliver"):
    """Asks the running forwarder to deliver events to a sink again.

    Attributes:
        range: the events; None to continue the interrupted redelivery.
        rate: events per second.
    """

    sink: str
    range: Range | None
    rate: float


class RedeliveryPlan(msgspec.Struct, frozen=True):
    """How many events of a range will be delivered again, and how many are left out, by the reason.

    Attributes:
        events: those that will be delivered again.
        waiting: left out because they still wait for the sink, and will be delivered without a replay.
        dead: left out because they are dead letters of the sink; `forwarder dead-letters` replays them.
        discarded: left out because they were dead letters, which an operator discarded.
        filtered: left out because the sink's settings (`only`, `except`) exclude them.
        gone: left out because their bodies were dropped; received in the range, and of any type.
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
    """How far a redelivery has come.

    Attributes:
        taken: events that became replays, including those before an interruption.
        waiting: replays that the sink has not finished.
        waits: a text that says why no more replays are made now; empty while more are made.
    """

    taken: int
    waiting: int
    waits: str = ""


class RedeliveryCheckpoint(msgspec.Struct, frozen=True):
    """Where a redelivery continues.

    Attributes:
        range: the events of the redelivery.
        after: the `seq` up to which events were taken.
        last: the `seq` of the last event of the range.
        taken: how many events became replays.
        done: whether all events were taken.
    """

    range: Range
    after: int
    last: int
    taken: int = 0
    done: bool = False


class RedeliveryStore(Protocol):
    """The part of `store.interface.Store` that a redelivery needs. The methods are described there."""

    async def cursor(self, name: str) -> str | None: ...

    async def redelivery_bounds(self, chosen: Range) -> tuple[int, int]: ...

    async def redelivery_step(
        self, chosen: Range, accepts: "Accepts", *, after: int, last: int, limit: int
    ) -> tuple[list[int], int]: ...

    async def redeliver(self, sink: str, seqs: list[int], checkpoint: RedeliveryCheckpoint) -> int: ...

    async def waiting_replays(self, sink: str) -> int: ...


Accepts = Callable[[str], bool] | None
"""Whether the sink gets events of a type; None if it gets all."""


def checkpoint_name(sink: str) -> str:
    """Return the name of the cursor in which the checkpoint for `sink` is stored."""
    return f"redelivery:{sink}"


async def redeliver(
    store: RedeliveryStore,
    clock: Clock,
    request: RedeliverRequest,
    accepts: Accepts,
    report: Callable[[RedeliveryProgress], None],
) -> RedeliveryProgress:
    """Make replays of all events of `request.range`, and return when the sink has finished them.

    Without a range, continue the interrupted redelivery. `report` is called at each step.

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
        seqs, after = await store.redelivery_step(
            at.range, accepts, after=at.after, last=at.last, limit=limit
        )
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
        raise StoreError(
            f"no replay to {request.sink} was interrupted, so there is nothing to resume; give --since"
        )
    return at
