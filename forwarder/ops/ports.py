"""The interfaces through which the ops listener uses the forwarder; `app.py` passes the implementations."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from forwarder.core.event import StoredEvent


class StatusSource(Protocol):
    """The state of the whole forwarder."""

    async def gather(self) -> dict[str, Any]:
        """Return the state of the whole forwarder, ready for JSON."""
        ...

    async def refresh_gauges(self) -> None:
        """Set the gauges that are computed from the state. Call it before a scrape."""
        ...


class Events(Protocol):
    """The events that the store holds."""

    @property
    def newest(self) -> int:
        """The `seq` of the newest event; 0 if there is none."""

    async def wait(self, after: int) -> None:
        """Return when there is an event with `seq > after`. May return too early, so check, and wait again."""

    async def events(self, after: int, *, limit: int, max_bytes: int) -> list[StoredEvent]:
        """Return up to `limit` events with `seq > after`, in the order of `seq`.

        Their bodies have at most `max_bytes` together, but the first event is returned however large it is.

        Raises:
            ForwarderError: the store cannot be read.
        """


NotReadyReason = Callable[[], str | None]
"""Returns why a POST could not be stored; None if it could."""


class DeadLetterFilter(msgspec.Struct, frozen=True):
    """Selects the dead letters that match every given field; all without any. `last` is the highest id."""

    ids: tuple[int, ...] | None = None
    sink: str | None = None
    reason: str | None = None
    last: int | None = None


class StoreData(Protocol):
    """Dead letters and missed events, ready for JSON. Methods raise ForwarderError if the store fails."""

    async def dead_letters(self, wanted: DeadLetterFilter, limit: int) -> dict[str, Any]:
        """Return the number of `wanted` events, by sink and reason, and the newest `limit` dead letters."""

    async def dead_letter(self, number: int) -> tuple[dict[str, Any], bytes | None] | None:
        """Return the dead letter `number` and the body of its event, if any; None if it does not exist."""

    async def replay(self, wanted: DeadLetterFilter) -> int:
        """Send the `wanted` dead letters again; return their number."""

    async def discard(self, wanted: DeadLetterFilter) -> int:
        """Remove the `wanted` dead letters for good; return the number of their events."""

    async def gaps(self, limit: int) -> dict[str, Any]:
        """Return the number of events that the hook missed, and the newest `limit` of them."""
