"""The interfaces through which the ops listener uses the other parts of the forwarder. `app.py` passes the
implementations."""

from collections.abc import Callable
from typing import Any, Protocol

from forwarder.core.event import StoredEvent
from forwarder.core.ports import DeadLetterSelection


class StatusSource(Protocol):
    """The source of the status of the whole forwarder."""

    async def gather(self) -> dict[str, Any]:
        """Return the status of the whole forwarder, as a JSON object."""
        ...

    async def refresh_gauges(self) -> None:
        """Set the gauges that are computed from the status. Call this method before the metrics are rendered."""
        ...


class Events(Protocol):
    """The events in the store."""

    @property
    def newest(self) -> int:
        """The `seq` of the newest event; 0 if the store has never had an event."""

    async def wait(self, after: int) -> None:
        """Wait until the store has an event with `seq > after`.

        The method may return too early, so the caller must check `newest`, and call the method again if necessary.
        """

    async def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """Return the first events with `seq > after`, in the order of `seq`: at most `limit` events, whose bodies
        together have at most `max_bytes` bytes.

        The first event is always returned, even if its body has more than `max_bytes` bytes. Events whose bodies the
        store has dropped are left out.

        Raises:
            ForwarderError: the store cannot be read.
        """


NotReadyReason = Callable[[], str | None]
"""A function that returns the reason why the forwarder cannot store a POST from Okta now; None if it can store a
POST."""


class StoreData(Protocol):
    """The dead letters and the missed events in the store, as JSON objects.

    Every method raises ForwarderError if the store cannot be used.
    """

    async def dead_letters(self, wanted: DeadLetterSelection, limit: int) -> dict[str, Any]:
        """Return the number of events in the dead letters that `wanted` selects, by sink and reason, and the newest
        `limit` of these dead letters."""

    async def dead_letter(self, number: int) -> tuple[dict[str, Any], bytes | None] | None:
        """Return the dead letter with the id `number`, and the body of its event.

        The body is None if the store no longer has the body. The whole result is None if the store has no dead letter
        with this id.
        """

    async def replay(self, wanted: DeadLetterSelection) -> int:
        """Request that the dead letters that `wanted` selects are sent again, and return the number of events that will
        be sent."""

    async def discard(self, wanted: DeadLetterSelection) -> int:
        """Remove the dead letters that `wanted` selects for good, and return the number of events in them. These events
        are never sent."""

    async def gaps(self, limit: int) -> dict[str, Any]:
        """Return the number of missed events (events of the System Log that the hook did not deliver), and the newest
        `limit` missed events."""
