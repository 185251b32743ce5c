"""The interfaces (protocols) of the store, the sinks and the clock. Only the module `app` chooses the
implementations."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from forwarder.core.event import Event, MalformedEvent, Source, StoredEvent
from forwarder.core.outcome import BatchResult, Rejection
from forwarder.core.time import Micros

Start = Literal["oldest", "now"]
"""The first event that a new sink gets: the oldest event in the store (`oldest`), or the next event that is stored
(`now`)."""


class Batch(msgspec.Struct, frozen=True):
    """Events from one source, to be stored together.

    Attributes:
        events: the events in the order received.
        malformed: elements that are not events. They become dead letters under the name `receiver`.
        source: the source of the malformed elements; an event has its own `source`.
        cursor: the name and the value of a cursor, which is stored in the same transaction; None to store no cursor.
        expected_by_hook: the uuids of the events that our hook should deliver too. If the store does not have one of
            these events yet, the event is pending until the hook delivers the event, or until `mark_missed` marks the
            event as missed.
    """

    events: Sequence[Event] = ()
    malformed: Sequence[MalformedEvent] = ()
    source: Source = Source.HOOK
    cursor: tuple[str, str] | None = None
    expected_by_hook: frozenset[str] = frozenset()

    @property
    def length(self) -> int:
        """The number of events or the number of malformed elements, whichever is larger."""
        return max(len(self.events), len(self.malformed))

    def split(self, most: int) -> Iterator["Batch"]:
        """Yield the batch in parts of up to `most` events and up to `most` malformed elements. Only the last part has
        the cursor, so the cursor is not stored before all events are stored."""
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
        duplicates: the number of events of the batch that the store already had; None if the number is not known yet.
        differing: the uuids of events from the System Log whose digest (`core.event.digest`) differs from the digest of
            the hook's event with the same uuid.
    """

    stored: Sequence[Event]
    duplicates: int | None
    differing: Sequence[str] = ()


class EventStore(Protocol):
    """The methods of the store that the sources of events use. Each method raises StoreError if the store cannot be
    used."""

    async def append(self, batch: Batch, *, timeout: float) -> Appended:
        """Commit `batch`, and return what was stored. When this method returns, a power cut cannot lose any part of
        `batch`.

        If `batch` has at most 5,000 elements, the store commits the whole batch or nothing. A larger batch is committed
        in steps, and an error does not undo the steps before the error.

        Raises:
            StoreFullError: there is not enough space.
            StoreTooSmallError: the whole batch needs more space than the store can ever have. A part of the batch may
                have enough space.
            StoreTimeoutError: the batch was not committed within `timeout` seconds. The batch may still be committed
                later: neither a timeout nor a cancellation of this call prevents the commit.
            StoreError: the commit failed for another reason.
        """

    async def cursor(self, name: str) -> str | None:
        """Return the last value that was stored for the cursor `name`; None if no value was stored."""

    async def cursors_with(self, prefix: str) -> Mapping[str, str]:
        """Return the last value of each cursor whose name begins with `prefix`, by the rest of the name."""

    async def mark_missed(self, org: str, before: Micros) -> int:
        """Mark as missed the pending events of `org` that were published and received before the time `before`. An
        event is pending if it came from the System Log, and the hook should deliver it too, but has not delivered it
        yet.

        Return the number of events that were marked.
        """


class Settlement(msgspec.Struct, frozen=True):
    """The results of a sink, to be committed in one transaction.

    A sink gets events from two streams: the log (events after the sink's position, in order of `seq`) and its replays
    (dead letters that an operator sends again). The position moves only over finished events of the log, so it moves by
    exactly `delivered + len(dead) + len(filtered)` events.

    Attributes:
        position: the new position of the sink. Every event of the log up to and including this `seq` is finished.
        delivered: the number of events between the old and the new position that were delivered, including
            `unattributed`.
        dead: the rejected events between the old and the new position, with the reasons.
        filtered: the seqs of the events between the old and the new position that the sink's settings exclude.
        unattributed: the number of events that the sink rejected without saying which events. `delivered` includes
            these events, and the ledger counts them as dead letters.
        unattributed_detail: the sink's message about the unattributed events; empty if there are no such events.
        replayed: the seqs of replays that were delivered.
        dead_again: the replays that were rejected again.
        filtered_replays: the seqs of replays that are not sent, because the sink's settings now exclude their events.
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
    """A filter for dead letters. A dead letter matches if it matches every field that is not None. If all fields are
    None, every dead letter matches.

    Attributes:
        ids: the ids of the dead letters that match.
        sink: the name of the sink that rejected the event; the text `receiver` for malformed events.
        reason: the reason of the rejection, a value of `core.outcome.RejectReason`.
        last: the highest id that matches. Dead letters that were added later have higher ids.
        until: the latest time of the last rejection. An event that was rejected, or rejected again, after this time
            does not match.
    """

    ids: tuple[int, ...] | None = None
    sink: str | None = None
    reason: str | None = None
    last: int | None = None
    until: Micros | None = None


class EventLog(Protocol):
    """The methods of the store that one sink uses. Each method raises StoreError if the store cannot be used."""

    async def read(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """Return the first events with `seq > after`, in order of `seq`: at most `limit` events, whose bodies together
        have at most `max_bytes` bytes.

        The first event is always returned, even if its body has more than `max_bytes` bytes. The list is empty if no
        event has `seq > after`.
        """

    async def replays(self, *, limit: int) -> list[StoredEvent]:
        """Return up to `limit` events that the sink must get again because an operator asked for it, oldest first."""

    async def settle(self, settlement: Settlement) -> None:
        """Commit the results in `settlement`. The sink never gets the events of `settlement` again, except if an
        operator asks to send them again.

        Raises:
            ValueError: the numbers of `settlement` contradict each other, so an event would be lost or counted twice.
                Nothing is committed.
            StoreError: the commit failed, or it is unknown whether the commit succeeded. Repeat the call with the same
                object: if the settlement was committed already, the store counts nothing twice.
        """

    async def wait(self, after: int, *, replays: int) -> None:
        """Wait until the store has an event with `seq > after`, or until `replay_requests` differs from `replays`."""

    @property
    def replay_requests(self) -> int:
        """The number of requests to send dead letters again that this process has received."""


class Sink(Protocol):
    """A destination of events. The forwarder sends a copy of every event to each sink, except events that the sink's
    settings exclude."""

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        """Try once to deliver `batch`, and return the result.

        An implementation must not retry. If the destination fails or does not answer, the method must return a result
        that says so, and must not raise an error. The method may be cancelled at any `await`, and must not block the
        event loop for more than 20 ms at a time.
        """

    async def close(self) -> None:
        """Close connections and files. A second call does nothing. The method may be called even if `send` was never
        called."""


class Clock(Protocol):
    """The source of the current time. Tests use an implementation whose time they set."""

    def now(self) -> Micros:
        """Return the current time of the wall clock."""

    def monotonic(self) -> float:
        """Return the time of a monotonic clock, in seconds. Only the difference of two such times has a meaning."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
