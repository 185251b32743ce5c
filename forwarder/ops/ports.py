"""The interfaces through which the ops listener uses the forwarder; `app.py` passes the implementations."""

from collections.abc import Callable
from typing import Any, Protocol

from forwarder.core.event import StoredEvent
from forwarder.core.ports import DeadLetterSelection


class StatusSource(Protocol):
    """The state of the whole forwarder."""

    async def gather(self) -> dict[str, Any]:
        """Return the state of the whole forwarder, ready for JSON."""
        ...

    async def refresh_gauges(self) -> None:
        """Set the gauges that are computed from the state. Call this before the metrics are rendered."""
        ...


class Events(Protocol):
    """The events that the store holds."""

    @property
    def newest(self) -> int:
        """The `seq` of the newest event; 0 if the store has never held an event."""

    async def wait(self, after: int) -> None:
        """Wait until the store has an event with `seq > after`.

        This may return too early, so the caller must check `newest`, and call it again if necessary.
        """

    async def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """Return up to `limit` events with `seq > after`, in the order of `seq`.

        The bodies of these events have at most `max_bytes` in total. The first event is returned even if it alone
        is larger.

        Raises:
            ForwarderError: the store cannot be read.
        """


NotReadyReason = Callable[[], str | None]
"""Returns why the forwarder cannot store a POST from Okta now; None if it can."""


class StoreData(Protocol):
    """The dead letters and the missed events in the store, ready for JSON.

    Every method raises ForwarderError if the store cannot be used.
    """

    async def dead_letters(self, wanted: DeadLetterSelection, limit: int) -> dict[str, Any]:
        """Return the number of events in the `wanted` dead letters by sink and reason, and the newest `limit` of these."""

    async def dead_letter(self, number: int) -> tuple[dict[str, Any], bytes | None] | None:
        """Return the dead letter with the id `number`, and the body of its event.

        The body is None if the store no longer has it. The whole result is None if there is no such dead letter.
        """

    async def replay(self, wanted: DeadLetterSelection) -> int:
        """Send the `wanted` dead letters again; return the number of those that will be sent."""

    async def discard(self, wanted: DeadLetterSelection) -> int:
        """Remove the `wanted` dead letters for good; return the number of events in them."""

    async def gaps(self, limit: int) -> dict[str, Any]:
        """Return the number of missed events (those that the hook did not deliver), and the newest `limit` of them."""
