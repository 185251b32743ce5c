"""Delivers events of a time range to one sink again, from the bodies that the store still holds.

Each event becomes a replay, as a dead letter that is sent again: it leaves its place in the ledger, waits, and ends in the
place that the sink gives it. So the ledger adds up at every moment, the sink's position stays where it is, and new events go
on. The events are taken in steps, with how far they have come in the same transaction: after a kill, `resume` goes on there,
and takes none twice.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from forwarder.control import Request
from forwarder.core.errors import StoreError
from forwarder.core.ports import Clock
from forwarder.core.time import Micros

_STEP = 100  # events in one transaction
_MOST_WAITING = 500
"""Replays that wait for the sink before more are taken: each has its own copy of the body in the store."""
_PAUSE = 0.5  # seconds between two looks at whether the sink has taken some


class Range(msgspec.Struct, frozen=True):
    """Which events: those that the store received from `since` on and before `until`.

    Attributes:
        types: names and patterns of event types; one must match. Empty for all.
        org: the org's name; empty for all.
    """

    since: Micros
    until: Micros
    types: tuple[str, ...] = ()
    org: str = ""


class RedeliverRequest(Request, frozen=True, tag="redeliver"):
    """Asks the running forwarder to deliver events to a sink again.

    Attributes:
        range: None to go on with the one that was interrupted.
        rate: events per second.
    """

    sink: str
    range: Range | None
    rate: float


class Plan(msgspec.Struct, frozen=True):
    """How many events of a range are where.

    Attributes:
        events: will be delivered again.
        waiting: are not delivered yet, and will be without a replay.
        dead: are dead letters of the sink: `forwarder dead-letters` replays them.
        discarded: were discarded as dead letters.
        filtered: the settings of the sink keep from it.
        gone: were stored in this time and have no body any more, whatever their type.
        oldest: when the oldest event with a body was received; None if there is none.
    """

    events: int = 0
    waiting: int = 0
    dead: int = 0
    discarded: int = 0
    filtered: int = 0
    gone: int = 0
    oldest: Micros | None = None


class Progress(msgspec.Struct, frozen=True):
    """How far it has come.

    Attributes:
        taken: events that were handed to the sink's worker, those before an interruption included.
        waiting: those of them that the sink has not taken yet.
        waits: why no more are taken now; empty if they are.
    """

    taken: int
    waiting: int
    waits: str = ""


class Checkpoint(msgspec.Struct, frozen=True):
    """Where a redelivery goes on: after the event `after`; `last` is the last one of it."""

    range: Range
    after: int
    last: int
    taken: int = 0
    done: bool = False


class RedeliveryStore(Protocol):
    """What the store does for it; `store.engine.Store` says how."""

    async def cursor(self, name: str) -> str | None: ...

    async def redelivery_bounds(self, chosen: Range) -> tuple[int, int]: ...

    async def redelivery_step(
        self, chosen: Range, accepts: "Accepts", *, after: int, last: int, limit: int
    ) -> tuple[list[int], int]: ...

    async def redeliver(self, sink: str, seqs: list[int], checkpoint: Checkpoint) -> int: ...

    async def waiting_replays(self, sink: str) -> int: ...


Accepts = Callable[[str], bool] | None
"""Whether the sink gets events of a type; None if it gets all."""


def checkpoint_name(sink: str) -> str:
    """Return the name of the cursor that holds the checkpoint of a sink."""
    return f"redelivery:{sink}"


async def redeliver(
    store: RedeliveryStore,
    clock: Clock,
    request: RedeliverRequest,
    accepts: Accepts,
    report: Callable[[Progress], None],
) -> Progress:
    """Hand all events of the range to the sink's worker, and wait until the sink has taken them.

    Raises:
        StoreError: the store cannot be used, or there is nothing to go on with.
    """
    at = await _begin(store, request)
    while not at.done:
        waiting = await store.waiting_replays(request.sink)
        if waiting >= _MOST_WAITING:
            report(Progress(at.taken, waiting, f"{waiting:,} of them wait for {request.sink}"))
            await clock.sleep(_PAUSE)
            continue
        limit = max(1, min(_STEP, round(request.rate)))
        seqs, after = await store.redelivery_step(
            at.range, accepts, after=at.after, last=at.last, limit=limit
        )
        at = msgspec.structs.replace(at, after=after, done=after >= at.last)
        taken = await store.redeliver(request.sink, seqs, at)
        at = msgspec.structs.replace(at, taken=at.taken + taken)
        report(Progress(at.taken, waiting + taken))
        await clock.sleep(taken / request.rate)
    while waiting := await store.waiting_replays(request.sink):
        report(Progress(at.taken, waiting, f"{waiting:,} of them wait for {request.sink}"))
        await clock.sleep(_PAUSE)
    return Progress(at.taken, 0)


async def _begin(store: RedeliveryStore, request: RedeliverRequest) -> Checkpoint:
    if request.range is not None:
        first, last = await store.redelivery_bounds(request.range)
        return Checkpoint(request.range, first - 1, last, done=last < first)
    text = await store.cursor(checkpoint_name(request.sink))
    at = msgspec.json.decode(text, type=Checkpoint) if text else None
    if at is None or at.done:
        raise StoreError(f"no replay to {request.sink} was interrupted; give --since")
    return at
