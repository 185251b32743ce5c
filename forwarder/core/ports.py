"""The seams between rooms: Protocols of at most four verbs. `app` is the only place that joins them."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from forwarder.core.event import Event, MalformedEvent, StoredEvent
from forwarder.core.outcome import BatchResult, Rejection
from forwarder.core.time import Micros


class Appended(msgspec.Struct, frozen=True):
    """What `append` committed: `stored` new events, `duplicates` already known, `rejected` elements.

    Attributes:
        stored: new events, in the order given.
        duplicates: how many were known already.
    """

    stored: Sequence[Event]
    duplicates: int


class Intake(Protocol):
    """The store as the ways in see it."""

    async def append(
        self, events: Sequence[Event], malformed: Sequence[MalformedEvent] = (), *, timeout: float
    ) -> Appended:
        """Commit and fsync all of it in one transaction, or raise. When it returns, nothing of it can be lost.

        Args:
            events: in the order received.
            malformed: elements that are no events; the receiver's dead letters.
            timeout: seconds to wait for the commit.

        Raises:
            StoreFullError: there is no room.
            StoreTimeoutError: not committed in time. It may still be committed later: cancelling or
                timing out never takes it back.
            StoreError: it could not be committed for another reason.
        """
        ...


class Page(msgspec.Struct, frozen=True):
    """A page of an org's System Log.

    Attributes:
        org: whose.
        events: in the order of the log.
        malformed: elements that are no events.
        hooked: uuids of those of `events` that Okta names our hook for: the hook is to bring them too.
        cursor: its name, and what to remember under it: where the next page begins.
    """

    org: str
    events: Sequence[Event]
    cursor: tuple[str, str]
    malformed: Sequence[MalformedEvent] = ()
    hooked: frozenset[str] = frozenset()


class PageIntake(Protocol):
    """The store as whoever reads pages of a System Log sees it."""

    async def append_page(self, page: Page, *, timeout: float) -> Appended:
        """Commit and fsync all of it, its cursor included, in one transaction, or raise.

        An event that the log brings first and that our hook is to bring too is awaited from then on, until the hook
        brings it.

        Args:
            page: what to store.
            timeout: seconds to wait for the commit.

        Raises:
            StoreFullError: there is no room.
            StoreTimeoutError: not committed in time; it may still be committed later.
            StoreError: it could not be committed for another reason.
        """
        ...

    async def cursor(self, name: str) -> str | None:
        """What was last remembered under `name`.

        Raises:
            StoreError: the store cannot be read.
        """
        ...


class LogIntake(PageIntake, Protocol):
    """The store as the forwarder's own reader of a System Log sees it, who also knows what the hook should bring."""

    async def miss(self, org: str, before: Micros) -> int:
        """Give up on the hook for events of `org` that were `published` before, and that the log brought before:
        those still awaited are missed from now on.

        Returns:
            How many are newly missed.

        Raises:
            StoreError: it could not be committed.
        """
        ...


class Settlement(msgspec.Struct, frozen=True):
    """What a sink has finished, committed in one transaction.

    A sink works on two streams: the log (events after its position, in `seq` order) and its replays
    (dead letters that an operator sent again). For the log, `position` moves forward over events that
    are all finished: `delivered + len(dead)` is exactly how far it moves.

    Attributes:
        sink: the sink's name.
        position: every event of the log up to here is finished.
        delivered: how many of those that the position passes were delivered (`unattributed` included).
        dead: the others, with their reasons.
        unattributed: how many of `delivered` the sink refused without saying which; counted as dead.
        unattributed_detail: the sink's own words about them.
        replayed: seqs of replays that were delivered.
        dead_again: replays that were rejected again.
    """

    sink: str
    position: int
    delivered: int = 0
    dead: Sequence[Rejection] = ()
    unattributed: int = 0
    unattributed_detail: str = ""
    replayed: Sequence[int] = ()
    dead_again: Sequence[Rejection] = ()


class Log(Protocol):
    """The store as a delivery worker sees it."""

    async def read(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """Events with `seq > after` in `seq` order: at most `limit`, and bodies of at most `max_bytes` together
        (one event at least, however large)."""
        ...

    async def replays(self, sink: str, *, limit: int) -> list[StoredEvent]:
        """Dead letters of `sink` that an operator asked to send again, oldest first."""
        ...

    async def settle(self, settlement: Settlement) -> None:
        """Commit what a sink has finished. A settled event is never read again by that sink."""
        ...

    async def wait(self, after: int, *, replays: int) -> None:
        """Return when there is an event with `seq > after`, or when the number of times that replays were asked
        for is no longer `replays` (see `replay_requests`)."""
        ...

    @property
    def replay_requests(self) -> int:
        """How many times this process was asked to send dead letters again."""
        ...


class Sink(Protocol):
    """Where a copy of every event goes."""

    async def send(self, batch: Sequence[StoredEvent]) -> BatchResult:
        """Try to deliver `batch` once, with no retry inside. It never raises for what the other side does: a
        failure is an outcome. It may be cancelled at any await. It holds the event loop for at most 20 ms at a
        time."""
        ...

    async def close(self) -> None:
        """Let go of everything. Safe to call twice and without a `send`."""
        ...


class Clock(Protocol):
    """Time, so that tests own it."""

    def now(self) -> Micros:
        """The wall clock."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Reply(msgspec.Struct, frozen=True):
    """An answer, whatever its status.

    Attributes:
        status: of HTTP.
        body: decoded JSON, or text where it is none.
    """

    status: int
    body: Any


class Caller(Protocol):
    """The API of the other side, for what an operator's commands ask of it."""

    async def call(self, method: str, path: str, body: Any = None) -> Reply:
        """Send one request.

        Args:
            method: of HTTP.
            path: path and query.
            body: encoded as JSON; None for none.

        Raises:
            SinkError: no answer.
        """
        ...
