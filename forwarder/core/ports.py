"""The interfaces between packages: the store, the sinks and the clock. Only `app` chooses the implementations."""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import msgspec

from forwarder.core.event import Event, MalformedEvent, Source, StoredEvent
from forwarder.core.outcome import BatchResult, Rejection
from forwarder.core.time import Micros

Start = Literal["oldest", "now"]
"""Where a new sink starts: with the oldest event in the store, or with the next event that is stored."""


class Batch(msgspec.Struct, frozen=True):
    """Events from one source, to be stored together.

    Attributes:
        events: the events in the order received.
        malformed: elements that are not events. They become dead letters of the receiver.
        source: the source of the malformed elements; an event has its own `source`.
        cursor: (name, value) to store in the same transaction; None if there is no cursor to store.
        expected_by_hook: the uuids of the events that our hook should deliver too. If such an event is new, it is
            pending until the hook delivers it, or until `mark_missed` marks it.
    """

    events: Sequence[Event] = ()
    malformed: Sequence[MalformedEvent] = ()
    source: Source = Source.HOOK
    cursor: tuple[str, str] | None = None
    expected_by_hook: frozenset[str] = frozenset()

    @property
    def length(self) -> int:
        """The number of events or of malformed elements, whichever is larger."""
        return max(len(self.events), len(self.malformed))

    def split(self, most: int) -> Iterator["Batch"]:
        """Split the batch into parts of up to `most` events and up to `most` malformed elements. Only the last part has
        the cursor."""
        for first in range(0, self.length, most):
            last = first + most
            yield Batch(
                self.events[first:last],
                self.malformed[first:last],
                self.source,
                self.cursor if last >= self.length else None,
                self.expected_by_hook,
            )


class Appended(msgspec.Struct, frozen=True):
    """The result of an append.

    Attributes:
        stored: the events that were new, in the order of the batch.
        duplicates: the number of events that the store had already; None if the number is not known yet.
        differing: the uuids of events from the System Log that differ from the hook's event with the same uuid: their
            digests (`core.event.digest`) are not equal.
    """

    stored: Sequence[Event]
    duplicates: int | None
    differing: Sequence[str] = ()


class EventStore(Protocol):
    """The part of the store that sources of events use. Each method raises StoreError if the store cannot be used."""

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        """Commit `batch`. When this method returns, a power cut cannot lose any of it.

        If `batch` has at most 5,000 elements, all of it is committed or nothing. A larger batch is committed in steps,
        and an error does not undo the earlier steps.

        Raises:
            StoreFullError: there is not enough space.
            StoreTooSmallError: there will never be enough space for the whole batch, but perhaps for parts of it.
            StoreTimeoutError: the batch was not committed within `timeout` seconds. It may still be committed later;
                neither a timeout nor a cancellation prevents that.
            StoreError: the commit failed for another reason.
        """

    async def cursor(self, name: str) -> str | None:
        """Return the last value that was stored for the cursor `name`; None if there is none."""

    async def mark_missed(self, org: str, before: Micros) -> int:
        """Mark pending events of `org` as missed, if they were published and received before `before`.

        Return the number of marked events.
        """


class Settlement(msgspec.Struct, frozen=True):
    """The results of a sink, to be committed in one transaction.

    A sink works on two streams: the log (events after its position, in `seq` order) and its replays (dead letters that
    an operator sends again). In the log, `position` moves only over finished events. So it moves by exactly `delivered
    + len(dead) + len(filtered)`.

    Attributes:
        position: the new position. Every event of the log up to this `seq` is finished.
        delivered: the number of events between the old and the new position that were delivered, including
            `unattributed`.
        dead: the events between the two positions that were rejected, with their reasons.
        filtered: the seqs of the events between the two positions that the sink's settings exclude.
        unattributed: the number of events in `delivered` that the sink rejected without saying which. They count as
            dead letters.
        unattributed_detail: the sink's message about the unattributed events.
        replayed: the seqs of replays that were delivered.
        dead_again: the replays that were rejected again.
        filtered_replays: the seqs of replays that the sink's settings exclude now.
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


class DeadLetterSelection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Selects dead letters. A dead letter must match every field that is not None; without fields, all match.

    Attributes:
        sink: the name of the sink that rejected the event; `receiver` for malformed events.
        reason: the reason of the rejection, a `core.outcome.RejectReason`.
        last: the highest id. Dead letters with a higher id do not match; they were added later.
        until: the latest time of the last rejection. An event that was rejected, or rejected again, after this time does
            not match.
    """

    ids: tuple[int, ...] | None = None
    sink: str | None = None
    reason: str | None = None
    last: int | None = None
    until: Micros | None = None


class EventLog(Protocol):
    """The part of the store that one sink uses. Each method raises StoreError if the store cannot be used."""

    async def read(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """Return events with `seq > after`, in `seq` order: at most `limit` events, whose bodies have at most
        `max_bytes` together.

        The first event is always returned, however large it is.
        """

    async def replays(self, *, limit: int) -> list[StoredEvent]:
        """Return up to `limit` dead letters that an operator sends again, oldest first."""

    async def settle(self, settlement: Settlement) -> None:
        """Commit what became of the sink's events. The sink never gets these events again, except as replays.

        Raises:
            ValueError: the numbers of the settlement do not add up: an event would be lost or counted twice.
            StoreError: the commit failed or cannot be confirmed. Repeat the call with the same object; if the
                settlement was committed, nothing is counted twice.
        """

    async def wait(self, after: int, *, replays: int) -> None:
        """Wait until there is an event with `seq > after`, or until `replay_requests` differs from `replays`."""

    @property
    def replay_requests(self) -> int:
        """How many times this process was asked to send dead letters again."""


class Sink(Protocol):
    """A destination that gets a copy of every event."""

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        """Try to deliver `batch` once.

        An implementation does not retry. If the other side fails, the method returns a result that says so, and raises
        nothing. It may be cancelled at any await, and blocks the event loop for at most 20 ms at a time.
        """

    async def close(self) -> None:
        """Close connections and files. Safe to call twice, or if `send` was never called."""


class Clock(Protocol):
    """The source of the time. Tests use a clock that they control."""

    def now(self) -> Micros:
        """Return the time of the wall clock."""

    def monotonic(self) -> float:
        """Return a time in seconds that never goes backwards."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
