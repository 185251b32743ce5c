"""The ports through which rooms meet. Only `app` joins them."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from forwarder.core.event import Event, MalformedEvent, Source, StoredEvent
from forwarder.core.outcome import BatchResult, Rejection
from forwarder.core.time import Micros

Start = Literal["oldest", "now"]
"""Where a sink that the store does not know starts: with the oldest event held, or with the next one."""


class Batch(msgspec.Struct, frozen=True):
    """Events from one source, stored in one transaction.

    Attributes:
        events: in the order received.
        malformed: elements that are not events; they become dead letters of the receiver.
        source: where the malformed elements came from; an event carries its own source.
        cursor: (name, value) to store in the same transaction.
        expected_by_hook: uuids of those events that our hook should deliver too. A new one is pending until
            the hook delivers it, or until `mark_missed`.
    """

    events: Sequence[Event] = ()
    malformed: Sequence[MalformedEvent] = ()
    source: Source = Source.HOOK
    cursor: tuple[str, str] | None = None
    expected_by_hook: frozenset[str] = frozenset()


class Appended(msgspec.Struct, frozen=True):
    """What an append stored.

    Attributes:
        stored: the new events, in the order given.
        duplicates: how many events the store had already; None if it cannot tell yet.
        differing: uuids of those of the System Log that say something else than what the hook delivered under the uuid before
            (`core.event_digest`).
    """

    stored: Sequence[Event]
    duplicates: int | None
    differing: Sequence[str] = ()


class EventStore(Protocol):
    """The store as a source of events uses it. Each method raises StoreError if the store cannot be used."""

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        """Commit all of a batch or nothing; but one of more than 5,000 elements in steps, of which an error leaves the
        earlier ones. After this returns, a power cut cannot lose any of it.

        Raises:
            StoreFullError: there is not enough space.
            StoreTimeoutError: not committed within `timeout` seconds. It may still be committed later: neither a timeout nor a
                cancellation undoes it.
            StoreError: it could not be committed for another reason.
        """

    async def cursor(self, name: str) -> str | None:
        """Return the last value stored under `name`."""

    async def mark_missed(self, org: str, before: Micros) -> int:
        """Mark pending events of `org` as missed if they were published and received before `before`. Return how
        many are newly missed."""


class Settlement(msgspec.Struct, frozen=True):
    """What a sink has finished, committed in one transaction.

    A sink works on two streams: the log (events after its position, in `seq` order) and its replays (dead
    letters that an operator sends again). In the log, `position` moves only over finished events, so it moves
    by exactly `delivered + len(dead) + len(filtered)`.

    Attributes:
        position: every event of the log up to here is finished.
        delivered: how many of the events that the position passes were delivered, `unattributed` included.
        dead: those that were rejected, with their reasons.
        filtered: seqs of the others: the sink's settings keep them from it.
        unattributed: how many of `delivered` the sink rejected without saying which; they count as dead.
        unattributed_detail: the sink's message about them.
        replayed: seqs of replays that were delivered.
        dead_again: replays that were rejected again.
        filtered_replays: seqs of replays that the sink's settings keep from it by now.
    """

    position: int
    delivered: int = 0
    dead: Sequence[Rejection] = ()
    unattributed: int = 0
    unattributed_detail: str = ""
    replayed: Sequence[int] = ()
    dead_again: Sequence[Rejection] = ()
    filtered: Sequence[int] = ()
    filtered_replays: Sequence[int] = ()


class EventLog(Protocol):
    """The store as one sink sees it. Each method raises StoreError if the store cannot be used."""

    async def read(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """Return at most `limit` events with `seq > after` in `seq` order, with at most `max_bytes` of bodies
        together; but one event is returned however large it is."""

    async def replays(self, *, limit: int) -> list[StoredEvent]:
        """Return dead letters that an operator sends again, oldest first."""

    async def settle(self, settlement: Settlement) -> None:
        """Commit what the sink has finished. It never gets a settled event again.

        Raises:
            ValueError: the settlement does not add up: it would lose an event or count one twice.
            StoreError: it could not be committed. Nothing of it was, so it may be tried again.
        """

    async def wait(self, after: int, *, replays: int) -> None:
        """Return when there is an event with `seq > after`, or when `replay_requests` is not `replays`."""

    @property
    def replay_requests(self) -> int:
        """How often this process was asked to send dead letters again."""


class Sink(Protocol):
    """Where a copy of every event goes."""

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        """Try to deliver `batch` once.

        It does not retry, and it does not raise if the other side fails: that is a result. It may be cancelled at
        any await. It holds the event loop for at most 20 ms at a time.
        """

    async def close(self) -> None:
        """Release everything. Safe to call twice, and without a `send`."""


class Clock(Protocol):
    """The time, which tests control."""

    def now(self) -> Micros:
        """Return the time of the wall clock."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
